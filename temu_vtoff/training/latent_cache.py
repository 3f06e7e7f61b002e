"""What the frozen models make of a data set, computed once and read from disk ever after.

A cache is a folder of one array per field of `EncodedBatch`, one row per item, memory-mapped; captions are few
distinct strings, so each is embedded once. A build that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset

from temu_vtoff.training.encoding import EncodedBatch, encode_pictures

if TYPE_CHECKING:
    from temu_vtoff.aligner import PatchTokens
    from temu_vtoff.pipeline import TryOffPipeline
    from temu_vtoff.training.pairs import Pairs

logger = logging.getLogger(__name__)

_STATE, _CAPTIONS = "cache.json", "captions.safetensors"


class LatentCache(Dataset):
    """Encoded items on disk; indexing with a list of items gives their `EncodedBatch`.

    Args:
        folder: Made by `build_cache`.

    Raises:
        FileNotFoundError: There is no finished cache.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        state = _read_state(folder)
        if state is None or state["done"] < state["total"]:
            raise FileNotFoundError(f"{folder} holds no finished cache of encoded pictures.")
        self.fields = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in state["fields"]}
        self.captions: list[str] = state["captions"]
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
    vit: PatchTokens | None = None,
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Encodes a data set into a folder, yielding the number of finished items after each batch.

    Args:
        pairs: The data set.
        pipeline: The frozen models.
        vit: Gives the tokens to align with; None leaves them out.
        autocast: The precision that pictures are encoded in.

    Raises:
        ValueError: The folder holds the cache of other captions, models or sizes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key, total = fingerprint(pipeline, pairs, vit), len(pairs)
    state = _read_state(folder) or {
        "key": key,
        "done": 0,
        "total": total,
        "fields": [],
        "captions": list(pairs.captions),
        "distinct": list(dict.fromkeys(["", *pairs.captions])),  # rows of the embeddings; the empty prompt is the first
    }
    if state["key"] != key:
        raise ValueError(f"{folder} was encoded by other models or from other data: delete it, or name another folder.")
    if not (folder / _CAPTIONS).exists():
        _save_captions(folder, state["distinct"], pipeline, batch_size)
    logger.info("Encoding %d of %d items into %s", total - state["done"], total, folder)

    arrays: dict[str, np.ndarray] = {}
    while state["done"] < total:
        first, last = state["done"], min(state["done"] + batch_size, total)
        batch = pairs[range(first, last)]
        with autocast():
            encoded = encode_pictures(pipeline, batch, vit)
        for name, rows in encoded.items():
            if name not in arrays:
                arrays[name] = _open_array(folder / f"{name}.npy", (total, *rows.shape[1:]), fresh=first == 0)
            arrays[name][first:last] = rows.cpu().numpy()
        state["captions"][first:last] = [caption or "" for caption in batch.captions]
        state |= {"done": last, "fields": sorted(encoded)}
        if last == total or last // 512 > first // 512:
            for array in arrays.values():
                array.flush()
            _write_state(folder, state)
        yield last


def fingerprint(pipeline: TryOffPipeline, pairs: Pairs, vit: PatchTokens | None) -> str:
    """Changes when the frozen weights, the items, their captions or the pictures' size do."""
    items = [pairs.dataset.items[index].key for index in pairs.order]
    settings = (pipeline.config.rescale_clip_input_twice, pairs.dataset.size, vit and vit.size)
    digest = hashlib.sha256("\n".join([*items, *pairs.captions, str(settings)]).encode())
    names = ("vae", "image_encoder_large", "image_encoder_bigG", "text_encoder", "text_encoder_2", "text_encoder_3")
    for model in (*(getattr(pipeline, name) for name in names), vit):
        for weight in model.parameters() if model is not None else ():
            digest.update(f"{tuple(weight.shape)} {weight.detach().double().sum().item():.6e}".encode())
    return digest.hexdigest()


def _save_captions(folder: Path, captions: Sequence[str], pipeline: TryOffPipeline, batch_size: int) -> None:
    with torch.no_grad():
        parts = [
            pipeline.encode_captions(list(captions[first : first + batch_size]))
            for first in range(0, len(captions), batch_size)
        ]
    prompt, pooled = (torch.cat(part).half().cpu() for part in zip(*parts, strict=True))
    temporary = folder / f".{_CAPTIONS}"
    save_file({"prompt_embeds": prompt, "pooled_prompt_embeds": pooled}, temporary)
    temporary.replace(folder / _CAPTIONS)


def _open_array(path: Path, shape: tuple[int, ...], fresh: bool) -> np.ndarray:
    if fresh:
        return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    return np.load(path, mmap_mode="r+")


def _read_state(folder: Path) -> dict | None:
    path = folder / _STATE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _write_state(folder: Path, state: dict) -> None:
    temporary = folder / f".{_STATE}"
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(folder / _STATE)
