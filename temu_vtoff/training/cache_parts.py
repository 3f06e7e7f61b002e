"""A folder of encoded items: one array per field, one row per item, memory-mapped.

It has parts, which are built one after the other, each from its own sources. An interrupted build resumes.
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
from torch import nn
from tqdm.auto import tqdm

from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import write_text

if TYPE_CHECKING:
    from accelerate import Accelerator

    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.pairs import PairDataset

logger = logging.getLogger(__name__)

_STATE = "cache.json"
_SAMPLED = 8  # weights of each parameter that go into a fingerprint
_WRITE_EVERY = 512  # items


@dataclass
class Part:
    """The progress of one part of a cache."""

    key: str  # fingerprint of its sources
    done: int = 0  # finished items
    fields: list[str] = field(default_factory=list)


@dataclass
class CacheState:
    """What a cache holds: parts by name, item and caption of each row, and the distinct captions."""

    parts: dict[str, Part] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    distinct: list[str] = field(default_factory=list)
    captions_key: str | None = None

    @classmethod
    def read(cls, folder: Path) -> CacheState:
        path = folder / _STATE
        if not path.is_file():
            return cls()
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            return cls(**state | {"parts": {name: Part(**part) for name, part in state["parts"].items()}})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise damaged(path, error) from error

    def write(self, folder: Path) -> None:
        write_text(folder / _STATE, json.dumps(asdict(self)))


def open_parts(folder: Path, parts: Sequence[str], total: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """The items of a cache, and the fields of some of its parts, a row for each item.

    Args:
        total: Items that a finished part has.

    Raises:
        FileNotFoundError: A part is missing or unfinished.
        ArgumentError: A file of the cache is damaged.
    """
    state, opened = CacheState.read(folder), {}
    for part in parts:
        if part not in state.parts or state.parts[part].done < total:
            raise FileNotFoundError(f"{folder} holds no finished cache of encoded {part}.")
        opened |= {name: _open_array(folder / f"{name}.npy", "r") for name in state.parts[part].fields}
    return state.items, opened


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
    state = CacheState.read(folder)
    progress = state.parts.setdefault(part, Part(key))
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


def _create_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _open_array(path: Path, mode: str) -> np.ndarray:
    try:
        return np.load(path, mmap_mode=mode)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ArgumentError:
    return ArgumentError(
        f"{{cache_dir}}: {path} is damaged ({error}); delete {path.parent}, and the pictures are encoded again.",
        "cache_dir",
    )
