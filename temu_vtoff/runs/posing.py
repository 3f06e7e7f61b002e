"""Joints for the items of a dataset that has none, where `TryOffDataset` looks for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temu_vtoff.datasets.masks import generated_joints_path
from temu_vtoff.runs.stage import run_stage
from temu_vtoff.tryon.joints import Joints, write_joints

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.tryon.pose_estimation import PoseEstimator


def estimate_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    estimator: PoseEstimator,
    joints_dir: Path,
    **reading: Any,
) -> dict[Item, str]:
    """Writes the joints that neither the dataset nor `joints_dir` has. Persons in whom none are found get no file.

    Args:
        dataset: Dataset that loads persons in their own sizes.
        joints_dir: See `generated_joints_path`.
        reading: Arguments of `run_stage`: `num_workers` and `progress`.

    Returns:
        The errors of the items whose photos can't be read.
    """

    def is_done(item: Item) -> bool:
        return dataset.has_joints(item) or generated_joints_path(joints_dir, item).is_file()

    def estimate(estimator: PoseEstimator, samples: Sequence[Sample]) -> list[Joints | None]:
        return [estimator.estimate_joints(sample.person) for sample in samples]

    def write(estimator: PoseEstimator, sample: Sample, joints: Joints | None) -> None:
        if joints is not None:
            path = generated_joints_path(joints_dir, sample.item)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_joints(joints, path)

    left = [[item for item in batch if not is_done(item)] for batch in batches]  # each is estimated by itself
    return run_stage(
        dataset,
        [batch for batch in left if batch],
        is_done=is_done,
        load_model=lambda: estimator,
        make=estimate,
        keep=write,
        **reading,
    )
