"""Enlarges product pictures by a model that the user names: a diffusers pipeline, or one of transformers (Swin2SR)."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageToImage

from temu_vtoff.hub.errors import explain_loading

Upscaler = Callable[[Image.Image], Image.Image]


def load_upscaler(source: str, device: torch.device | str = "cpu") -> Upscaler:
    """A function from an RGB picture to the same, larger by the model's own factor.

    Args:
        source: Hub id or folder: a diffusers pipeline that takes an `image`, or a model of transformers.

    Raises:
        CheckpointError: It can't be loaded.
    """
    with explain_loading(source, "the upscaler", "upscaler"):
        if _is_pipeline(source):
            return _Diffusion(DiffusionPipeline.from_pretrained(source).to(device))
        model = AutoModelForImageToImage.from_pretrained(source).eval().to(device)
        return _Transformer(model, AutoImageProcessor.from_pretrained(source))


def _is_pipeline(source: str) -> bool:
    """Whether a folder or a repository of the hub holds a diffusers pipeline."""
    if Path(source).is_dir():
        return (Path(source) / "model_index.json").is_file()
    try:
        DiffusionPipeline.load_config(source)
    except OSError:  # no such file there; the loader of transformers then says what is missing
        return False
    return True


class _Diffusion:
    def __init__(self, pipe: DiffusionPipeline) -> None:
        self.pipe = pipe
        pipe.set_progress_bar_config(disable=True)

    def __call__(self, image: Image.Image) -> Image.Image:
        rng = torch.Generator().manual_seed(0)
        prompt = {"prompt": ""} if "prompt" in signature(self.pipe.__call__).parameters else {}
        return self.pipe(image=image, generator=rng, **prompt).images[0].convert("RGB")


class _Transformer:
    def __init__(self, model: torch.nn.Module, processor: Callable) -> None:
        self.model, self.processor = model, processor

    @torch.no_grad()
    def __call__(self, image: Image.Image) -> Image.Image:
        pixels = self.processor(image, return_tensors="pt")["pixel_values"].to(self.model.device)  # padded at its end
        enlarged = self.model(pixels).reconstruction[0].float().cpu()  # (3, H, W) in [0, 1]
        factor = round(enlarged.shape[-1] / pixels.shape[-1])
        enlarged = enlarged[:, : image.height * factor, : image.width * factor]
        return Image.fromarray((enlarged.permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8))
