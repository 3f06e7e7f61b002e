"""Segment, caption, generate: the three stages over any number of photos.

    toolkit = TryOff(Options(tryoff="builtin"))
    for product in toolkit(["photo.jpg"], category="all"):
        product.images[0].save(f"{product.garment.name}.png")

Each stage loads its model at the first garment that needs it, serves all garments and frees the model. A garment that
can't be served keeps its error; the stages skip it and serve the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from temu_vtoff.captioning.qwen import Captioner
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.devices import free_memory
from temu_vtoff.pictures import unique_stems
from temu_vtoff.segmentation.masks import CATEGORIES, masked_image
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.batches import attempt, read_each, serve_each
from temu_vtoff.stages.garment import ALL, Garment, Product, garments_of
from temu_vtoff.stages.models import load_captioner, load_pipeline, load_segmenter
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame, Photo
from temu_vtoff.tryoff.pipeline import TryOffPipeline

SEEDS = range(-(2**63), 2**64)  # the seeds that torch accepts
MOST_IMAGES = 1000  # pictures of one garment; they are made as one batch


class TryOff:
    """The three stages. Several threads may use one object: they take turns at its models.

    Args:
        options: Models and how they run; the built-in model by default.
        keep_loaded: Keep each stage's model for the next call instead of freeing it.
        progress: Wraps the batches of a stage as progress(batches, stage), for example in a progress bar.

    Attributes:
        seconds: Time that each stage took so far, by its name.
        taken: Choices that the options left open, such as device and dtype; filled when the pipeline is loaded.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        keep_loaded: bool = False,
        progress: Callable[[Sequence[Any], str], Iterable[Any]] | None = None,
    ) -> None:
        self.options = Options() if options is None else options
        self.keep_loaded, self.progress = keep_loaded, progress
        self.seconds: dict[str, float] = {}
        self.taken: dict[str, Any] = {}
        self._models: dict[str, Any] = {}
        self._lock = threading.RLock()

    def __call__(self, photos: Photo | Sequence[Photo], category: str = "upper_body", **how: Any) -> Iterator[Product]:
        """All three stages.

        Args:
            photos: Argument of `segment`.
            category: Argument of `segment`.
            how: Arguments of `generate`.
        """
        garments = self.segment(photos, category)
        self.caption(garments)
        yield from self.generate(garments, **how)

    # --- the stages ---------------------------------------------------------------------------------------------

    def segment(
        self, photos: Photo | Sequence[Photo], category: str = "upper_body", *, mask: Photo | None = None
    ) -> list[Garment]:
        """Finds the garments.

        Args:
            photos: Paths or pictures, one or several.
            category: One of `CATEGORIES`, or "all" for every garment found.
            mask: With a single photo: its mask, white on the garment, instead of segmenting.

        Returns:
            Garments in the order of the photos, each with its mask and the mask's labels, or with an error.

        Raises:
            ArgumentError: An unknown category, or a mask for several photos or categories.
            CheckpointError: The segmenter can't be loaded.
        """
        photos = [photos] if isinstance(photos, (str, Path, Image.Image)) else list(photos)
        choices = (*CATEGORIES, ALL)
        if category not in choices:
            raise ArgumentError(f"{{category}} is {category!r}; choose one of {', '.join(choices)}.", "category")
        if mask is not None and (len(photos) > 1 or category == ALL):
            raise ArgumentError("{mask} is for a single photo and a single {category}.", "mask", "category")
        frame = Frame.of(self.options)
        named = [Garment(photo, category, name=name) for photo, name in zip(photos, _names(photos), strict=True)]
        garments: list[Garment] = []
        with self._stage("segment", named) as batches:
            for batch in batches:
                if mask is None:
                    garments += self._segment(batch, frame)
                    continue
                for garment in batch:
                    garment.mask = attempt(garment, lambda g: frame.mask(mask, g.photo))
                garments += batch
        return garments

    def caption(self, garments: Sequence[Garment]) -> None:
        """Writes the captions that are missing.

        Raises:
            CheckpointError: The captioner can't be loaded.
        """
        frame = Frame.of(self.options)
        missing = [garment for garment in garments if garment.error is None and garment.caption is None]
        with self._stage("caption", missing) as batches:
            for batch in batches:
                serve_each(read_each(batch, lambda garment: frame.photo(garment.photo)), self._caption)

    def generate(
        self,
        garments: Sequence[Garment],
        *,
        seed: int = 0,
        num_images: int = 1,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        **changes: Any,
    ) -> Iterator[Product]:
        """Makes the product pictures.

        Args:
            garments: Garments with masks; a garment without a caption gets the empty one.
            seed: Random seed of each garment's first picture.
            num_images: Pictures of each garment, with the seeds `seed`, `seed` + 1, and so on.
            callback_on_step_end: Argument of `TryOffPipeline.__call__`.
            changes: Sampling options for this call: `preset`, `num_inference_steps`, `guidance_scale`, `width`,
                `height`, `resize_mode`, `batch_size`.

        Yields:
            One product for each garment, in order; without images where the garment has an error.

        Raises:
            ArgumentError: A value out of range.
            CheckpointError: The try-off model can't be loaded.
        """
        if not 1 <= num_images <= MOST_IMAGES:
            raise ArgumentError(f"{{num_images}} is {num_images}; give 1 to {MOST_IMAGES}.", "num_images")
        if seed not in SEEDS or seed + num_images - 1 not in SEEDS:
            raise ArgumentError(f"{{seed}} is {seed}; give a whole number of at most 64 bits.", "seed")
        options = replace(self.options, **changes)
        frame = Frame.of(options)
        pictures = num_images * sum(garment.error is None for garment in garments)
        sampling = {
            "width": frame.width,
            "height": frame.height,
            "num_inference_steps": options.num_inference_steps,
            "guidance_scale": options.guidance_scale,
            "preset": options.preset,
            "callback_on_step_end": callback_on_step_end,
        }
        with self._stage("try off", garments, options.batch_size) as batches:
            for batch in batches:
                products: dict[Garment, Product] = {}

                def make(read: list[tuple[Garment, Any]], products: dict[Garment, Product] = products) -> None:
                    pipe = self.pipeline(pictures)
                    for product in self._generate(pipe, read, range(seed, seed + num_images), sampling):
                        products[product.garment] = product

                serve_each(read_each(batch, frame.pair), make)
                yield from (products.get(garment, Product(garment)) for garment in batch)

    # --- the models ---------------------------------------------------------------------------------------------

    def segmenter(self) -> ClothSegmenter:
        """The segmenter, loaded on first use."""
        return self._model("segmenter", lambda: load_segmenter(self.options))

    def captioner(self) -> Captioner:
        """The captioner, loaded on first use."""
        return self._model("captioner", lambda: load_captioner(self.options))

    def pipeline(self, pictures: int = 1) -> TryOffPipeline:
        """The try-off pipeline, loaded on first use.

        Args:
            pictures: Number of pictures to make; decides whether compiling pays.
        """

        def load() -> TryOffPipeline:
            loaded = load_pipeline(self.options, pictures)
            self.taken |= loaded.taken
            steps = {"disable": True} if self.progress is None else {"disable": None, "desc": "denoise", "leave": False}
            loaded.pipe.set_progress_bar_config(**steps)  # None: on a terminal only
            return loaded.pipe

        return self._model("pipeline", load)

    def release(self) -> None:
        """Frees all models."""
        with self._lock:
            self._models.clear()
            free_memory()

    def _model(self, name: str, load: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._models:
                self._models[name] = load()
            return self._models[name]

    @contextmanager
    def _stage(
        self, name: str, garments: Sequence[Garment], batch_size: int | None = None
    ) -> Iterator[Iterable[list[Garment]]]:
        """Yields the garments in batches, under the progress bar; then adds the stage's time and frees its model."""
        size = self.options.batch_size if batch_size is None else batch_size
        batches = [list(garments[start : start + size]) for start in range(0, len(garments), size)]
        started = time.perf_counter()
        try:
            yield batches if self.progress is None else self.progress(batches, name)
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - started, 2)
            if not self.keep_loaded:
                self.release()

    # --- one batch ----------------------------------------------------------------------------------------------

    def _segment(self, batch: list[Garment], frame: Frame) -> list[Garment]:
        """The garments of each photo, or the photo's single garment with an error."""
        read = read_each(batch, lambda garment: frame.photo(garment.photo))
        found = {garment: [garment] for garment in batch}
        if read:
            with self._lock:
                label_maps = self.segmenter().label_maps([photo for _, photo in read])
            for (garment, _), label_map in zip(read, label_maps, strict=True):
                found[garment] = attempt(garment, lambda g, labels=label_map: garments_of(g, labels)) or [garment]
        return [garment for garments in found.values() for garment in garments]

    def _caption(self, read: list[tuple[Garment, Image.Image]]) -> None:
        with self._lock:
            captions = self.captioner()([photo for _, photo in read], [garment.category for garment, _ in read])
        for (garment, _), caption in zip(read, captions, strict=True):
            garment.caption = caption

    def _generate(
        self,
        pipe: TryOffPipeline,
        read: list[tuple[Garment, tuple[Image.Image, Image.Image]]],
        seeds: range,
        sampling: dict[str, Any],
    ) -> Iterator[Product]:
        """The products of a batch, with one picture of each garment for each seed."""
        photos, masks = ([pair[part] for _, pair in read] for part in (0, 1))
        started = time.perf_counter()
        with self._lock:
            images = pipe(
                photos,
                mask=masks,
                masked_image=[masked_image(photo, mask) for photo, mask in zip(photos, masks, strict=True)],
                prompt=[garment.caption or "" for garment, _ in read],
                num_images_per_prompt=len(seeds),
                generator=[torch.Generator().manual_seed(seed) for _ in read for seed in seeds],
                **sampling,
            ).images
        seconds = round((time.perf_counter() - started) / len(read), 3)
        for number, (garment, (photo, mask)) in enumerate(read):
            own = images[number * len(seeds) : (number + 1) * len(seeds)]
            yield Product(garment, own, photo, mask, seconds)


def _names(photos: Sequence[Photo]) -> list[str]:
    """A name for each photo: its file's stem, or a number."""
    return unique_stems(
        [Path(f"photo_{n}") if isinstance(photo, Image.Image) else Path(photo) for n, photo in enumerate(photos, 1)]
    )
