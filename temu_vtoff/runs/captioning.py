"""Captions for the items of a dataset: each once, in a journal that survives a kill, in the end merged into a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from temu_vtoff.captioning.server import ServerUnreachableError
from temu_vtoff.files import write_text
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.reading import read_batches
from temu_vtoff.runs.sharing import item_seed, unfinished

if TYPE_CHECKING:
    from PIL import Image

    from temu_vtoff.captioning.prompt import Source
    from temu_vtoff.datasets import Item, TryOffDataset


class CaptionMaker(Protocol):
    """What `Captioner` and `ApiCaptioner` have in common: one line, or what went wrong, for each picture."""

    def __call__(
        self,
        images: Sequence[Image.Image],
        categories: Sequence[str],
        source: Source,
        temperature: float,
        max_new_tokens: int,
        seed: Sequence[int],
    ) -> Sequence[str | Exception]: ...


def caption_items(
    dataset: TryOffDataset,
    batches: Sequence[Sequence[Item]],
    captioner: CaptionMaker,
    journal: Journal,
    source: Source = "person",
    temperature: float = 0.2,
    max_new_tokens: int = 75,
    seed: int = 0,
    known: Collection[str] = (),
    num_workers: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[Item, str]:
    """Adds the captions that the journal lacks, by item id.

    Args:
        dataset: Loads persons or garments, as `source` has it.
        batches: Go through the model whole, whatever an earlier run had finished.
        seed: Each item's sampling has its own seed, made of this one and the item.
        known: Items that have captions elsewhere.
        num_workers: Processes that read.
        progress: Wraps the batches; a progress bar, say.

    Returns:
        What was wrong with the items that got no caption.
    """
    failures: dict[Item, str] = {}
    known = {*known, *journal.read()}
    to_do = unfinished(batches, lambda item: item.id in known)

    def captions(pictures: list[Image.Image], items: list[Item]) -> Sequence[str | Exception]:
        return captioner(
            pictures,
            [item.category for item in items],
            source=source,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=[item_seed(item, seed) for item in items],
        )

    for read in progress(read_batches(dataset, to_do, num_workers)):
        failures |= dict(read.failures)
        items = [sample.item for sample in read.samples]
        pictures = [getattr(sample, source) for sample in read.samples]
        try:
            made = captions(pictures, items)
        except ServerUnreachableError:
            raise
        except ValueError:  # one picture spoils its batch: find out which
            made = [_caption_or_error(captions, picture, item) for picture, item in zip(pictures, items, strict=True)]
        for item, caption in zip(items, made, strict=True):
            if isinstance(caption, Exception) or not caption:
                failures[item] = str(caption) or "the captioner answered nothing"
            elif item.id not in known:
                known.add(item.id)
                journal.append(item.id, caption=caption)
    return failures


def _caption_or_error(captions: Callable, picture: Image.Image, item: Item) -> str | Exception:
    try:
        return captions([picture], [item])[0]
    except ValueError as error:
        return error


def journal_captions(journal: Journal) -> dict[str, str]:
    """The captions written so far, by item id."""
    return {item_id: entry["caption"] for item_id, entry in journal.read().items()}


def write_captions(path: Path, captions: Mapping[str, str]) -> None:
    """Writes a caption file, `{item id: [caption]}`, sorted by id."""
    entries = {item_id: [captions[item_id]] for item_id in sorted(captions)}
    write_text(path, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
