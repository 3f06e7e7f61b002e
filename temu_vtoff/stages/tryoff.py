"""Segment, caption, generate: the three stages over any number of photos.

    toolkit = TryOff(Options(tryoff="builtin"))
    for product in toolkit(["photo.jpg"], category="all"):
        product.images[0].save(f"{product.garment.name}.png")

Each stage loads its model at the first garment that needs it, serves all garments and frees the model. A garment that
can't be served keeps its error; the stages skip it and serve the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.backends.registry import check_category
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.pictures.downloading import fetch_picture
from temu_vtoff.segmentation.categories import ALL
from temu_vtoff.segmentation.masks import label_ids, masked_image
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.serving import ErrorRow
from temu_vtoff.stages.batches import attempt, read_each, serve_each
from temu_vtoff.stages.editing import edit_each
from temu_vtoff.stages.garment import Garment, Product, garments_of
from temu_vtoff.stages.models import load_captioner, load_pipeline, load_upscaler
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame, Photo, as_garments, as_list, make_names_unique
from temu_vtoff.stages.selecting import finished, is_content, joined, judged, kept
from temu_vtoff.stages.selection import Selection
from temu_vtoff.stages.toolkit import Toolkit, check_seeds
from temu_vtoff.tryoff.pipeline import TryOffPipeline


class TryOff(Toolkit):
    """The three stages. Several threads may use one object: they take turns at its models.

    Args:
        options: Models and how they run; the built-in model by default.
        downloads: Folder for photos that are given by http(s) addresses; made when needed. Left open, a temporary one
            that lasts as long as this object.
        private_addresses: Whether addresses may lead to this computer and the local network; see `fetch_picture`.
        how: Arguments of `Toolkit`.
    """

    options: Options

    def __init__(
        self,
        options: Options | None = None,
        *,
        downloads: str | Path | None = None,
        private_addresses: bool = False,
        **how: Any,
    ) -> None:
        super().__init__(Options() if options is None else options, **how)
        self.downloads, self.private_addresses = downloads, private_addresses
        self._temporary: TemporaryDirectory | None = None

    def __call__(
        self, photos: Photo | Garment | Sequence[Photo | Garment], category: str = "upper_body", **how: Any
    ) -> Iterator[Product]:
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
        self,
        photos: Photo | Garment | Sequence[Photo | Garment],
        category: str = "upper_body",
        *,
        mask: Photo | None = None,
        person: int | None = None,
    ) -> list[Garment]:
        """Finds the garments.

        Args:
            photos: Paths, http(s) addresses or pictures, one or several; or garments with categories and names of
                their own, such as those of `temu_vtoff.stages.lists.read_list`.
            category: One that the back end makes (`temu_vtoff.backends.registry.categories_of`), or "all" for every
                garment found.
            mask: With a single photo: its mask, white on the garment, instead of segmenting.
            person: Whose garments, in the place of `Options.person`.

        Returns:
            Garments in the order of the photos, each with its mask and the mask's labels, or with an error.

        Raises:
            ArgumentError: An unknown category, one that the back end doesn't make or the segmenter's labels can't tell,
                or a mask for several photos or categories.
            CheckpointError: The segmenter can't be loaded.
        """
        photos = as_list(photos)
        check_category(category, self.options.backend)
        if mask is not None and (len(photos) > 1 or category == ALL):
            raise ArgumentError("{mask} is for a single photo and a single {category}.", "mask", "category")
        frame = Frame.of(self.options)
        named = as_garments(photos, category, self.options.backend, mask)
        self._fetch([garment for garment in named if garment.error is None and is_address(garment.photo)])
        common = None if any(isinstance(photo, Garment) for photo in photos) else category
        garments: list[Garment] = []
        with self._stage("segment", named) as batches:
            errors = ErrorRow()
            for batch in batches:
                garments += self._segment(
                    batch, frame, errors, category=common, person=self.options.person if person is None else person
                )
        make_names_unique(garments)
        return garments

    def caption(self, garments: Sequence[Garment]) -> None:
        """Writes the captions that are missing.

        Raises:
            CheckpointError: The captioner can't be loaded.
        """
        frame = Frame.of(self.options)
        missing = [garment for garment in garments if garment.error is None and garment.caption is None]
        with self._stage("caption", missing) as batches:
            errors = ErrorRow()
            for batch in batches:
                if read := read_each(batch, frame.captioned):
                    serve_each(read, partial(self._caption, self.captioner()), errors)

    def generate(
        self,
        garments: Sequence[Garment],
        *,
        seed: int = 0,
        num_images: int = 1,
        selection: Selection | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        **changes: Any,
    ) -> Iterator[Product]:
        """Makes the product pictures.

        Args:
            garments: Garments with masks; a garment without a caption gets the empty one.
            seed: Random seed of each garment's first picture.
            num_images: Pictures of each garment, with the seeds `seed`, `seed` + 1, and so on.
            selection: Further tries of poor pictures, and how many are kept; all of `num_images` by default.
            callback_on_step_end: Argument of `TryOffPipeline.__call__`.
            changes: Sampling options for this call: `preset`, `num_inference_steps`, `guidance_scale`, `width`,
                `height`, `resize_mode`, `batch_size`.

        Yields:
            One product for each garment, in order; without images where the garment has an error.

        Raises:
            ArgumentError: A value out of range.
            CheckpointError: The try-off model can't be loaded.
        """
        selection = Selection() if selection is None else selection
        check_seeds(seed, num_images * (1 + selection.retries))
        options = replace(self.options, **changes)
        frame = Frame.of(options)
        pictures = num_images * sum(garment.error is None for garment in garments)
        sampling = {
            "width": frame.width,
            "height": frame.height,
            "num_inference_steps": options.num_inference_steps,
            "guidance_scale": options.guidance,
            "preset": options.preset,
            "callback_on_step_end": callback_on_step_end,
        }
        if pictures > 0:
            self.upscaler()  # one that can't be loaded is known before pictures are made
        with self._stage("try off", garments, options.batch_size) as batches:
            errors = ErrorRow()
            for batch in batches:
                products: dict[Garment, Product] = {}

                def make(
                    pipe: TryOffPipeline | EditingModel,
                    read: list[tuple[Garment, Any]],
                    products: dict[Garment, Product] = products,
                ) -> None:
                    for start in range(seed, seed + num_images * (1 + selection.retries), num_images):
                        for product in self._generate(pipe, read, range(start, start + num_images), sampling):
                            earlier = products.get(product.garment) if start > seed else None
                            products[product.garment] = self._judge(joined(earlier, product), pipe, selection)
                        read = [pair for pair in read if not is_content(products[pair[0]], selection)]
                        if not read:
                            return

                if read := read_each(batch, frame.pair):
                    serve_each(read, partial(make, self.pipeline(pictures)), errors)
                for garment in batch:
                    product = products.get(garment, Product(garment))
                    yield product if garment.error is not None else self._finish(kept(product, selection))

    # --- the models ---------------------------------------------------------------------------------------------

    def captioner(self) -> Captioner:
        """The captioner, loaded on first use."""
        return self._model("captioner", lambda: load_captioner(self.options))

    def pipeline(self, pictures: int = 1) -> TryOffPipeline | EditingModel:
        """The try-off model, loaded on first use.

        Args:
            pictures: Number of pictures to make; decides whether compiling pays.
        """

        return self._pipeline(lambda: load_pipeline(self.options, pictures))

    def upscaler(self) -> Callable[[Image.Image], Image.Image] | None:
        """The upscaler that the options name, loaded on first use; None if they name none."""
        if self.options.finish is None or self.options.finish.upscale == 1:
            return None
        return self._model("upscaler", lambda: load_upscaler(self.options))

    # --- one batch ----------------------------------------------------------------------------------------------

    def _fetch(self, garments: list[Garment]) -> None:
        """Replaces addresses by the paths of what they hold; what can't be fetched becomes an error."""
        if not garments:
            return
        if self.downloads is None and self._temporary is None:
            self._temporary = TemporaryDirectory(prefix="temu-vtoff-")
        folder = Path(self._temporary.name if self.downloads is None else self.downloads)
        with self._stage("fetch", garments, 1) as batches:
            for (garment,) in batches:
                garment.address = garment.photo
                path = attempt(
                    garment, lambda g: fetch_picture(g.address, folder, g.name, private=self.private_addresses)
                )
                garment.photo = garment.address if path is None else path

    def _segment(
        self, batch: list[Garment], frame: Frame, errors: ErrorRow, category: str | None, person: int | None
    ) -> list[Garment]:
        """The garments of each photo, or the photo's single garment with an error.

        Args:
            category: What all photos are segmented for; None where each has its own.
        """
        found = {garment: [garment] for garment in batch}
        masked = [garment for garment in batch if garment.mask_file is not None and garment.error is None]
        for garment in masked:
            garment.mask = attempt(garment, lambda g: frame.mask(g.mask_file, g.photo))
            attempt(garment, frame.warn)
        batch = [garment for garment in batch if garment not in masked]

        def find(segmenter: ClothSegmenter, read: list[tuple[Garment, Image.Image]]) -> None:
            with self._lock:
                label_maps = segmenter.label_maps([photo for _, photo in read])
            for (garment, photo), label_map in zip(read, label_maps, strict=True):
                garments = partial(garments_of, label_map=label_map, labels=segmenter.labels, person=person)
                found[garment] = attempt(garment, garments) or [garment]
                for part in found[garment]:
                    attempt(part, partial(frame.warn, photo=photo, label_map=label_map, labels=segmenter.labels))

        if read := read_each(batch, lambda garment: frame.photo(garment.photo)):
            segmenter = self.segmenter()
            if category not in (None, ALL):
                label_ids(category, labels=segmenter.labels)  # raises for all photos at once
            serve_each(read, partial(find, segmenter), errors)
        return [garment for garments in found.values() for garment in garments]

    def _caption(self, captioner: Captioner, read: list[tuple[Garment, Image.Image]]) -> None:
        with self._lock:
            captions = captioner([photo for _, photo in read], [garment.category for garment, _ in read])
        for (garment, _), caption in zip(read, captions, strict=True):
            if isinstance(caption, Exception):  # a server's answers fail one by one
                garment.error = caption
            else:
                garment.caption = caption

    def _generate(
        self,
        pipe: TryOffPipeline | EditingModel,
        read: list[tuple[Garment, tuple[Image.Image, Image.Image]]],
        seeds: range,
        sampling: dict[str, Any],
    ) -> Iterator[Product]:
        """The products of a batch, with one picture of each garment for each seed."""
        make = edit_each if isinstance(pipe, EditingModel) else _call
        started = time.perf_counter()
        with self._lock:
            images = make(pipe, read, seeds, sampling)
        seconds = round((time.perf_counter() - started) / len(read), 3)
        for number, (garment, (photo, mask)) in enumerate(read):
            own = images[number * len(seeds) : (number + 1) * len(seeds)]
            yield Product(garment, own, seeds=list(seeds), photo=photo, mask=mask, seconds=seconds)

    def _judge(self, product: Product, pipe: TryOffPipeline, selection: Selection) -> Product:
        with self._lock:
            return judged(product, pipe, self.captioner() if selection.check_captions else None)

    def _finish(self, product: Product) -> Product:
        with self._lock:
            return finished(product, self.options.finish, self.upscaler())


def _call(
    pipe: TryOffPipeline,
    read: list[tuple[Garment, tuple[Image.Image, Image.Image]]],
    seeds: range,
    sampling: dict[str, Any],
) -> list[Image.Image]:
    """The pictures of a batch, garment by garment, one for each seed."""
    photos, masks = ([pair[part] for _, pair in read] for part in (0, 1))
    return pipe(
        photos,
        mask=[np.asarray(mask) for mask in masks],  # pictures would be examined, and warned about, again
        masked_image=[masked_image(photo, mask) for photo, mask in zip(photos, masks, strict=True)],
        prompt=[garment.caption or "" for garment, _ in read],
        num_images_per_prompt=len(seeds),
        generator=[torch.Generator().manual_seed(seed) for _ in read for seed in seeds],
        **sampling,
    ).images
