"""Drawn people in each other's garments, encoded for the training of the built-in try-on model.

People are drawn, segmented and encoded shard by shard; a shard is one file, so a folder can grow while a training reads
what is there.

Letters: P people of a shard, F fittings of a shard, C latent channels, h w latent size, H W picture size, r c sides of
the grid of coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torchvision.transforms.functional import to_tensor

from drawn_people import CATEGORIES, draw_person
from drawn_people.correspondence import draw_try_on_correspondence
from drawn_people.people import SEEDS_PER_SET
from drawn_people.swap import draw_try_on
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import replacing
from temu_vtoff.hardware.cpu import multiplies_bf16
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.training.encoding import scaled_moments
from temu_vtoff.training.tryon_data import EncodedFittings, encode_garments, encode_persons
from temu_vtoff.tryoff.pipeline import TryOffPipeline
from temu_vtoff.tryon.body_picture import palette
from temu_vtoff.tryon.region import region_to_repaint

PEOPLE = 16  # of each category in a shard
GARMENTS = 3  # that each of them wears
AT_ONCE = 8  # pictures that the VAE encodes


@dataclass(frozen=True)
class EncodedDrawnFittings(EncodedFittings):
    """A batch of drawn fittings."""

    coords: torch.Tensor  # (B, r, c, 2): where the garment's picture shows each cell of the photo, NaN where it doesn't

    def drop_poses(self, share: float, rngs: Sequence[torch.Generator]) -> EncodedDrawnFittings:
        """The batch with a share of the items without pose."""
        draws = torch.stack([torch.rand((), generator=rng) for rng in rngs]).to(self.has_pose.device)
        return replace(self, has_pose=self.has_pose & (draws >= share))


class Shards:
    """The fittings of shards; indexing with a list of fittings gives their `EncodedDrawnFittings`.

    Args:
        paths: Written by `encode_shard`.

    Raises:
        ArgumentError: One is damaged.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.shards = [_open(path) for path in paths]
        self.index = [(s, f) for s, shard in enumerate(self.shards) for f in range(len(shard["person"]))]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, items: Sequence[int]) -> EncodedDrawnFittings:
        rows = [self._row(*self.index[item]) for item in items]
        # As float32 first: autocast on the CPU refuses to stack float16.
        stacked = {name: torch.stack([row[name].float() for row in rows]) for name in rows[0]}
        pose = torch.from_numpy(palette())[stacked.pop("labels").long()].permute(0, 3, 1, 2)  # (B, 3, H, W)
        return EncodedDrawnFittings(**stacked, pose=pose / 255, has_pose=torch.ones(len(items), dtype=torch.bool))

    def _row(self, number: int, fitting: int) -> dict[str, torch.Tensor]:
        shard = self.shards[number]
        person, garment = shard["person"][fitting], shard["garment"][fitting]
        of_person = ("masked_mean", "masked_std", "mask", "labels")
        of_garment = ("garment_mean", "garment_std", "garment_embeds")
        row = {name: shard[name][fitting] for name in ("dressed", "coords")}
        row |= {name: shard[name][person] for name in of_person}
        return row | {name: shard[name][garment] for name in of_garment}


def split_shards(folder: str | Path) -> tuple[Shards, Shards]:
    """For training and for validation: the latter has the first shard to itself.

    Raises:
        ArgumentError: There are not two shards, or one is damaged.
    """
    paths = sorted(Path(folder).glob("shard-*.safetensors"))
    if len(paths) < 2:
        raise ArgumentError(
            f"{{dataset_root}} {folder} holds {len(paths)} shards, two are needed; `python -m "
            "builtin_training.encode_try_on` writes them.",
            "dataset_root",
        )
    return Shards(paths[1:]), Shards(paths[:1])


def encode_shard(path: Path, first: int, pipeline: TryOffPipeline, segmenter: ClothSegmenter) -> int:
    """Draws and encodes people of every category; returns the number of fittings.

    Args:
        path: The shard's file.
        first: Seed of the first person; `PEOPLE` seeds are used.
        pipeline: The frozen models.
        segmenter: Makes the label maps that region and pose picture come from, as in use.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    people = 0
    for category in CATEGORIES:
        seeds = range(first, first + PEOPLE)
        drawn = [draw_person(seed, category) for seed in seeds]
        label_maps = segmenter.label_maps([person.photo for person in drawn])
        label_maps, regions = zip(
            *(
                _region(found, np.asarray(person.label_map), category)
                for found, person in zip(label_maps, drawn, strict=True)
            ),
            strict=True,
        )
        pairs = [(i, (i + 1 + k) % PEOPLE) for i in range(PEOPLE) for k in range(GARMENTS)]
        photos = [draw_try_on(seeds[i], seeds[j], category).photo for i, j in pairs]
        coords = [draw_try_on_correspondence(seeds[i], seeds[j], category) for i, j in pairs]
        products = [person.garments[category].product for person in drawn]
        masks = torch.from_numpy(np.stack(regions))[:, None].float()  # (P, 1, H, W)
        owners = _stack([person.photo for person in drawn])
        encoded = _few_at_once(partial(encode_persons, pipeline), owners, masks)
        encoded |= _few_at_once(partial(encode_garments, pipeline), _stack(products))
        encoded |= _few_at_once(partial(_encode_dressed, pipeline), _stack(photos))
        encoded |= {
            "labels": torch.from_numpy(np.stack(label_maps)),
            "coords": torch.from_numpy(np.stack(coords)),
            "person": torch.tensor([people + i for i, _ in pairs]),
            "garment": torch.tensor([people + j for _, j in pairs]),
        }
        people += PEOPLE
        for name, rows in encoded.items():
            parts.setdefault(name, []).append(rows.half() if rows.is_floating_point() else rows)
    whole = {name: torch.cat(rows).contiguous() for name, rows in parts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(whole, temporary)
    return len(whole["person"])


def shard_seeds(seed: int, count: int) -> Iterator[tuple[str, int]]:
    """Names and first seeds of so many shards, from a data set's own range of seeds."""
    for number in range(count):
        yield f"shard-{number:04d}.safetensors", seed * SEEDS_PER_SET + number * PEOPLE


def _region(found: np.ndarray, true: np.ndarray, category: str) -> tuple[np.ndarray, np.ndarray]:
    """Label map and region as found; where the segmenter misses the garment, by the true label map."""
    try:
        return found, region_to_repaint(found, category, tight=True)
    except GarmentNotFoundError:
        return true, region_to_repaint(true, category, tight=True)


def _few_at_once(encode: Callable[..., dict[str, torch.Tensor]], *pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Encodes a few pictures at once: more need memory that the system has to clear."""
    with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
        parts = [encode(*some) for some in zip(*(x.split(AT_ONCE) for x in pictures), strict=True)]
    return {name: torch.cat([part[name].float() for part in parts]) for name in parts[0]}


@torch.no_grad()
def _encode_dressed(pipeline: TryOffPipeline, photos: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"dressed": scaled_moments(pipeline, photos)[0]}


def _stack(pictures: Sequence[Image.Image]) -> torch.Tensor:
    return torch.stack([to_tensor(picture) for picture in pictures])


def _open(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArgumentError(
            f"{{dataset_root}}: {path} is damaged ({error}); delete it, and encode_try_on writes it again.",
            "dataset_root",
        ) from error
