"""Segment, caption, generate: the three stages over any number of photos.

    toolkit = TryOff(Options(tryoff="builtin"))
    for product in toolkit(["photo.jpg"], category="all"):
        product.images[0].save(f"{product.garment.name}.png")

Each stage loads its model at the first garment that needs it, serves all garments and frees the model. A garment that
can't be served keeps its error; the stages skip it and serve the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.backends.registry import check_category
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.pictures.downloading import fetch_picture
from temu_vtoff.segmentation.categories import ALL
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.masks import label_ids
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.batches import attempt, segment_each
from temu_vtoff.stages.garment import Garment, Product, garments_of
from temu_vtoff.stages.making import Read, best_products
from temu_vtoff.stages.models import load_captioner, load_pipeline, load_upscaler
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame, Photo, as_garments, as_list, make_names_unique
from temu_vtoff.stages.selecting import finished
from temu_vtoff.stages.selection import Selection
from temu_vtoff.stages.toolkit import Toolkit, first_seeds, sampling_of
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

        def find(photo: Garment, picture: Image.Image, label_map: np.ndarray, labels: Labels) -> list[Garment]:
            parts = garments_of(photo, label_map, labels, self.options.person if person is None else person)
            for part in parts:
                attempt(part, partial(frame.warn, photo=picture, label_map=label_map, labels=labels))
            return parts

        has_common = category != ALL and not any(isinstance(photo, Garment) for photo in photos)
        found = self._served(
            "segment",
            named,
            read=partial(_read_or_mask, frame),
            load=partial(self._segmenter_of, category) if has_common else self.segmenter,
            serve=partial(segment_each, find),
        )
        garments = [garment for photo, parts in found for garment in parts or [photo]]
        make_names_unique(garments)
        return garments

    def caption(self, garments: Sequence[Garment]) -> None:
        """Writes the captions that are missing.

        Raises:
            CheckpointError: The captioner can't be loaded.
        """
        frame = Frame.of(self.options)
        missing = [garment for garment in garments if garment.error is None and garment.caption is None]
        for garment, caption in self._served(
            "caption", missing, read=frame.captioned, load=self.captioner, serve=_captions
        ):
            garment.caption = caption

    def generate(
        self,
        garments: Sequence[Garment],
        *,
        seed: int | Sequence[int] = 0,
        num_images: int = 1,
        selection: Selection | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        **changes: Any,
    ) -> Iterator[Product]:
        """Makes the product pictures.

        Args:
            garments: Garments with masks; a garment without a caption gets the empty one.
            seed: Random seed of each garment's first picture; one for all, or one for each.
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
        most = num_images * (1 + selection.retries)
        seeds = first_seeds(seed, garments, most)
        options = replace(self.options, **changes)
        frame = Frame.of(options)
        tries = [range(start, start + num_images) for start in range(0, most, num_images)]
        sampling = sampling_of(options, (frame.width, frame.height), callback_on_step_end)
        pictures = num_images * sum(garment.error is None for garment in garments)
        if pictures > 0:
            self.upscaler()  # one that can't be loaded is known before pictures are made

        def make(pipe: TryOffPipeline | EditingModel, read: Read) -> list[Product]:
            captioner = self.captioner() if selection.check_captions else None
            how = {"sampling": sampling, "selection": selection, "captioner": captioner}
            products = best_products(pipe, read, first_seeds=seeds, tries=tries, **how)
            return [finished(product, self.options.finish, self.upscaler()) for product in products]

        for garment, product in self._served(
            "try off",
            garments,
            read=frame.pair,
            load=lambda: self.pipeline(pictures),
            serve=make,
            batch_size=options.batch_size,
        ):
            yield Product(garment) if product is None else product

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

    def _segmenter_of(self, category: str) -> ClothSegmenter:
        """The segmenter.

        Raises:
            ArgumentError: Its labels can't tell the category, of all photos.
        """
        segmenter = self.segmenter()
        label_ids(category, labels=segmenter.labels)
        return segmenter

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


def _read_or_mask(frame: Frame, garment: Garment) -> Image.Image | None:
    """The photo to segment; None for a garment with a mask of its own, which it gets here."""
    if garment.mask_file is None:
        return frame.photo(garment.photo)
    garment.mask = frame.mask(garment.mask_file, garment.photo)
    frame.warn(garment)
    return None


def _captions(captioner: Captioner, read: Sequence[tuple[Garment, Image.Image]]) -> list[str | None]:
    captions = captioner([photo for _, photo in read], [garment.category for garment, _ in read])
    for (garment, _), caption in zip(read, captions, strict=True):
        if isinstance(caption, Exception):  # a server's answers fail one by one
            garment.error = caption
    return [None if isinstance(caption, Exception) else caption for caption in captions]
