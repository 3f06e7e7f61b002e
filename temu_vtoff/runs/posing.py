"""Joints for the items of a dataset that has none, where `TryOffDataset` looks for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from temu_vtoff.datasets.masks import generated_joints_path
from temu_vtoff.runs.reading import naming_killed_readers
from temu_vtoff.runs.stage import Progress, each_batch, each_result
from temu_vtoff.serving import ErrorRow
from temu_vtoff.tryon.joints import Joints, write_joints

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.tryon.pose_estimation import PoseEstimator


@naming_killed_readers()
def estimate_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    estimator: PoseEstimator,
    joints_dir: Path,
    *,
    num_workers: int = 0,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the joints that neither the dataset nor `joints_dir` has. Persons in whom none are found get no file.

    Args:
        dataset: Dataset that loads persons in their own sizes.
        batches: Argument of `each_batch`, like `num_workers` and `progress`.
        joints_dir: See `generated_joints_path`.

    Returns:
        The errors of the items whose photos can't be read.
    """
    failures: dict[Item, str] = {}
    errors = ErrorRow()

    def is_done(item: Item) -> bool:
        return dataset.has_joints(item) or generated_joints_path(joints_dir, item).is_file()

    left = [[item for item in batch if not is_done(item)] for batch in batches]  # each is estimated by itself
    steps = each_batch(
        dataset,
        [batch for batch in left if batch],
        is_done=is_done,
        load_model=lambda: estimator,
        failures=failures,
        num_workers=num_workers,
        progress=progress,
    )
    for _, samples in steps:
        for sample, joints in each_result(partial(_estimate, estimator), samples, failures, errors):
            if joints is not None:
                path = generated_joints_path(joints_dir, sample.item)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_joints(joints, path)
    return failures


def _estimate(estimator: PoseEstimator, samples: Sequence[Sample]) -> list[Joints | None]:
    return [estimator.estimate_joints(sample.person) for sample in samples]
