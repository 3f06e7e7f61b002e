"""KID (Bińkowski et al. 2018): cubic-kernel distance of Inception features, averaged over random subsets."""

import numpy as np


def kid(predictions: np.ndarray, truths: np.ndarray, seed: int = 0) -> float:
    """
    Args:
        predictions: (N, D) features of one set of pictures, at least 2.
        truths: (M, D) of the other.
        seed: Seed of the 100 random subsets of up to 1000 pictures.

    Returns:
        About 0 for sets of the same distribution; the estimate is unbiased, so it may be negative.

    Raises:
        ValueError: Fewer than two pictures in a set.
    """
    from cleanfid.fid import kernel_distance

    if min(len(predictions), len(truths)) < 2:
        raise ValueError("KID needs at least two pictures in each set.")
    state = np.random.get_state()
    np.random.seed(seed)  # clean-fid draws from numpy's global generator
    try:
        return float(kernel_distance(predictions.astype(np.float64), truths.astype(np.float64)))
    finally:
        np.random.set_state(state)
