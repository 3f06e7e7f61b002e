"""Try-on for a split of a dataset: makes label maps if the task asks for them, and joints where the dataset has none,
then the pictures.

In paired lists every person gets the own garment back, so that the photo is the truth; in unpaired lists another one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from temu_vtoff.datasets import Item, TryOffDataset
from temu_vtoff.datasets.masks import generated_label_map_path
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.devices import free_memory
from temu_vtoff.pictures import same_shape
from temu_vtoff.runs.dataset_run import DatasetRun
from temu_vtoff.runs.generation import generate_items
from temu_vtoff.runs.posing import estimate_items
from temu_vtoff.runs.segmenting import LabelMaps
from temu_vtoff.runs.settings import read_settings
from temu_vtoff.runs.sharing import item_seed
from temu_vtoff.runs.task import TryOnTask
from temu_vtoff.stages.fitting_room import find_region, reduced
from temu_vtoff.stages.models import estimates_joints, load_tryon_pipeline
from temu_vtoff.stages.tryon_options import NO_POSE_MODEL, OFFSETS, TryOnOptions
from temu_vtoff.tryon.body_picture import body_picture
from temu_vtoff.tryon.fitting import Fitting, draw_pose, lacks_pose, no_joints, put_on
from temu_vtoff.tryon.pipeline import TryOnPipeline
from temu_vtoff.tryon.pose_estimation import AUTO, PoseEstimator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittingSample:
    """An item, ready for the pipeline."""

    item: Item
    fitting: Fitting


class FittingDataset(Dataset[FittingSample]):
    """The items of a dataset with region and pose picture.

    Args:
        dataset: Loads person and garment in their own sizes.
        options: Decide the region.
    """

    def __init__(self, dataset: TryOffDataset, options: TryOnOptions) -> None:
        self.dataset, self.options = dataset, options

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> FittingSample:
        """
        Raises:
            FileNotFoundError: A picture or label map is missing.
            ValueError: One is unreadable or of another shape than the photo, or shows no such garment.
        """
        sample = self.dataset[index]
        item, photo = sample.item, sample.person
        labels = Image.fromarray(self.dataset.label_map(item))
        if not same_shape(labels.size, photo.size):
            raise ValueError(
                f"The label map of {item.person} is {labels.width}x{labels.height}; it needs the proportions of the "
                f"upright photo, {photo.width}x{photo.height}."
            )
        labels = labels.resize(reduced(photo).size, Image.Resampling.NEAREST)
        joints = self.dataset.joints(item)
        joints = None if joints is None else joints.at(*photo.size)
        region = find_region(
            np.asarray(labels), self.dataset.labels, category=item.category, joints=joints, options=self.options
        )
        region = region.resize(photo.size, Image.Resampling.NEAREST)
        pose = None if joints is None else draw_pose(joints, photo)
        body = body_picture(np.asarray(labels), self.dataset.labels)
        return FittingSample(item, Fitting(photo, sample.garment, region, pose, body))


class DatasetTryOn(DatasetRun):
    """See `DatasetRun`."""

    task: TryOnTask
    options: TryOnOptions
    task_settings = (*DatasetRun.task_settings, "no_paste")
    option_settings = (*DatasetRun.option_settings, "region", *OFFSETS)
    estimator: PoseEstimator | None = None  # None where it isn't needed or can't be had
    no_estimate: ArgumentError | None = None  # why it can't be had

    @property
    def models(self) -> dict[str, Any]:
        segmenter = None if self.task.segment is None else self.options.sources.segmenter
        return {"tryon": self.options.tryon, "segmenter": segmenter}

    def _stages(self) -> None:
        self.segment()
        self.estimate_joints()
        self.generate()

    def segment(self) -> None:
        """Makes the label maps that are asked for and missing."""
        self._segment(
            partial(generated_label_map_path, self.task.label_maps), LabelMaps(self.notes, self.task.dataset_name)
        )

    def estimate_joints(self) -> None:
        """Estimates the joints that are missing, if the options say so."""
        if self.estimator is not None:
            dataset = self._open(load=["person"])
            self.failures |= estimate_items(
                dataset, self._select(), self.estimator, self.task.joints, **self._reading("estimate joints")
            )
            self.estimator = None
            free_memory()

    def generate(self) -> None:
        """Makes the pictures that are missing."""
        batches = self._select()
        dataset = self._open(
            load=["person", "garment"],
            label_map_dir=self.task.label_maps,
            joints_dir=self.task.joints,
        )
        self.failures |= generate_items(
            FittingDataset(dataset, self.options),
            batches,
            load_pipeline=lambda: self._load_pipeline(sum(map(len, batches))),
            make=partial(
                _dress,
                no_estimate=self.no_estimate,
                seed=self.task.seed,
                paste=not self.task.no_paste,
                **self._sampling(),
            ),
            output_dir=self.output_dir,
            journal=self.journal,
            seed=self.task.seed,
            **self._reading("try on"),
        )

    def _check_models(self) -> None:
        super()._check_models()
        source, begun_with = self.options.pose_model, self._begun_with()
        if all(map(self._open(load=()).has_joints, self.items)) or not estimates_joints(self.options):
            return
        if source == AUTO and begun_with == NO_POSE_MODEL:
            return  # a folder begun without estimated joints is completed without
        try:
            self.estimator = PoseEstimator.from_pretrained(source)
        except ArgumentError as error:
            if source != AUTO or begun_with is not None:
                raise
            self.no_estimate = error

    def _settle(self, begun: Mapping[str, Any]) -> TryOnOptions:
        lacking = any(self.share.gather([self.no_estimate is not None]))
        if lacking:  # in one process, so that the others do without too
            self.estimator = None
        self.is_estimating = any(self.share.gather([self.estimator is not None]))
        return super()._settle(begun)

    def _begun_with(self) -> str | None:
        """What estimated the joints when the folder was begun; None in a new folder."""
        begun = read_settings(self.output_dir / "settings.json")
        return None if begun is None else begun.get("pose_model", NO_POSE_MODEL)

    def _more_settings(self) -> dict[str, Any]:
        settings, begun_with = {"task": "try_on", **self.models}, self._begun_with()
        source = self.options.pose_model
        used = source if self.is_estimating or source == NO_POSE_MODEL else begun_with
        if {used, begun_with} <= {None, NO_POSE_MODEL}:
            return settings  # as folders of earlier versions have them
        return settings | {"pose_model": used}

    def _load_pipeline(self, pictures: int) -> TryOnPipeline:
        loaded = load_tryon_pipeline(self.options, pictures)
        self.taken = loaded.taken
        return loaded.pipe


def _dress(
    pipe: TryOnPipeline,
    samples: Sequence[FittingSample],
    *,
    no_estimate: ArgumentError | None,
    seed: int,
    paste: bool,
    **sampling: Any,
) -> list[Image.Image]:
    fittings = [sample.fitting for sample in samples]
    if pipe.pose_guider is None:
        fittings = [replace(fitting, pose=None) for fitting in fittings]
    elif lacks_pose(pipe, fittings):
        logger.warning(no_joints(no_estimate))
    generators = [[torch.Generator().manual_seed(item_seed(sample.item, seed))] for sample in samples]
    return [images[0] for images in put_on(pipe, fittings, generators, paste=paste, **sampling)]
