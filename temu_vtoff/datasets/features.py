"""Precomputed embeddings on disk, in the release's layout: `<root>/<feature>/<category or phase>/<stem>.pt`.

Text features lie under the garment's stem, features of the photo under the person's.
`<root>/<feature>/empty_prompt.pt` is the empty prompt's embedding, for guidance.

Letters: B items, T tokens of one encoder (published: 77), D width of the joint attention (4096), P pooled width (2048).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from temu_vtoff.datasets import FEATURE_DTYPES
from temu_vtoff.datasets.sample import Item
from temu_vtoff.errors import reason_of
from temu_vtoff.files import write_bytes

POOLED = "CLIP_VIT_L_VIT_G_concat_pooled"  # (P,)
CLIP = "CLIP_VIT_L_VIT_G_concat"  # (T, D)
T5 = "T5_XXL"  # (T, D)
TEXT_FEATURES = (POOLED, CLIP, T5)
EMPTY_PROMPT = "empty_prompt.pt"
# End of a zip archive: mark, counts, length and start of its directory, length of the comment.
_END = struct.Struct("<4s4H2LH")
DTYPES = dict(zip(FEATURE_DTYPES, (torch.float32, torch.float16, torch.bfloat16), strict=True))


def save_feature(feature: torch.Tensor, path: Path) -> None:
    """Writes one item's tensor, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()  # a file would hold its own, temporary name
    torch.save(feature.detach().cpu().clone(), data)  # the clone leaves the rest of its batch out
    write_bytes(path, data.getvalue())


def load_feature(path: Path) -> torch.Tensor:
    """
    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a tensor.
    """
    try:
        feature = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no precomputed feature {path}.") from None
    except Exception as error:  # unpickling damaged files raises all kinds
        raise ValueError(f"{path} can't be read as a tensor: {reason_of(error)}.") from error
    if not isinstance(feature, torch.Tensor):
        raise ValueError(f"{path} holds a {type(feature).__name__}; expected a tensor.")
    return feature


def is_whole_feature(path: Path) -> bool:
    """Whether a feature's file is complete, judging by its first and last bytes.

    `torch.save` writes zip archives, whose directory is at the end. Pickles of old versions count as complete.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
            size = file.seek(0, os.SEEK_END)
            if head[:1] == b"\x80":  # a pickle
                return True
            file.seek(max(0, size - _END.size))
            mark, *_, length, start, comment = _END.unpack(file.read(_END.size))
    except (OSError, struct.error):
        return False
    beside = size - (start + length + _END.size + comment)  # torch adds the records of a 64-bit archive
    return head == b"PK\x03\x04" and mark == b"PK\x05\x06" and 0 <= beside <= 76


@dataclass(frozen=True)
class TextFeatures:
    """Caption embeddings below `root`."""

    root: Path

    def path(self, feature: str, item: Item) -> Path:
        """The file of one of `TEXT_FEATURES` of an item."""
        return self.root / feature / item.folder / f"{item.garment_stem}.pt"

    def has(self, item: Item) -> bool:
        """Whether all features of an item are on disk."""
        return all(is_whole_feature(self.path(feature, item)) for feature in TEXT_FEATURES)

    def has_empty_prompt(self) -> bool:
        """Whether all features of the empty prompt are on disk."""
        return all(is_whole_feature(self.root / feature / EMPTY_PROMPT) for feature in TEXT_FEATURES)

    def load(self, items: Sequence[Item]) -> tuple[torch.Tensor, torch.Tensor]:
        """`prompt_embeds` (B, 2 T, D), CLIP's before T5's, and `pooled_prompt_embeds` (B, P)."""
        return self._stack([[self.path(feature, item) for feature in TEXT_FEATURES] for item in items])

    def load_empty_prompt(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As `load`, for the empty caption: (1, 2 T, D) and (1, P)."""
        return self._stack([[self.root / feature / EMPTY_PROMPT for feature in TEXT_FEATURES]])

    @staticmethod
    def _stack(paths: Sequence[Sequence[Path]]) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, clip, t5 = (torch.stack([load_feature(path) for path in column]) for column in zip(*paths, strict=True))
        return torch.cat([clip, t5], dim=1), pooled


@dataclass(frozen=True)
class ImageFeatures:
    """Embeddings of the photos below `root`."""

    root: Path

    def path(self, item: Item) -> Path:
        """The file of an item."""
        return self.root / POOLED / item.folder / f"{item.person.stem}.pt"

    def has(self, item: Item) -> bool:
        """Whether an item's embedding is on disk."""
        return is_whole_feature(self.path(item))

    def load(self, items: Sequence[Item]) -> torch.Tensor:
        """`image_embeds`, (B, P)."""
        return torch.stack([load_feature(self.path(item)) for item in items])
