"""Checks the pipeline's arguments and makes tensors of one size and batch of them.

Letters: B photos, H W picture size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import PIL.Image
import torch
from diffusers.image_processor import VaeImageProcessor

from temu_vtoff.errors import check_choice, check_kind, check_least
from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.pictures import open_picture, to_mask
from temu_vtoff.pictures.masks import check_mask_content, check_mask_shape
from temu_vtoff.pictures.opening import picture_size
from temu_vtoff.tryoff.conditioning import Generators
from temu_vtoff.tryoff.outputs import OUTPUT_TYPES
from temu_vtoff.tryoff.presets import check_sampling

Pictures = PIL.Image.Image | torch.Tensor | np.ndarray | Sequence[PIL.Image.Image | torch.Tensor | np.ndarray]

_KINDS = (PIL.Image.Image, torch.Tensor, np.ndarray)
_PICTURES = VaeImageProcessor(do_normalize=False, do_convert_rgb=True)
_MASKS = VaeImageProcessor(do_normalize=False, do_convert_grayscale=True, resample="nearest")


@dataclass(frozen=True)
class Photos:
    """B photos, each with the garment's mask and the photo with the garment grey.

    Attributes:
        image: (B, 3, H, W) in [0, 1].
        mask: (B, 1, H, W) in [0, 1], 1 on the garment.
        masked_image: (B, 3, H, W) in [0, 1].
    """

    image: torch.Tensor
    mask: torch.Tensor
    masked_image: torch.Tensor

    def __len__(self) -> int:
        return len(self.image)


def read_photos(
    image: Pictures,
    mask: Pictures,
    masked_image: Pictures | None,
    working_size: WorkingSize,
    width: int | None,
    height: int | None,
) -> Photos:
    """The photos at the given size, else at that of tensors, else at the model's own; derives a missing masked image.

    Raises:
        ValueError: Sizes, channels, ranges or numbers that don't fit, or a mask that is black or of another aspect
            ratio than its photo.
    """
    image, mask = stacked(image), stacked_masks(mask)
    sizes, mask_sizes = upright_sizes(image), upright_sizes(mask)
    width, height = choose_size(working_size, image, width, height)
    image, mask = picture_tensor(image, width, height), mask_tensor(mask, width, height)
    check_batch(len(image), mask=mask)
    for number, marked in enumerate(mask):
        name = "the mask" if len(mask) == 1 else f"mask {number + 1} of {len(mask)}"
        check_mask_shape(mask_sizes[number], sizes[number], name)
        check_mask_content(bool(marked.any()), name)
    if masked_image is None:
        return Photos(image, mask, image * (1 - mask) + 0.5 * mask)
    masked_image = picture_tensor(stacked(masked_image), width, height)
    check_batch(len(image), masked_image=masked_image)
    return Photos(image, mask, masked_image)


def choose_size(
    working_size: WorkingSize, pictures: list[PIL.Image.Image] | torch.Tensor, width: int | None, height: int | None
) -> tuple[int, int]:
    """Width and height as given, else those of a tensor, else the model's own.

    Raises:
        ArgumentError: A size that the model can't make.
    """
    if isinstance(pictures, torch.Tensor):
        width = pictures.shape[-1] if width is None else width
        height = pictures.shape[-2] if height is None else height
    return working_size.choose(width, height)


def upright_sizes(pictures: list[PIL.Image.Image] | torch.Tensor) -> list[tuple[int, int]]:
    """Width and height of each picture, upright."""
    if isinstance(pictures, torch.Tensor):
        return [(pictures.shape[-1], pictures.shape[-2])] * len(pictures)
    return [picture_size(picture) for picture in pictures]


def stacked(pictures: Pictures) -> list[PIL.Image.Image] | torch.Tensor:
    """A list of PIL pictures, or one tensor (B, C, H, W): of tensors (C, H, W) or (1, C, H, W), or of numpy pictures
    (H, W, C), (H, W) or (B, H, W, C), which diffusers' pipelines take too.

    Raises:
        ValueError: None at all, of mixed kinds or sizes.
    """
    pictures = _as_list(pictures)
    if not pictures or any(not isinstance(one, PIL.Image.Image) and 0 in one.shape for one in pictures):
        raise ValueError("There is no photo: give at least one.")
    if all(isinstance(one, PIL.Image.Image) for one in pictures):
        return pictures
    if any(isinstance(one, PIL.Image.Image) for one in pictures):
        raise ValueError("The pictures are of mixed kinds; give PIL pictures, tensors or arrays only.")
    tensors = [_channels_first(one) for one in pictures]
    if len({one.shape[1:] for one in tensors}) > 1:
        raise ValueError("The pictures differ in size or channels; make them alike, or give PIL pictures.")
    return torch.cat(tensors)


def stacked_masks(masks: Pictures) -> list[PIL.Image.Image] | torch.Tensor:
    """Like `stacked`; bytes may be 0 and 1 as well as 0 and 255, and tensors of any type."""
    masks = stacked([_unit_mask(mask) for mask in _as_list(masks)])
    return masks.float() if isinstance(masks, torch.Tensor) else masks


def _as_list(pictures: Pictures) -> list[PIL.Image.Image | torch.Tensor | np.ndarray]:
    """
    Raises:
        ValueError: Something else than pictures.
    """
    if isinstance(pictures, _KINDS):
        return [pictures]
    every = list(pictures) if isinstance(pictures, Iterable) else [pictures]
    for one in every:
        if not isinstance(one, _KINDS):
            kind = type(one).__name__
            raise ValueError(f"Photos and masks are PIL pictures, tensors or arrays, or lists of them; got {kind}.")
    return every


def _unit_mask(mask: PIL.Image.Image | torch.Tensor | np.ndarray) -> PIL.Image.Image | torch.Tensor | np.ndarray:
    """Bytes of 0 and 1 as floats, which `_channels_first` doesn't divide by 255."""
    is_unit = isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.max(initial=0) <= 1
    return mask.astype(np.float32) if is_unit else mask


def _channels_first(picture: torch.Tensor | np.ndarray) -> torch.Tensor:
    """(B, C, H, W) in [0, 1]; arrays of whole numbers go from 0 to 255."""
    if isinstance(picture, np.ndarray):
        if picture.ndim == 2:
            picture = picture[..., None]
        scale = 255 if picture.dtype == np.uint8 else 1
        picture = torch.tensor(np.ascontiguousarray(picture))  # a copy: the arrays of PIL pictures are read-only
        picture = picture.movedim(-1, -3) / scale
    return picture if picture.ndim == 4 else picture.reshape(1, *(1,) * (3 - picture.ndim), *picture.shape)


def picture_tensor(image: list[PIL.Image.Image] | torch.Tensor, width: int, height: int) -> torch.Tensor:
    """(B, 3, H, W) float32 in [0, 1]; PIL pictures are turned upright, tensors must be in [0, 1]."""
    if not isinstance(image, torch.Tensor):
        image = [open_picture(item) for item in image]
    return _in_range(_PICTURES.preprocess(image, height, width), "image", 3)


def mask_tensor(mask: list[PIL.Image.Image] | torch.Tensor, width: int, height: int) -> torch.Tensor:
    """(B, 1, H, W) float32 in [0, 1], resized by the nearest pixel."""
    if not isinstance(mask, torch.Tensor):
        mask = [to_mask(item) for item in mask]
    return _in_range(_MASKS.preprocess(mask, height, width), "mask", 1)


def one_each(texts: str | Sequence[str] | None, count: int, name: str) -> list[str]:
    """One text for each of `count` photos: a single text is repeated, None is the empty text."""
    if texts is None or isinstance(texts, str):
        return [texts or ""] * count
    check_kind(name, texts, (list, tuple), "a text, or a list of one for each photo")
    for text in texts:
        check_kind(name, text, str, "a text, or a list of one for each photo")
    if len(texts) != count:
        raise ValueError(f"{name} has {len(texts)} texts for {count} photos; give one, or one each.")
    return list(texts)


def check_texts(texts: Sequence[str]) -> None:
    """
    Raises:
        ValueError: One holds half a character (a lone surrogate, of bytes that are no UTF-8).
    """
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"The caption {text!a:.200} is damaged: it holds half a character.") from None


def check_batch(count: int, **tensors: torch.Tensor | None) -> None:
    """
    Raises:
        ArgumentError: No tensor.
        ValueError: A tensor's batch size differs from `count` photos.
    """
    for name, tensor in tensors.items():
        check_kind(name, tensor, torch.Tensor, "a tensor")
        if tensor is not None and len(tensor) != count:
            raise ValueError(f"{name} holds {len(tensor)} for {count} photos; give one each.")


def check_numbers(output_type: str, steps: int, copies: int, guidance_scale: float) -> None:
    """
    Raises:
        ArgumentError: A value is unknown or out of range.
    """
    check_choice("output_type", output_type, OUTPUT_TYPES)
    check_sampling(steps, guidance_scale)
    check_kind("num_images_per_prompt", copies, Integral, "a whole number")
    check_least("num_images_per_prompt", copies)


@dataclass(frozen=True)
class Prompt:
    """The captions of one branch of guidance.

    Attributes:
        argument: The name of the argument that holds the texts, for messages.
        texts: One for all photos or one for each; None is the empty caption.
        embeds: (B, T, joint_attention_dim), instead of the texts, or None.
        pooled: (B, P), with `embeds`.

    Raises:
        ValueError: Embeddings without pooled ones, or the other way round.
    """

    argument: str
    texts: str | Sequence[str] | None
    embeds: torch.Tensor | None
    pooled: torch.Tensor | None

    def __post_init__(self) -> None:
        if (self.embeds is None) != (self.pooled is None):
            raise ValueError(f"{self._names[0]} and {self._names[1]} belong together: give both or neither.")

    @property
    def given(self) -> dict[str, torch.Tensor | None]:
        """The embeddings, by the arguments that held them."""
        return dict(zip(self._names, (self.embeds, self.pooled), strict=True))

    @property
    def _names(self) -> tuple[str, str]:
        return f"{self.argument}_embeds", f"{self.argument.removesuffix('prompt')}pooled_prompt_embeds"


def check_generators(generator: Generators | None, count: int) -> torch.Generator | list[torch.Generator] | None:
    """One random generator, or a list of one for each picture.

    Raises:
        ArgumentError: Something else.
        ValueError: There are more or fewer.
    """
    if generator is None or isinstance(generator, torch.Generator):
        return generator
    wanted = "a torch.Generator, or a list of one for each picture"
    check_kind("generator", generator, (list, tuple), wanted)
    for one in generator:
        check_kind("generator", one, torch.Generator, wanted)
    if len(generator) != count:
        raise ValueError(f"{count} pictures need {count} generators, or a single one; got {len(generator)}.")
    return list(generator)


def _in_range(tensor: torch.Tensor, name: str, channels: int) -> torch.Tensor:
    tensor = tensor.float()
    if tensor.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channels, (B, {channels}, H, W); got {tuple(tensor.shape)}.")
    low, high = tensor.aminmax()
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # nor NaN
        raise ValueError(f"{name} must lie in [0, 1]; its values go from {low:.3g} to {high:.3g}.")
    return tensor
