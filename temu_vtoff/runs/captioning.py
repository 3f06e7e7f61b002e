"""Captions for the items of a dataset: kept in a journal, which survives a kill, and merged into a file at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temu_vtoff.captioning.prompt import MAX_NEW_TOKENS, TEMPERATURE, Source
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.files import write_text
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.phases import Outcome, Progress, run_phases, silent
from temu_vtoff.runs.settings import keep_settings
from temu_vtoff.runs.sharing import item_seed
from temu_vtoff.runs.stage import run_stage

if TYPE_CHECKING:
    from temu_vtoff.captioning import CaptionMaker
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.runs.sharing import Share


def caption_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_captioner: Callable[[], CaptionMaker],
    journal: Journal,
    *,
    source: Source = "person",
    temperature: float = TEMPERATURE,
    max_new_tokens: int = MAX_NEW_TOKENS,
    seed: int = 0,
    known: Collection[str] = (),
    **reading: Any,
) -> dict[Item, str]:
    """Adds the captions that the journal lacks, by item id.

    Args:
        dataset: Dataset that loads persons or garments, as `source` requires.
        seed: Random seed of the run; each item's own seed is derived from it.
        known: Ids of items that already have captions elsewhere.
        reading: Arguments of `run_stage`: `num_workers` and `progress`.

    Returns:
        The errors of the items that got no caption.
    """
    done = {*known, *read_journal(journal)}

    def ask(captioner: CaptionMaker, samples: Sequence[Sample]) -> Sequence[str | Exception]:
        return captioner(
            [getattr(sample, source) for sample in samples],
            [sample.item.category for sample in samples],
            source=source,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=[item_seed(sample.item, seed) for sample in samples],
        )

    def write(captioner: CaptionMaker, sample: Sample, caption: str) -> None:
        item = sample.item
        if not caption:
            raise ValueError(f"{getattr(item, source)}: the captioner answered nothing")
        done.add(item.id)
        journal.append(item.id, caption=caption)

    return run_stage(
        dataset,
        batches,
        is_done=lambda item: item.id in done,
        load_model=load_captioner,
        make=ask,
        keep=write,
        **reading,
    )


def read_journal(journal: Journal) -> dict[str, str]:
    """The captions written so far, by item id."""
    entries = journal.read().items()
    return {item_id: entry["caption"] for item_id, entry in entries if isinstance(entry.get("caption"), str)}


def write_captions(path: Path, captions: Mapping[str, str]) -> None:
    """Writes a caption file, `{item id: [caption]}`, sorted by id."""
    entries = {item_id: [captions[item_id]] for item_id in sorted(captions)}
    text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
    write_text(path, text)


def caption_file(folder: Path, name: str, source: Source, temperature: float) -> Path:
    """The release's name of a caption file: `<name>_<source>_<temperature>.json`, with "_" for the decimal point."""
    return folder / f"{name}_{source}_{str(temperature).replace('.', '_')}.json"


def caption_phases(
    datasets: Sequence[TryOffDataset],
    path: Path,
    load_captioner: Callable[[], CaptionMaker],
    *,
    share: Share,
    batch_size: int,
    settings: dict[str, Any],
    journal_dir: Path,
    progress: Progress = silent,
    **how: Any,
) -> Outcome:
    """Completes one caption file for all phases of a dataset; the first process writes it at the end.

    Args:
        path: The caption file; captions that it holds already are kept.
        settings: Settings that the captions depend on; see `keep_settings`.
        journal_dir: Folder of the journal, which keeps captions until the file is written.
        how: Further arguments of `caption_items`.

    Raises:
        ValueError: The file was begun with other settings, or it is damaged.
    """
    journal = Journal(journal_dir, path.stem, share.index)
    keep_settings(journal_dir / f"{path.stem}.settings.json", settings)
    known = read_captions(path) if path.exists() else {}
    stage = partial(caption_items, load_captioner=load_captioner, journal=journal, known=known, **how)
    what = f"caption at temperature {how['temperature']:g}," if "temperature" in how else "caption"
    outcome = run_phases(datasets, stage, share=share, batch_size=batch_size, what=what, progress=progress)
    if share.is_first:
        write_captions(path, known | read_journal(journal))
    return outcome
