"""The three models behind the page: one copy of each for all visitors, used by one at a time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from temu_vtoff.builtin import NOTICE
from temu_vtoff.captioning.qwen import Captioner
from temu_vtoff.hub.sources import WorkingSize
from temu_vtoff.pictures import fit_picture, unfit_mask
from temu_vtoff.segmentation.masks import garment_mask, garments_present, mask_picture
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.model_choice import Means, ModelChoice
from temu_vtoff.tryoff.presets import choose_preset

if TYPE_CHECKING:
    import argparse

    from temu_vtoff import TryOffPipeline

SIZE_FACTORS = (0.5, 0.75, 1, 1.25, 1.5)  # of the model's own size
OnStep = Callable[[int, int, Image.Image | None], bool]


@dataclass(frozen=True)
class Settings:
    """What "Advanced" holds. `seed` is the first picture's, the next ones count on from it."""

    width: int
    height: int
    steps: int = 28
    guidance: float = 2.0
    seed: int = 0
    count: int = 1


class Models:
    """Segmenter, captioner and try-off pipeline, loaded once.

    Args:
        notice: Told to every visitor: what the models can't do.
        previews: Decode pictures while they emerge. Off when models are moved to and from a GPU's memory, where each
            preview would move two of them, and under a preset whose solver's steps tell no clean picture.
        preset: How much quality is given for speed.
    """

    def __init__(
        self,
        segmenter: ClothSegmenter,
        captioner: Captioner,
        pipe: "TryOffPipeline",
        notice: str = "",
        previews: bool = True,
        preset: str = "exact",
    ) -> None:
        self.segmenter, self.captioner, self.pipe = segmenter, captioner, pipe
        self.notice, self.previews, self.preset = notice, previews, preset
        self._lock = threading.Lock()

    @classmethod
    def load(cls, args: "argparse.Namespace") -> "Models":
        """Loads what the flags of `command_line` name: those for models, device and speed.

        Raises:
            CheckpointError: One of them can't be had.
            ValueError: An unknown or absent device.
        """
        from temu_vtoff.hardware.devices import choose_device, choose_dtype

        device, choice = choose_device(args.device), ModelChoice.from_flags(vars(args))
        means = Means.from_flags(vars(args), pictures=1)  # sizes change from visitor to visitor: compiled when asked to
        pipe = choice.load_pipeline(device, choose_dtype(args.mixed_precision, device), args.offload, means)
        pipe.set_progress_bar_config(disable=True)
        return cls(
            ClothSegmenter.from_pretrained(choice.segmenter, device),
            Captioner.from_pretrained(choice.captioner, device),
            pipe,
            notice=NOTICE if choice.is_builtin else "",
            previews=args.offload in ("none", "auto") and args.preset == "exact",
            preset=args.preset,
        )

    @property
    def steps(self) -> int:
        """How many steps the preset takes."""
        return choose_preset(self.preset).steps

    @property
    def own_size(self) -> WorkingSize:
        """The size that the try-off model was made for."""
        return self.pipe.working_size

    def sizes(self) -> list[tuple[int, int]]:
        """Widths and heights to offer: of the model's own shape, and not larger than its position embedding."""
        own = self.own_size
        wanted = [(round(own.width * factor), round(own.height * factor)) for factor in SIZE_FACTORS]
        return [size for size in wanted if max(size) <= own.largest and not any(side % own.multiple for side in size)]

    def segment(self, photo: Image.Image, category: str) -> tuple[Image.Image, list[str]]:
        """The garment's mask, L, 0 or 255, of the photo's size; and what the visitor should be told about it.

        Raises:
            GarmentNotFoundError: It is not in the photo.
        """
        label_map = self._label_map(photo)
        garment = garment_mask(label_map, category)
        told = [] if garment.note is None else [garment.note]
        return unfit_mask(mask_picture(garment.mask), photo.size), told

    def categories_in(self, photo: Image.Image) -> list[str]:
        """The categories that the photo shows."""
        return garments_present(self._label_map(photo))

    def caption(self, photo: Image.Image, category: str) -> str:
        """The garment's shape in words."""
        with self._lock:
            return self.captioner([self._fit(photo)], category)[0]

    def try_off(
        self, photo: Image.Image, mask: Image.Image, caption: str, settings: Settings, on_step: OnStep
    ) -> list[Image.Image]:
        """The product pictures.

        Args:
            photo: Upright RGB, any size.
            mask: L, 0 or 255, of the photo's shape.
            on_step: Called with the steps done, the steps there are and, now and then, how the first picture looks by
                then; when it answers False the work ends early, with pictures of no use.
        """
        import torch

        with self._lock:
            return self.pipe(
                fit_picture(photo, settings.width, settings.height),
                mask=fit_picture(mask, settings.width, settings.height, fill=0, resample=Image.Resampling.NEAREST),
                prompt=caption,
                width=settings.width,
                height=settings.height,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                preset=self.preset,
                num_images_per_prompt=settings.count,
                generator=[torch.Generator().manual_seed(settings.seed + i) for i in range(settings.count)],
                callback_on_step_end=_Watcher(on_step, settings.steps, self.previews),
            ).images

    def _label_map(self, photo: Image.Image) -> np.ndarray:
        with self._lock:
            return self.segmenter.label_maps([self._fit(photo)])[0]

    def _fit(self, photo: Image.Image) -> Image.Image:
        return fit_picture(photo, self.own_size.width, self.own_size.height)


class _Watcher:
    """The pipeline's callback: passes steps on and previews of the clean picture, and ends the loop when told to."""

    def __init__(self, on_step: OnStep, steps: int, previews: bool) -> None:
        self.on_step, self.steps = on_step, steps
        self.every = max(1, steps // 8) if previews else None

    def __call__(self, pipe: "TryOffPipeline", step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        preview = None
        if self.every is not None and step > 0 and step % self.every == 0:
            clean = pipe.decode_latents(tensors["pred_original_sample"][:1])
            preview = pipe.image_processor.postprocess(clean, output_type="pil")[0]
        if not self.on_step(step + 1, self.steps, preview):
            pipe._interrupt = True
        return {}
