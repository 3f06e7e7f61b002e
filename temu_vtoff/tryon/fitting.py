"""A batch of persons and garments through the pipeline and back into the photos.

Letters: B pairs, n pictures of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from temu_vtoff.errors import ArgumentError
from temu_vtoff.tryon.joints import Joints
from temu_vtoff.tryon.pasting import paste_back
from temu_vtoff.tryon.pose_picture import pose_picture
from temu_vtoff.tryon.region import SHORT_SIDE

if TYPE_CHECKING:
    import torch

    from temu_vtoff.tryon.pipeline import TryOnPipeline

_NO_JOINTS = (
    "the model reads the person's pose, but there are no joints: the pose is left out, and arms and legs may change. "
    "{}Give a file of joints: DressCode's keypoints/*_2.json, VITON-HD's openpose_json, or any JSON in OpenPose's form."
)


@dataclass(frozen=True, eq=False)
class Fitting:
    """What the pipeline is called with for one pair.

    Attributes:
        photo: The person, RGB, upright.
        garment: Product picture, RGB, upright.
        region: L, 255 where the person is repainted, of the photo's size.
        pose: Pose picture of the photo's shape; None where nothing is known.
        body: Body picture of the photo's shape, which some models read instead of a pose; None where there is none.
    """

    photo: Image.Image
    garment: Image.Image
    region: Image.Image
    pose: Image.Image | None = None
    body: Image.Image | None = None


def reads_labels(pipe: TryOnPipeline) -> bool:
    """Whether the model's pose guider reads body pictures instead of poses."""
    return pipe.pose_guider is not None and pipe.pose_guider.config.reads == "labels"


def draw_pose(joints: Joints, photo: Image.Image) -> Image.Image:
    """The pose picture of a photo's joints, with `SHORT_SIDE` pixels on its short side."""
    scale = SHORT_SIDE / min(photo.size)
    size = (round(photo.width * scale), round(photo.height * scale))
    return pose_picture(joints.at(*size), *size)


def lacks_pose(pipe: TryOnPipeline, fittings: Sequence[Fitting]) -> bool:
    """Whether the model reads poses, and some pair has none."""
    if pipe.pose_guider is None or reads_labels(pipe):
        return False
    return any(fitting.pose is None for fitting in fittings)


def no_joints(reason: ArgumentError | None = None) -> ArgumentError:
    """The warning where `lacks_pose`, with the reason why joints are not estimated if there is one."""
    if reason is None:
        return ArgumentError(_NO_JOINTS.format(""))
    return ArgumentError(_NO_JOINTS.format(f"{reason.sentence} "), *reason.arguments)


def put_on(
    pipe: TryOnPipeline,
    fittings: Sequence[Fitting],
    generators: Sequence[Sequence[torch.Generator]],
    *,
    paste: bool = True,
    **sampling: Any,
) -> list[list[Image.Image]]:
    """The pictures of B pairs.

    Pairs with a pose and pairs without make two batches: the pipeline takes poses for all of a batch or for none.

    Args:
        generators: n random generators for each pair.
        paste: Put the region back into the photo, at the photo's size; outside of it every pixel stays.
        sampling: Further arguments of `TryOnPipeline.__call__`.

    Returns:
        B lists of n pictures, RGB.
    """
    pictures: dict[int, list[Image.Image]] = {}
    poses = [fitting.body if reads_labels(pipe) else fitting.pose for fitting in fittings]
    for posed in (True, False):
        numbers = [number for number, pose in enumerate(poses) if (pose is not None) == posed]
        if not numbers:
            continue
        some = [fittings[number] for number in numbers]
        copies = len(generators[0])
        images = pipe(
            [fitting.garment for fitting in some],
            [fitting.photo for fitting in some],
            [fitting.region for fitting in some],
            pose=[poses[number] for number in numbers] if posed else None,
            num_images_per_prompt=copies,
            generator=[generator for number in numbers for generator in generators[number]],
            **sampling,
        ).images
        for place, (number, fitting) in enumerate(zip(numbers, some, strict=True)):
            own = images[place * copies : (place + 1) * copies]
            pictures[number] = [paste_back(image, fitting.photo, fitting.region) if paste else image for image in own]
    return [pictures[number] for number in range(len(fittings))]
