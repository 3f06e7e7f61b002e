"""FID (Heusel et al. 2017): Fréchet distance of two Gaussians fitted to Inception features."""

import numpy as np


def fid(predictions: np.ndarray, truths: np.ndarray) -> float:
    """
    Args:
        predictions: (N, D) features of one set of pictures, at least 2.
        truths: (M, D) of the other.

    Returns:
        0 or more. With fewer than D pictures it is biased upwards.

    Raises:
        ValueError: Fewer than two pictures in a set.
    """
    from cleanfid.fid import fid_from_feats

    if min(len(predictions), len(truths)) < 2:
        raise ValueError("FID needs at least two pictures in each set.")
    if len(predictions) + len(truths) <= predictions.shape[1]:
        predictions, truths = _rotate_into_span(predictions, truths)
    return float(fid_from_feats(predictions, truths))


def _rotate_into_span(predictions: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features in an orthonormal basis of their span. The distance stays the same, and the matrix root becomes that of
    an (N + M) x (N + M) matrix instead of a D x D one."""
    center = truths.mean(axis=0)
    predictions, truths = predictions - center, truths - center
    basis = np.linalg.qr(np.concatenate([predictions, truths]).T.astype(np.float64)).Q  # (D, N + M)
    return predictions @ basis, truths @ basis
