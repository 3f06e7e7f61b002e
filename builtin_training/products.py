"""The product pictures that `measure` scores: those of the pipeline, variant by variant, a baseline and a bound.

Letters: B pictures, H W size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

import command_line
from builtin_training.cases import Case, Sampling, as_variant
from temu_vtoff import TryOffPipeline
from temu_vtoff.segmentation.masks import masked_image
from temu_vtoff.tryoff.components import CONFIG


class WithoutReference(TryOffPipeline):
    """The pipeline with stock SD3's attention: the extractor's reference isn't used."""

    def extract_reference(self, *person: torch.Tensor) -> None:
        return None


def make_products(pipe: TryOffPipeline, cases: list[Case], variant: str, sampling: Sampling) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1]; each picture's noise is seeded by its position."""
    if variant == "cut_out":
        return torch.stack([to_tensor(cut_out(case.photo, case.mask)) for case in cases])
    if variant == "through_vae":
        parts = [[to_tensor(case.product) for case in batch] for batch in batches(cases, sampling.batch_size)]
        return torch.cat([through_vae(pipe, torch.stack(part)) for part in parts])
    if variant == "no_reference":
        pipe = copied(pipe, WithoutReference)
    elif variant == "published_guidance":
        pipe = copied(pipe, type(pipe), negative_reference=True)
    cases, products = as_variant(cases, variant), []
    numbered = list(enumerate(cases))
    for batch in command_line.progress(list(batches(numbered, sampling.batch_size)), variant):
        photos, masks = [case.photo for _, case in batch], [case.found_mask for _, case in batch]
        masked = [masked_image(photo, mask) for photo, mask in zip(photos, masks, strict=True)]
        output = pipe(
            photos,
            masks,
            masked_image=photos if variant == "no_fine_mask" else masked,
            prompt=[case.found_caption for _, case in batch],
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
            preset=sampling.preset,
            generator=[torch.Generator().manual_seed(number) for number, _ in batch],
            output_type="pt",
        )
        products.append(output.images.float().cpu())
    return torch.cat(products)


def copied(pipe: TryOffPipeline, kind: type[TryOffPipeline], **changes: bool) -> TryOffPipeline:
    """A pipeline of the same models, of another kind or with some values of its configuration changed."""
    config = {name: pipe.config[name] for name in CONFIG}
    copy = kind(**pipe.components | config | changes)
    copy.set_progress_bar_config(disable=True)
    return copy


def cut_out(photo: Image.Image, mask: Image.Image, margin: float = 0.06) -> Image.Image:
    """The baseline: the garment's pixels as worn, centred on white and enlarged to fill the frame."""
    white = Image.new("RGB", photo.size, "white")
    box = mask.getbbox()
    piece = Image.composite(photo, white, mask).crop(box)
    scale = min(photo.width / piece.width, photo.height / piece.height) * (1 - 2 * margin)
    piece = piece.resize((max(1, round(piece.width * scale)), max(1, round(piece.height * scale))))
    white.paste(piece, ((photo.width - piece.width) // 2, (photo.height - piece.height) // 2))
    return white


def through_vae(pipe: TryOffPipeline, pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 1], encoded and decoded."""
    with torch.no_grad():
        latents = pipe.encode_latents(pictures, generator=torch.Generator().manual_seed(0))
        return pipe.image_processor.postprocess(pipe.decode_latents(latents), output_type="pt").cpu()


def batches(items: list, size: int) -> Iterator[list]:
    """The items in lists of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), size))
