"""Separates a garment from a background of one colour: soft opacity at the edge, and colours without the background.

Where a pixel I mixes the garment's colour F with the background's B, I = a F + (1 - a) B. B is what the picture's frame
shows, F is the colour of the nearest pixel that lies wholly within the garment, and a follows by projection.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from temu_vtoff.finishing.background import FRAME_SHARE, Background, find_background

_NOISE = 4  # deviations of the background's noise that are still background
_QUIET = 0.3  # levels; background noise below this is rounding
_WIDEST_EDGE = 6  # pixels that an edge may take from background to garment
_REACHED = 0.92  # share of the garment's contrast at which an edge has ended
_RIDGE = 0.5  # share of the contrast around it that the middle of a narrow part has
_LEAK_SHARE = 1 / 400  # of the shorter side; gaps in an outline up to twice as wide let no background in
_SPECK_SHARE = 1 / 200  # of the largest part's area; smaller parts are no garment
_FAINT = 0.35  # opacity below which a pixel's own colour is too uncertain to be used alone
_HAZE_SHARE = 0.05  # of the shorter side; haze reaches so far
_THIN_SHARE = 0.02  # of the shorter side; haze is thinner than twice this
_CLEAR, _LEAST_CLEAR = 0.25, 4  # share of the contrast around it, and levels, that are no haze
_HAZY = 0.05  # share of the pixels beside the garment that are nearly of the background's colour, if there is haze
_MOST_HAZE = 0.12  # share of the contrast around it
_JPEG_BLOCK = 16  # pixels; at the least, haze reaches so far
_CONNECTED = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Cutout:
    """A garment without its background.

    Attributes:
        alpha: (H, W) float32 in [0, 1], the garment's opacity.
        colours: (H, W, 3) float32 in [0, 255], the garment's own colours; outside of it, those of its nearest pixel.
        background: What it was taken from.
    """

    alpha: np.ndarray
    colours: np.ndarray
    background: Background

    def image(self) -> Image.Image:
        """RGBA."""
        channels = np.concatenate([self.colours, self.alpha[..., None] * 255], axis=-1)
        return Image.fromarray(channels.round().clip(0, 255).astype(np.uint8))


def cut_out(image: Image.Image) -> Cutout:
    """Cuts a garment out of its product picture.

    What touches the frame and has its colour is background, and so are enclosed areas of exactly that colour: the hole
    between straps, or in lace. Pale cloth stays, as long as it differs by some levels. In a picture with nothing but
    background, everything is transparent.

    Args:
        image: RGB, a garment on a background of one colour.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32)
    background = find_background(pixels)
    difference = pixels - background.colours  # (H, W, 3)
    contrast = np.abs(difference).max(-1)
    around = _greatest_around(contrast)
    haze = _haze(contrast, around)  # (H, W)
    outside = _outside(difference, background.noise, haze)
    distance = ndimage.distance_transform_edt(~outside).astype(np.float32)
    if not (distance > 0).any():
        return Cutout(np.zeros(outside.shape, np.float32), pixels, background)
    inside = _inside(contrast, distance)
    if haze.any():
        inside &= ~_rim(contrast < _CLEAR * around, distance)
    y, x = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    own = pixels[y, x]
    doubt = np.maximum(haze, _NOISE * background.noise if background.noise > _QUIET else 0)
    alpha = np.where(inside, 1, _opacity(difference, own - background.colours, doubt))
    alpha = np.where(outside, 0, alpha).astype(np.float32)
    return Cutout(alpha, _unmixed(pixels, background.colours, own, alpha), background)


def _greatest_around(contrast: np.ndarray) -> np.ndarray:
    """(H, W): the greatest contrast as far as haze reaches."""
    return ndimage.maximum_filter(contrast, 2 * _haze_reach(contrast) + 1)


def _haze_reach(contrast: np.ndarray) -> int:
    """How far from the garment haze is found, in pixels."""
    return max(4, round(_HAZE_SHARE * min(contrast.shape)))


def _haze(contrast: np.ndarray, around: np.ndarray) -> np.ndarray:
    """(H, W): the contrast of the haze that models and JPEG leave around a garment; 0 in a picture without it."""
    reach = _haze_reach(contrast)
    clear = contrast >= np.maximum(_CLEAR * around, _LEAST_CLEAR)
    near = ndimage.distance_transform_edt(~clear) <= reach
    filled = ndimage.distance_transform_edt(np.pad(near, reach, constant_values=False))[reach:-reach, reach:-reach]
    ring = near & (filled <= reach - 2)  # outside of the outline, its narrow gaps left out: those may be pale cloth
    if not ring.any() or ((contrast[ring] >= 1) & (contrast[ring] < _LEAST_CLEAR)).mean() < _HAZY:
        return np.zeros_like(contrast)
    share = np.percentile(contrast[ring] / np.maximum(around[ring], 1), 95)
    return min(share, _MOST_HAZE) * ndimage.maximum_filter(around, max(1, 2 * (_JPEG_BLOCK - reach) + 1))


def _outside(difference: np.ndarray, noise: float, haze: np.ndarray) -> np.ndarray:
    """(H, W) bool: the background around the garment and in its holes."""
    contrast = np.abs(difference).max(-1)
    if noise > _QUIET:
        contrast = np.minimum(contrast, np.abs(ndimage.gaussian_filter(difference, (0.7, 0.7, 0))).max(-1))
    least = np.maximum(max(1.0, _NOISE * noise), haze)
    near = contrast < least
    reached = _reached_from_frame(near)
    enclosed, count = ndimage.label(near & ~reached)
    if count:
        index = np.arange(1, count + 1)
        off = np.stack([ndimage.mean(difference[..., c], enclosed, index) for c in range(3)])
        limit = np.maximum(max(0.5, noise), ndimage.mean(haze, enclosed, index) / 2)
        reached |= np.concatenate([[False], np.abs(off).max(0) <= limit])[enclosed]
    return _without_specks(reached)


def _reached_from_frame(near: np.ndarray) -> np.ndarray:
    """The part of `near` that is connected to the frame by more than a narrow gap."""
    reach = max(1, round(_LEAK_SHARE * min(near.shape)))
    wide = ndimage.binary_erosion(near, _CONNECTED, reach, border_value=1)
    parts, _ = ndimage.label(wide)
    edges = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    seed = np.isin(parts, edges[edges > 0])
    return ndimage.binary_dilation(seed, _CONNECTED, 3 * reach, mask=near)


def _without_specks(outside: np.ndarray) -> np.ndarray:
    """The background, and everything in it that is tiny beside the largest part of the garment."""
    parts, count = ndimage.label(~outside, _CONNECTED)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    small = sizes < _SPECK_SHARE * sizes.max()
    band = max(2, round(FRAME_SHARE * min(outside.shape)))
    inner = parts[band:-band, band:-band]
    small[np.bincount(inner.ravel(), minlength=count + 1) == 0] = True  # seams of a VAE along the edges
    small[0] = True
    return small[parts]


def _inside(contrast: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels wholly within the garment, at some distance from the background."""
    edge = _edge_width(contrast, distance)
    ridge = (distance > 0) & (distance == ndimage.maximum_filter(distance, 3))  # the middle of narrow parts
    ridge &= contrast >= _RIDGE * ndimage.maximum_filter(contrast, 2 * edge + 3)  # and no noise beside the edge
    return (distance > edge) | ridge


def _rim(weak: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(H, W) bool: the thin parts of weak contrast between background and garment, which are haze and no pale cloth."""
    reach = max(1, round(_THIN_SHARE * min(weak.shape)))
    weak = weak & (distance > 0)
    thin = weak & ~ndimage.binary_opening(weak, _disc(reach)) & (distance <= reach)
    parts, _ = ndimage.label(thin, _CONNECTED)
    touching = np.unique(parts[thin & (distance < 2)])
    return thin & np.isin(parts, touching)


def _edge_width(contrast: np.ndarray, distance: np.ndarray) -> int:
    """Pixels from the first that differs from the background to the first that shows the garment's own colour."""
    inner = (distance > _WIDEST_EDGE) & (distance <= _WIDEST_EDGE + 2)
    if not inner.any():
        return 1
    inward, (y, x) = ndimage.distance_transform_edt(~inner, return_indices=True)
    full = contrast[y, x]
    straight = distance + inward <= _WIDEST_EDGE + 3  # elsewhere, as between the holes of lace, the cloth is narrow
    for width in range(1, _WIDEST_EDGE):
        ring = straight & (distance > width) & (distance <= width + 1)
        if ring.any() and np.median(contrast[ring] / np.maximum(full[ring], 1)) >= _REACHED:
            return width
    return _WIDEST_EDGE


def _opacity(difference: np.ndarray, full: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1]: the share of the garment's colour, by projection, without what may be noise or haze.

    Args:
        difference: (H, W, 3), the picture minus the background.
        full: (H, W, 3), the garment minus the background.
        doubt: (H, W), levels.
    """
    square = np.maximum((full**2).sum(-1), 1e-6)
    least = (doubt / np.sqrt(square)).clip(0, 0.5)
    return (((difference * full).sum(-1) / square - least) / (1 - least)).clip(0, 1)


def _unmixed(pixels: np.ndarray, background: np.ndarray, own: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3): the garment's colours. Where little of it is seen, more and more those of the nearest pixel inside."""
    share = np.maximum(alpha, 1e-3)[..., None]
    unmixed = ((pixels - (1 - share) * background) / share).clip(0, 255)
    weight = (alpha / _FAINT).clip(0, 1)[..., None]
    return np.where(alpha[..., None] >= 1, pixels, weight * unmixed + (1 - weight) * own)


def _disc(reach: int) -> np.ndarray:
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return x**2 + y**2 <= reach**2
