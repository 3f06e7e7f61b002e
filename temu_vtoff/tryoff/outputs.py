"""What the pipeline gives back, and what it refuses to: pictures of which some values are not finite."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline

from temu_vtoff.tryoff.conditioning import decode_latents

OUTPUT_TYPES = ("pil", "pt", "np", "latent")


class NotFiniteError(ValueError):
    """Some pictures of a batch came out as NaN or infinity: an overflow in half precision, or a damaged weight.

    Attributes:
        failed: Their places in the batch.
        images: The whole batch as the pipeline would have returned it; at the places in `failed` it is worthless.
    """

    def __init__(self, failed: list[int], images: Any, dtype: torch.dtype) -> None:
        remedy = "is a weight of the checkpoint damaged?"
        if dtype != torch.float32:
            remedy = "use float32" + (" or bfloat16" if dtype == torch.float16 else "") + ", which hold larger values."
        whole = len(failed) == len(images)
        which = "" if whole else f" (number {', '.join(str(i + 1) for i in failed)} of {len(images)})"
        precision = str(dtype).removeprefix("torch.")
        super().__init__(f"The model's values are not finite in {precision}{which}: {remedy}")
        self.failed, self.images, self.dtype = failed, images, dtype

    def each(self) -> list[Any]:
        """For each picture of the batch, itself or an error of its own."""
        errors = {place: NotFiniteError([0], [self.images[place]], self.dtype) for place in self.failed}
        return [errors.get(place, image) for place, image in enumerate(self.images)]


def finish(pipe: DiffusionPipeline, latents: torch.Tensor, output_type: str, dtype: torch.dtype) -> Any:
    """The pictures of latents (B, C, h, w); the pipeline's models leave the GPU where they are offloaded.

    Args:
        pipe: With a `vae` and an `image_processor`.
        output_type: One of `OUTPUT_TYPES`.
        dtype: The precision that the latents were made in.

    Raises:
        NotFiniteError: Not all pictures are finite.
    """
    images = latents if output_type == "latent" else decode_latents(pipe.vae, latents)
    finite = latents.isfinite().flatten(1).all(1) & images.isfinite().flatten(1).all(1)
    if output_type != "latent":
        images = pipe.image_processor.postprocess(images.nan_to_num(0, 0, 0), output_type=output_type)
    pipe.maybe_free_model_hooks()
    if not finite.all():
        raise NotFiniteError((~finite).nonzero().flatten().tolist(), images, dtype)
    return images
