"""A data set's encodings by the frozen models, computed once and then read from disk.

A cache is a folder of one array per field of `EncodedBatch`, one row per item, memory-mapped. It has parts,
which are built one after the other: the encodings of an item's pictures, and a ViT's tokens of its garment, which only
an aligned training needs; other trainings can add parts. An interrupted build resumes. Distinct captions are few, and
each is embedded once; when the captions change, only they are embedded again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import replacing, write_text
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.training.encoding import EncodedBatch, encode_garments, encode_pictures
from temu_vtoff.tryoff.components import TEXT_ENCODERS

if TYPE_CHECKING:
    from accelerate import Accelerator

    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.aligner import VisionFeatures
    from temu_vtoff.training.pairs import PairDataset
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

logger = logging.getLogger(__name__)

PICTURES, GARMENT_TOKENS = "pictures", "garment tokens"  # parts
_STATE, _CAPTIONS = "cache.json", "captions.safetensors"
_PICTURE_MODELS = ("vae", *IMAGE_ENCODERS)
_SAMPLED = 8  # weights of each parameter that go into a fingerprint
_WRITE_EVERY = 512  # items


@dataclass
class _Part:
    """The progress of one part of a cache."""

    key: str  # fingerprint of its sources
    done: int = 0  # finished items
    fields: list[str] = field(default_factory=list)


@dataclass
class _State:
    """What a cache holds: parts by name, item and caption of each row, and the distinct captions."""

    parts: dict[str, _Part] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    distinct: list[str] = field(default_factory=list)
    captions_key: str | None = None

    @classmethod
    def read(cls, folder: Path) -> _State:
        path = folder / _STATE
        if not path.is_file():
            return cls()
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            return cls(**state | {"parts": {name: _Part(**part) for name, part in state["parts"].items()}})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _damaged(path, error) from error

    def write(self, folder: Path) -> None:
        write_text(folder / _STATE, json.dumps(asdict(self)))


class LatentCache(Dataset):
    """Encoded items on disk; indexing with a list of items gives their `EncodedBatch`.

    Args:
        folder: Made by `build_cache`.
        parts: Names of the parts to read.
        batch_class: A batch class with the fields of these parts.

    Raises:
        FileNotFoundError: A part is missing or unfinished.
        ArgumentError: A file of the cache is damaged.
    """

    def __init__(
        self, folder: str | Path, parts: Sequence[str] = (PICTURES,), batch_class: type[EncodedBatch] = EncodedBatch
    ) -> None:
        folder = Path(folder)
        state = _State.read(folder)
        self.captions, self.batch_class = state.captions, batch_class  # captions are known once the pictures are done
        _, self.fields = open_parts(folder, parts, max(1, len(self.captions)))
        row_of = {text: row for row, text in enumerate(state.distinct)}
        self.caption_rows = torch.tensor([row_of[text] for text in self.captions])
        try:
            embeddings = load_file(folder / _CAPTIONS)
            self.prompt_embeds, self.pooled = embeddings["prompt_embeds"], embeddings["pooled_prompt_embeds"]
        except Exception as error:  # safetensors has its own types
            raise _damaged(folder / _CAPTIONS, error) from error

    def __len__(self) -> int:
        return len(self.captions)

    def encode(self, batch: EncodedBatch) -> EncodedBatch:
        """The batch itself, which is encoded already; `LiveEncoding` has the same method."""
        return batch

    @property
    def empty_caption(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The empty prompt's embeddings, (1, T, joint_attention_dim) and (1, P')."""
        return self.prompt_embeds[:1].float(), self.pooled[:1].float()

    def __getitem__(self, items: Sequence[int]) -> EncodedBatch:
        arrays = {name: torch.from_numpy(rows[list(items)]).float() for name, rows in self.fields.items()}
        rows = self.caption_rows[list(items)]
        return self.batch_class(
            **arrays, prompt_embeds=self.prompt_embeds[rows].float(), pooled_prompt_embeds=self.pooled[rows].float()
        )


def open_parts(folder: Path, parts: Sequence[str], total: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """The items of a cache, and the fields of some of its parts, a row for each item.

    Args:
        total: Items that a finished part has.

    Raises:
        FileNotFoundError: A part is missing or unfinished.
        ArgumentError: A file of the cache is damaged.
    """
    state, opened = _State.read(folder), {}
    for part in parts:
        if part not in state.parts or state.parts[part].done < total:
            raise FileNotFoundError(f"{folder} holds no finished cache of encoded {part}.")
        opened |= {name: _open_array(folder / f"{name}.npy", "r") for name in state.parts[part].fields}
    return state.items, opened


def build_cache(
    folder: str | Path,
    pairs: PairDataset,
    pipeline: TryOffPipeline,
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Encodes a data set's pictures and captions into a folder, yielding the number of finished items as it grows.

    If the folder holds these pictures already, only the captions are replaced, and only when they differ.

    Args:
        pairs: The data set.
        pipeline: The frozen models.
        autocast: The precision that pictures are encoded in.

    Raises:
        ArgumentError: The folder holds the cache of other pictures, masks, models or sizes, or is damaged.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    models = [getattr(pipeline, name) for name in _PICTURE_MODELS]
    settings = (pipeline.config.rescale_clip_input_twice, pairs.dataset.size, pairs.dataset.mask_dir)
    items = _State.read(folder).items

    def encode(batch: SampleBatch, first: int) -> dict[str, torch.Tensor]:
        # The batch's own items: an unreadable item was replaced by another one, whose caption is needed.
        items[first:] = [item.id for item in batch.items]
        return encode_pictures(pipeline, batch)

    key = fingerprint(pairs, models, settings)
    yield from add_part(
        folder, pairs, PICTURES, key=key, encode=encode, batch_size=batch_size, autocast=autocast, items=items
    )
    _embed_captions(folder, pairs, pipeline, batch_size)


def add_garment_tokens(
    folder: str | Path,
    pairs: PairDataset,
    vit: VisionFeatures,
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Adds the ViT's tokens to a cache of the same data set, yielding the number of finished items.

    Raises:
        ArgumentError: The folder holds tokens of another ViT or of other pictures.
    """
    key = fingerprint(pairs, [vit], (pairs.dataset.size, vit.size))

    def encode(batch: SampleBatch, first: int) -> dict[str, torch.Tensor]:
        return encode_garments(vit, batch)

    yield from add_part(folder, pairs, GARMENT_TOKENS, key=key, encode=encode, batch_size=batch_size, autocast=autocast)


def add_part(
    folder: str | Path,
    pairs: PairDataset,
    part: str,
    *,
    key: str,
    encode: Callable[[SampleBatch, int], dict[str, torch.Tensor]],
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    items: list[str] | None = None,
) -> Iterator[int]:
    """Builds or continues a part of a cache, yielding the number of finished items.

    Args:
        key: Fingerprint of the part's sources; see `fingerprint`.
        encode: Takes a batch and the position of its first item; gives the part's fields.
        items: A list of the items' ids that `encode` fills.

    Raises:
        ArgumentError: The part was built from other sources, or the folder is damaged.
    """
    folder, total = Path(folder), len(pairs)
    state = _State.read(folder)
    progress = state.parts.setdefault(part, _Part(key))
    if progress.key != key:
        raise ArgumentError(
            f"{{cache_dir}} {folder} was encoded by other models or from other data: delete it, or choose another one.",
            "cache_dir",
        )
    logger.info("Encoding %s: %d of %d items are done in %s", part, progress.done, total, folder)
    arrays: dict[str, np.ndarray] = {}
    while progress.done < total:
        first, last = progress.done, min(progress.done + batch_size, total)
        batch = pairs[range(first, last)]  # all pictures of each item, so that all parts skip the same damaged items
        with autocast():
            encoded = encode(batch, first)
        for name, rows in encoded.items():
            if name not in arrays:
                path, shape = folder / f"{name}.npy", (total, *rows.shape[1:])
                arrays[name] = _create_array(path, shape) if first == 0 else _open_array(path, "r+")
            arrays[name][first:last] = rows.cpu().numpy()
        progress.done, progress.fields = last, sorted(encoded)
        if last == total or last // _WRITE_EVERY > first // _WRITE_EVERY:
            for array in arrays.values():
                array.flush()
            state.items = items if items is not None else state.items
            state.write(folder)
        yield last


def fill_cache(parts: dict[str, Iterator[int]], total: int, accelerator: Accelerator) -> None:
    """Builds a cache's parts in one process, under progress bars, while the others wait."""
    if accelerator.is_main_process:
        for name, build in parts.items():
            with tqdm(total=total, desc=f"encoding {name}") as progress:
                for done in build:
                    progress.update(done - progress.n)
    accelerator.wait_for_everyone()


def fingerprint(pairs: PairDataset, models: Iterable[nn.Module | None], settings: Iterable[object]) -> str:
    """A hash of the items, the models and the settings. It covers a few weights of each parameter: a sum over all of
    T5-XXL takes longer than loading it."""
    items = [pairs.dataset.items[index].key for index in pairs.order]
    digest = hashlib.sha256("\n".join([*items, *map(str, settings)]).encode())
    for model in models:
        parameters = list(model.parameters()) if model is not None else []
        digest.update(str([tuple(weight.shape) for weight in parameters]).encode())
        if parameters:
            sampled = torch.cat([weight.detach().flatten()[:_SAMPLED].float() for weight in parameters])
            digest.update(sampled.cpu().numpy().tobytes())
    return digest.hexdigest()


def _embed_captions(folder: Path, pairs: PairDataset, pipeline: TryOffPipeline, batch_size: int) -> None:
    """Writes the embeddings of the items' captions, unless the folder has them."""
    state, captions = _State.read(folder), pairs.captions
    key = fingerprint(pairs, [getattr(pipeline, name) for name in TEXT_ENCODERS], captions)
    if state.captions_key == key:
        return
    ids = [pairs.dataset.items[index].id for index in pairs.order]
    caption_of = dict(zip(ids, captions, strict=True))
    state.captions, state.captions_key = [caption_of[item] for item in state.items], key
    state.distinct = list(dict.fromkeys(["", *state.captions]))  # rows of the embeddings; the empty prompt is the first
    with torch.no_grad():
        parts = [
            pipeline.encode_captions(state.distinct[first : first + batch_size])
            for first in range(0, len(state.distinct), batch_size)
        ]
    prompt, pooled = (torch.cat(part).half().cpu() for part in zip(*parts, strict=True))
    with replacing(folder / _CAPTIONS) as temporary:
        save_file({"prompt_embeds": prompt, "pooled_prompt_embeds": pooled}, temporary)
    state.write(folder)


def _create_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _open_array(path: Path, mode: str) -> np.ndarray:
    try:
        return np.load(path, mmap_mode=mode)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ArgumentError:
    return ArgumentError(
        f"{{cache_dir}}: {path} is damaged ({error}); delete {path.parent}, and the pictures are encoded again.",
        "cache_dir",
    )
