"""Try-on over any number of persons and garments, and garment transfer.

    toolkit = TryOn(TryOnOptions(tryon="BoyuanJiang/FitDiT"))
    persons = toolkit.prepare(["person.jpg"], category="upper_body")
    for result in toolkit.generate(persons, ["garment.jpg"]):
        result.images[0].save(f"{result.pair.name}.png")

Each model is loaded at the first item that needs it and freed when its stage ends. A person or pair that fails keeps
its error and does not stop the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from temu_vtoff.errors import ArgumentError, check_choice
from temu_vtoff.pictures import open_picture
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.people import one_person
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.batches import attempt, segment_each
from temu_vtoff.stages.fitting_room import (
    GarmentPicture,
    Pair,
    Person,
    TryOnResult,
    check_no_person,
    find_region,
    fitting_of,
    own_region,
    pairs_of,
    read_person,
    reduced,
)
from temu_vtoff.stages.garment import Product
from temu_vtoff.stages.models import estimates_joints, load_tryon_pipeline
from temu_vtoff.stages.reading import Photo, as_list, photo_names
from temu_vtoff.stages.toolkit import Toolkit, first_seeds, sampling_of
from temu_vtoff.stages.tryoff import TryOff
from temu_vtoff.stages.tryon_options import TryOnOptions
from temu_vtoff.stages.warnings import person_warnings
from temu_vtoff.tryon.body_picture import body_picture
from temu_vtoff.tryon.fitting import lacks_pose, no_joints, put_on
from temu_vtoff.tryon.joints import Joints
from temu_vtoff.tryon.pipeline import TryOnPipeline
from temu_vtoff.tryon.pose_estimation import AUTO, PoseEstimator

Read = Sequence[tuple[Person, Image.Image]]  # persons and their photos
logger = logging.getLogger(__name__)


class TryOn(Toolkit):
    """Finds the region to repaint, and paints the garment there.

    Args:
        options: Models and how they run.
        how: Arguments of `Toolkit`.
    """

    options: TryOnOptions

    def __init__(self, options: TryOnOptions, **how: Any) -> None:
        super().__init__(options, **how)
        self._is_warned = False  # of missing joints
        self._no_estimate: ArgumentError | None = None  # why joints can't be estimated

    def prepare(
        self,
        photos: Photo | Sequence[Photo],
        category: str = "upper_body",
        *,
        mask: Photo | None = None,
        joints: Joints | None = None,
        pose: Photo | None = None,
        person: int | None = None,
    ) -> list[Person]:
        """Finds what is repainted of each person.

        Args:
            photos: Paths or pictures, one or several.
            category: One of `DATASET_CATEGORIES`.
            mask: With a single photo: white where it is repainted, instead of segmenting.
            joints: With a single photo; see `temu_vtoff.tryon.joints.read_joints`. Left out, they are estimated where
                the try-on model reads a pose and `TryOnOptions.pose_model` allows.
            pose: With a single photo: its pose picture, instead of one drawn from joints.
            person: Who, in the place of `Options.person`.

        Returns:
            Persons in the order of the photos, each with its region or with an error.

        Raises:
            ArgumentError: An unknown category, or a mask, joints or a pose for several photos.
            CheckpointError: The segmenter or the pose model can't be loaded.
        """
        photos = as_list(photos)
        check_choice("category", category, DATASET_CATEGORIES)
        given = {"mask": mask, "joints": joints, "pose": pose}
        for name in [name for name, value in given.items() if value is not None and len(photos) > 1]:
            raise ArgumentError(f"{{{name}}} is for a single photo of a person.", name)
        number = self.options.person if person is None else person
        named = zip(photos, photo_names(photos), strict=True)
        persons = [Person(photo, category, name, joints=joints) for photo, name in named]

        def load() -> tuple[PoseEstimator | None, ClothSegmenter | None]:
            estimator = self.pose_estimator() if joints is None and pose is None else None
            return estimator, self.segmenter() if mask is None else None

        def find(models: tuple[PoseEstimator | None, ClothSegmenter | None], read: Read) -> list[Image.Image | None]:
            estimator, segmenter = models
            if estimator is not None:
                for person, photo in read:
                    person.joints = attempt(person, lambda _, photo=photo: estimator.estimate_joints(photo))
            if segmenter is None:
                return [attempt(person, partial(own_region, photo=photo, mask=mask)) for person, photo in read]
            some = [(person, reduced(photo)) for person, photo in read]
            return segment_each(partial(self._region, number), segmenter, some)

        for person, region in self._served(
            "segment", persons, read=partial(read_person, pose=pose), load=load, serve=find
        ):
            person.region = region
        return persons

    def check_garments(self, garments: Photo | Sequence[Photo]) -> list[GarmentPicture]:
        """Product pictures for `generate`, each with an error if it is a photo of somebody wearing the garment.

        Raises:
            CheckpointError: The segmenter can't be loaded.
        """
        garments = as_list(garments)
        found = [GarmentPicture(one, name) for one, name in zip(garments, photo_names(garments), strict=True)]

        def check(_: GarmentPicture, __: Image.Image, label_map: np.ndarray, labels: Labels) -> None:
            check_no_person(label_map, labels)

        checked = self._served(
            "segment",
            found,
            read=lambda garment: reduced(open_picture(garment.photo)),
            load=self.segmenter,
            serve=partial(segment_each, check),
        )
        return [garment for garment, _ in checked]

    def take_off(self, photos: Photo | Sequence[Photo], category: str = "upper_body", seed: int = 0) -> list[Product]:
        """Product pictures of what other persons wear, by all of `TryOff`: what `generate` takes as garments.

        Raises:
            CheckpointError: A model can't be loaded.
        """
        toolkit = TryOff(self.options.of_tryoff(), progress=self.progress)
        products = list(toolkit(photos, category, seed=seed))
        for stage, seconds in toolkit.seconds.items():
            self.seconds[stage] = round(self.seconds.get(stage, 0) + seconds, 2)
        return products

    def generate(
        self,
        persons: Sequence[Person],
        garments: Photo | Sequence[Photo | GarmentPicture | Product],
        **how: Any,
    ) -> Iterator[TryOnResult]:
        """Puts every garment on every person.

        Args:
            persons: Results of `prepare`.
            garments: Product pictures: paths, pictures, results of `check_garments`, or products of `take_off`.
            how: Arguments of `generate_pairs`.

        Yields:
            A result for each pair, garment by garment for each person; without images where it failed.

        Raises:
            ArgumentError: A value out of range.
            CheckpointError: The try-on model can't be loaded.
        """
        yield from self.generate_pairs(pairs_of(persons, as_list(garments)), **how)

    def generate_pairs(
        self,
        pairs: Sequence[Pair],
        *,
        seed: int | Sequence[int] = 0,
        num_images: int = 1,
        paste: bool = True,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        **changes: Any,
    ) -> Iterator[TryOnResult]:
        """Puts garments on persons.

        Args:
            pairs: Persons and garments as for `generate`.
            seed: Random seed of each pair's first picture, one for all or one for each; the others take the seeds that
                follow.
            num_images: Pictures of each pair.
            paste: Put the region back into the photo, at the photo's size; outside of it every pixel stays.
            callback_on_step_end: Argument of `TryOnPipeline.__call__`.
            changes: Sampling fields of the options for this call: `preset`, `num_inference_steps`, `guidance_scale`,
                `width`, `height`, `batch_size`.

        Yields:
            A result for each pair, in order; without images where it failed.

        Raises:
            ArgumentError: A value out of range.
            CheckpointError: The try-on model can't be loaded.
        """
        seeds = {pair: range(first, first + num_images) for pair, first in first_seeds(seed, pairs, num_images).items()}
        options = replace(self.options, **changes)
        pictures = num_images * sum(pair.error is None for pair in pairs)
        make = partial(
            self._put_on,
            seeds=seeds,
            paste=paste,
            sampling=sampling_of(options, options.size(), callback_on_step_end),
        )
        for pair, result in self._served(
            "try on",
            pairs,
            read=Pair.read,
            load=lambda: self.pipeline(pictures),
            serve=make,
            batch_size=options.batch_size,
        ):
            yield TryOnResult(pair) if result is None else result

    def pipeline(self, pictures: int = 1) -> TryOnPipeline:
        """The try-on pipeline, loaded on first use.

        Args:
            pictures: Number of pictures to make; decides whether compiling pays.
        """
        return self._pipeline(lambda: load_tryon_pipeline(self.options, pictures))

    def pose_estimator(self) -> PoseEstimator | None:
        """Estimates joints, loaded on first use; None where the options don't want it, or "auto" can't be had.

        Raises:
            ArgumentError: rtmlib is needed for the folder that was given, and not installed.
            CheckpointError: The folder doesn't hold the two models.
        """
        source = self.options.pose_model
        if self._no_estimate or not estimates_joints(self.options):
            return None
        try:
            return self._model("pose", lambda: PoseEstimator.from_pretrained(source))
        except ArgumentError as error:
            if source != AUTO:
                raise
            self._no_estimate = error
            return None

    def _region(
        self, number: int | None, person: Person, photo: Image.Image, label_map: np.ndarray, labels: Labels
    ) -> Image.Image:
        """What is repainted of a person; fills in what else the labels tell."""
        found = one_person(label_map, labels, number)
        person.people, person.number = found.count, found.number
        if found.note is not None:
            logger.warning("%s: %s", person.name, found.note)
        person.body = body_picture(found.label_map, labels)
        person.warnings = person_warnings(photo, found.label_map, labels)
        return find_region(found.label_map, labels, person.category, joints=person.joints, options=self.options)

    def _put_on(
        self,
        pipe: TryOnPipeline,
        read: Sequence[tuple[Pair, tuple[Image.Image, Image.Image]]],
        *,
        seeds: Mapping[Pair, range],
        sampling: dict[str, Any],
        paste: bool,
    ) -> list[TryOnResult]:
        """The results of a batch, with one picture of each pair for each seed."""
        fittings = [fitting_of(pair.person, photo, garment, pipe) for pair, (photo, garment) in read]
        if lacks_pose(pipe, fittings) and not self._is_warned:
            logger.warning(no_joints(self._no_estimate))
            self._is_warned = True
        generators = [[torch.Generator().manual_seed(seed) for seed in seeds[pair]] for pair, _ in read]
        started = time.perf_counter()
        pictures = put_on(pipe, fittings, generators, paste=paste, **sampling)
        seconds = round((time.perf_counter() - started) / len(read), 3)
        return [
            TryOnResult(pair, images, photo=one.photo, garment=one.garment, region=one.region, seconds=seconds)
            for (pair, _), one, images in zip(read, fittings, pictures, strict=True)
        ]
