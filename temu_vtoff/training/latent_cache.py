"""What the frozen models make of a data set, computed once and read from disk ever after.

A cache is a folder of one array per field of `EncodedBatch`, one row per item, memory-mapped. It has three parts, made
one after the other: what the pipeline's models make of an item's pictures; the tokens that a ViT makes of its garment,
which only an aligned training needs; and correspondences, for a training that teaches them. A build that was
interrupted goes on where it stopped. Captions are few distinct strings, each embedded once; they alone are embedded
anew when a run brings others.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

from temu_vtoff.training.encoding import EncodedBatch, encode_garments, encode_pictures

if TYPE_CHECKING:
    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.aligner import PatchTokens
    from temu_vtoff.training.pairs import Pairs
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

logger = logging.getLogger(__name__)

_STATE, _CAPTIONS = "cache.json", "captions.safetensors"
_PICTURES, _GARMENT_TOKENS, _PLACES = "pictures", "garment tokens", "correspondences"  # the parts
_SEEING = ("vae", "image_encoder_large", "image_encoder_bigG")
_READING = ("text_encoder", "text_encoder_2", "text_encoder_3")


class LatentCache(Dataset):
    """Encoded items on disk; indexing with a list of items gives their `EncodedBatch`.

    Args:
        folder: Made by `build_cache`.
        with_garment_tokens: Gives what `add_garment_tokens` added, too.
        with_places: Gives what `add_places` added, too.

    Raises:
        FileNotFoundError: A part that is wanted is missing or unfinished.
    """

    def __init__(self, folder: str | Path, with_garment_tokens: bool = False, with_places: bool = False) -> None:
        folder = Path(folder)
        state = _read_state(folder)
        self.captions: list[str] = state.get("captions", [])  # known once the pictures are finished
        self.fields = {}
        for part in [_PICTURES] + [_GARMENT_TOKENS] * with_garment_tokens + [_PLACES] * with_places:
            if not self.captions or state["parts"].get(part, {"done": 0})["done"] < len(self.captions):
                raise FileNotFoundError(f"{folder} holds no finished cache of encoded {part}.")
            for name in state["parts"][part]["fields"]:
                self.fields[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
        row_of = {text: row for row, text in enumerate(state["distinct"])}
        self.caption_rows = torch.tensor([row_of[text] for text in self.captions])
        embeddings = load_file(folder / _CAPTIONS)
        self.prompt_embeds, self.pooled = embeddings["prompt_embeds"], embeddings["pooled_prompt_embeds"]

    def __len__(self) -> int:
        return len(self.captions)

    def encode(self, batch: EncodedBatch) -> EncodedBatch:
        """The batch as it is: everything was encoded when the cache was built."""
        return batch

    @property
    def empty_caption(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The empty prompt's embeddings, (1, T, joint_attention_dim) and (1, P')."""
        return self.prompt_embeds[:1].float(), self.pooled[:1].float()

    def __getitem__(self, items: Sequence[int]) -> EncodedBatch:
        pixels = {name: torch.from_numpy(rows[list(items)]).float() for name, rows in self.fields.items()}
        rows = self.caption_rows[list(items)]
        return EncodedBatch(
            **pixels, prompt_embeds=self.prompt_embeds[rows].float(), pooled_prompt_embeds=self.pooled[rows].float()
        )


def build_cache(
    folder: str | Path,
    pairs: Pairs,
    pipeline: TryOffPipeline,
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Encodes a data set's pictures and captions into a folder, yielding the number of finished items as it grows.

    Of a folder that holds these pictures already, only the captions are replaced, when they are others.

    Args:
        pairs: The data set.
        pipeline: The frozen models.
        autocast: The precision that pictures are encoded in.

    Raises:
        ValueError: The folder holds the cache of other pictures, masks, models or sizes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = _fingerprint(
        pairs,
        (getattr(pipeline, name) for name in _SEEING),
        (pipeline.config.rescale_clip_input_twice, pairs.dataset.size, pairs.dataset.mask_dir),
    )
    state = {"items": []} | _read_state(folder)

    def encode(batch: SampleBatch, first: int) -> dict[str, torch.Tensor]:
        # An item that can't be read was replaced by another, whose caption will go with it.
        state["items"][first:] = [item.id for item in batch.items]
        return encode_pictures(pipeline, batch)

    yield from _fill(folder, state, _PICTURES, key, pairs, encode, batch_size, autocast)
    _embed_captions(folder, state, pairs, pipeline, batch_size)


def add_garment_tokens(
    folder: str | Path,
    pairs: Pairs,
    vit: PatchTokens,
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Adds the tokens to align with to a cache of the same data set, yielding the number of finished items.

    Raises:
        ValueError: The folder holds those of another ViT, or of other pictures.
    """
    folder = Path(folder)
    key = _fingerprint(pairs, [vit], (pairs.dataset.size, vit.size))

    def encode(batch: SampleBatch, first: int) -> dict[str, torch.Tensor]:
        return encode_garments(vit, batch)

    yield from _fill(folder, _read_state(folder), _GARMENT_TOKENS, key, pairs, encode, batch_size, autocast)


def add_places(folder: str | Path, pairs: Pairs, batch_size: int = 16) -> Iterator[int]:
    """Adds the correspondences to a cache of the same data set, yielding the number of finished items.

    Raises:
        ValueError: The folder holds those of another one.
    """
    folder = Path(folder)
    key = _fingerprint(pairs, [], [pairs.dataset.correspondence_dir])

    def encode(batch: SampleBatch, first: int) -> dict[str, torch.Tensor]:
        return {"places": batch.places}

    yield from _fill(folder, _read_state(folder), _PLACES, key, pairs, encode, batch_size, nullcontext)


def _fill(
    folder: Path,
    state: dict,
    part: str,
    key: str,
    pairs: Pairs,
    encode: Callable[[SampleBatch, int], dict[str, torch.Tensor]],
    batch_size: int,
    autocast: Callable[[], AbstractContextManager],
) -> Iterator[int]:
    """Goes on with a part; `encode` is given a batch and the number of its first item."""
    progress, total = state["parts"].setdefault(part, {"key": key, "done": 0, "fields": []}), len(pairs)
    if progress["key"] != key:
        raise ValueError(f"{folder} was encoded by other models or from other data: delete it, or name another folder.")
    logger.info("Encoding %s of %d of %d items into %s", part, total - progress["done"], total, folder)
    arrays: dict[str, np.ndarray] = {}
    while progress["done"] < total:
        first, last = progress["done"], min(progress["done"] + batch_size, total)
        batch = pairs[range(first, last)]  # all pictures of each item: the parts pass over the same damaged ones
        with autocast():
            encoded = encode(batch, first)
        for name, rows in encoded.items():
            if name not in arrays:
                arrays[name] = _open_array(folder / f"{name}.npy", (total, *rows.shape[1:]), fresh=first == 0)
            arrays[name][first:last] = rows.cpu().numpy()
        progress |= {"done": last, "fields": sorted(encoded)}
        if last == total or last // 512 > first // 512:
            for array in arrays.values():
                array.flush()
            _write_state(folder, state)
        yield last


def _fingerprint(pairs: Pairs, models: Iterable[nn.Module | None], settings: Iterable[object]) -> str:
    """Changes when the items, the models' weights or the settings do."""
    items = [pairs.dataset.items[index].key for index in pairs.order]
    digest = hashlib.sha256("\n".join([*items, *map(str, settings)]).encode())
    for model in models:
        for weight in model.parameters() if model is not None else ():
            digest.update(f"{tuple(weight.shape)} {weight.detach().double().sum().item():.6e}".encode())
    return digest.hexdigest()


def _embed_captions(folder: Path, state: dict, pairs: Pairs, pipeline: TryOffPipeline, batch_size: int) -> None:
    """Writes the embeddings of the items' captions, unless the folder has these very ones."""
    key = _fingerprint(pairs, (getattr(pipeline, name) for name in _READING), pairs.captions)
    if state.get("captions_key") == key:
        return
    ids = [pairs.dataset.items[index].id for index in pairs.order]
    caption_of = dict(zip(ids, pairs.captions, strict=True))
    captions = [caption_of[item] for item in state["items"]]
    distinct = list(dict.fromkeys(["", *captions]))  # rows of the embeddings; the empty prompt is the first
    with torch.no_grad():
        parts = [
            pipeline.encode_captions(distinct[first : first + batch_size])
            for first in range(0, len(distinct), batch_size)
        ]
    prompt, pooled = (torch.cat(part).half().cpu() for part in zip(*parts, strict=True))
    temporary = folder / f".{_CAPTIONS}"
    save_file({"prompt_embeds": prompt, "pooled_prompt_embeds": pooled}, temporary)
    temporary.replace(folder / _CAPTIONS)
    _write_state(folder, state | {"captions": captions, "distinct": distinct, "captions_key": key})


def _open_array(path: Path, shape: tuple[int, ...], fresh: bool) -> np.ndarray:
    if fresh:
        return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    return np.load(path, mmap_mode="r+")


def _read_state(folder: Path) -> dict:
    """Item and caption of each row, the distinct captions, and of each part its fingerprint, its fields and how many
    rows are done."""
    path = folder / _STATE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"parts": {}}


def _write_state(folder: Path, state: dict) -> None:
    temporary = folder / f".{_STATE}"
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(folder / _STATE)
