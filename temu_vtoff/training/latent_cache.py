"""A data set's encodings by the frozen models, computed once and then read from disk.

The cache is a folder of `cache_parts`, an array per field of `EncodedBatch`: the encodings of an item's pictures, and a
ViT's tokens of its garment, which only an aligned training needs; other trainings can add parts. Distinct captions are
few, and each is embedded once; when the captions change, only they are embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset

from temu_vtoff.files import replacing
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.training.cache_parts import CacheState, add_part, damaged, fingerprint, open_parts
from temu_vtoff.training.encoding import EncodedBatch, encode_garments, encode_pictures
from temu_vtoff.tryoff.components import TEXT_ENCODERS

if TYPE_CHECKING:
    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.aligner import VisionFeatures
    from temu_vtoff.training.pairs import PairDataset
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

PICTURES, GARMENT_TOKENS = "pictures", "garment tokens"  # parts
_CAPTIONS = "captions.safetensors"
_PICTURE_MODELS = ("vae", *IMAGE_ENCODERS)


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
        state = CacheState.read(folder)
        self.captions, self.batch_class = state.captions, batch_class  # captions are known once the pictures are done
        _, self.fields = open_parts(folder, parts, max(1, len(self.captions)))
        row_of = {text: row for row, text in enumerate(state.distinct)}
        self.caption_rows = torch.tensor([row_of[text] for text in self.captions])
        try:
            embeddings = load_file(folder / _CAPTIONS)
            self.prompt_embeds, self.pooled = embeddings["prompt_embeds"], embeddings["pooled_prompt_embeds"]
        except Exception as error:  # safetensors has its own types
            raise damaged(folder / _CAPTIONS, error) from error

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
    items = CacheState.read(folder).items

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


def _embed_captions(folder: Path, pairs: PairDataset, pipeline: TryOffPipeline, batch_size: int) -> None:
    """Writes the embeddings of the items' captions, unless the folder has them."""
    state, captions = CacheState.read(folder), pairs.captions
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
