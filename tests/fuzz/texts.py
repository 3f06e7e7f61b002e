"""Text files that people write or runs keep: pairs, captions, settings, journals; and names of files."""

import json
import unicodedata
from pathlib import Path

import numpy as np

from temu_vtoff.datasets import DressCodeDataset, VitonHDDataset
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.pictures import list_pictures, unique_stems
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.settings import keep_settings
from tests.fuzz import damaged, kind, only_ours

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252")
LETTERS = "abcXYZ019 -.()äßé"


def word(rng: np.random.Generator, letters: str = LETTERS) -> str:
    chosen = "".join(rng.choice(list(letters), int(rng.integers(1, 12))))
    return f"a{chosen.strip()}z"


@kind("pairs")
def pairs(rng: np.random.Generator, folder: Path) -> None:
    """Names come back as written, in whatever encoding; damaged lists are one sentence."""
    (folder / "dresses").mkdir()
    path = folder / "dresses" / "test_pairs_paired.txt"
    names = [(f"{word(rng)}{i}_0.jpg", f"{word(rng)}{i}_1.jpg") for i in range(int(rng.integers(1, 6)))]
    text = str(rng.choice(["\n", "\r\n"])).join("\t".join(pair) for pair in names) + "\n"
    data = text.encode(str(rng.choice(ENCODINGS)))
    path.write_bytes(data)
    items = DressCodeDataset(folder, category="dresses").items
    assert [(item.person.name, item.garment.name) for item in items] == names
    ids = {(item.id, item.garment_stem) for item in items}
    assert len({one for one, _ in ids}) == len(ids), f"an id of two garments: {ids}"
    path.write_bytes(damaged(data, rng))
    with only_ours(path, folder):
        DressCodeDataset(folder, category="dresses")


@kind("ids")
def ids(rng: np.random.Generator, folder: Path) -> None:
    """However people name their files: an id, a key and a stem stand for one garment."""
    (folder / "test").mkdir()
    names = sorted(
        {f"{rng.choice(['IMG', 'a', 'b'])}_{rng.choice(['x', '1'])}_{rng.integers(20)}.jpg" for _ in range(6)}
    )
    (folder / "test_pairs.txt").write_text("".join(f"{name} {name}\n" for name in names))
    items = VitonHDDataset(folder).items
    assert len({item.id for item in items}) == len({item.key for item in items}) == len(names)


@kind("captions")
def captions(rng: np.random.Generator, folder: Path) -> None:
    path = folder / "captions.json"
    written = {word(rng): [word(rng)] for _ in range(int(rng.integers(1, 5)))}
    data = json.dumps(written, ensure_ascii=bool(rng.integers(2))).encode(str(rng.choice(ENCODINGS)))
    path.write_bytes(data)
    assert read_captions(path) == {key: text for key, (text,) in written.items()}
    path.write_bytes(damaged(data, rng))
    with only_ours(path):
        for key, text in read_captions(path).items():
            assert isinstance(key, str)
            text.encode("utf-8")


@kind("settings")
def settings(rng: np.random.Generator, folder: Path) -> None:
    path = folder / "settings.json"
    kept = {"seed": int(rng.integers(9)), "preset": word(rng), "size": [192, 256]}
    keep_settings(path, kept)
    keep_settings(path, kept)
    path.write_bytes(damaged(path.read_bytes(), rng))
    with only_ours(path, folder):
        keep_settings(path, kept)


@kind("journal")
def journal(rng: np.random.Generator, folder: Path) -> None:
    """Damage costs entries, never the rest."""
    book = Journal(folder, "captions")
    for number in range(5):
        book.append(f"{number}", caption=word(rng))
    book.close()
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(damaged(path.read_bytes(), rng))
    with only_ours(path):
        again = Journal(folder, "captions")
        again.append("new", caption="x")
        assert again.read()["new"]["caption"] == "x"
        again.close()


@kind("names")
def names(rng: np.random.Generator, folder: Path) -> None:
    """Names of results: one for each picture, also for file systems without case, and short enough."""
    paths = []
    for _ in range(int(rng.integers(1, 8))):
        stem = word(rng, "aAbB_12éÉ\u0301ß😀") * int(rng.choice([1, 1, 1, 30]))
        stem = stem.encode()[:240].decode("utf-8", "ignore")
        paths.append(folder / f"{stem}.{rng.choice(['jpg', 'png', 'PNG'])}")
    paths = list(dict.fromkeys(paths))
    for path in paths:
        path.touch()
    stems = unique_stems(paths)
    forms = {unicodedata.normalize("NFC", stem).casefold() for stem in stems}
    assert len(forms) == len(paths), f"{stems} of {[path.name for path in paths]}"
    for stem in stems:
        (folder / f"{stem}_lower_body_binary_mask.png").touch()
    (folder / "loop").symlink_to(folder)
    assert set(paths) <= set(list_pictures(folder, recursive=True))
