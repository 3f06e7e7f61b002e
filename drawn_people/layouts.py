"""Writes drawn people as the DressCode and VITON-HD folders, so that every dataset script runs on them unchanged.

`<root>/truth/` has the ground truth that those layouts lack: a caption file `<phase>.json` per phase,
`{item id: [caption]}`; `<phase>_<category>.jsonl` with attributes, pattern and colour of each item; the persons of the
unpaired list in their new garments, `try_on/<category>/<person id>_<garment id>.png`; and, with `correspondences`,
`correspondences/<category>/<item id>.npy` with the array of `draw_correspondence`.
Of people with an open jacket, both layouts' label maps hold both garments as ATR and LIP know them;
`layers/<category>/` has `<item id>.png`, the label map with id 18 for the jacket, and `<item id>.jpg`, the jacket's
product picture.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from drawn_people.attributes import CATEGORIES
from drawn_people.correspondence import draw_correspondence
from drawn_people.garments import OUTER, DrawnGarment
from drawn_people.patterns import PLAIN_SHARE
from drawn_people.people import PHASES, Item, People
from drawn_people.person import DrawnPerson, draw_person
from drawn_people.swap import draw_try_on
from temu_vtoff.files import write_text
from temu_vtoff.pictures import save_picture
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.labels import ATR, Labels

LABELS = Labels((*ATR.names, "Coat"))  # of `DrawnPerson.label_map`
KEYPOINT_SIZE = (384, 512)  # that DressCode gives keypoints for, whatever the photo's
Progress = Callable[[Iterable], Iterable]
Work, Made = TypeVar("Work"), TypeVar("Made")


def write_dresscode(root: str | Path, people: People, workers: int = 1, progress: Progress | None = None) -> None:
    """Writes people for each category in DressCode's layout.

    Finished people are skipped, so an interrupted run resumes.

    Args:
        workers: Processes that draw.
        progress: Wraps the iteration over finished people, as tqdm does.

    Raises:
        ValueError: Impossible size or share.
    """
    root, items = Path(root), people.items(CATEGORIES)
    for category in CATEGORIES:
        for folder in ("images", "label_maps", "keypoints"):
            (root / category / folder).mkdir(parents=True, exist_ok=True)
    _write(root, items, partial(_write_dresscode_item, root, people), workers, progress)
    for category in CATEGORIES:
        of = {phase: [i for i in items if (i.phase, i.category) == (phase, category)] for phase in PHASES}
        names = {phase: [(f"{i.id}_0.jpg", f"{i.id}_1.jpg") for i in of[phase]] for phase in PHASES}
        write_text(root / category / "train_pairs.txt", _lines(names["train"]))
        write_text(root / category / "test_pairs_paired.txt", _lines(names["test"]))
        write_text(root / category / "test_pairs_unpaired.txt", _lines(_deranged(names["test"], people.seed)))
    _write_try_on(root, items, people, workers)


def write_vitonhd(root: str | Path, people: People, workers: int = 1, progress: Progress | None = None) -> None:
    """Writes people with upper-body garments in VITON-HD's layout; arguments as for `write_dresscode`."""
    root, items = Path(root), people.items(("upper_body",))
    for phase in PHASES:
        for folder in ("image", "cloth", "cloth-mask", "image-parse-v3"):
            (root / phase / folder).mkdir(parents=True, exist_ok=True)
    _write(root, items, partial(_write_vitonhd_item, root, people), workers, progress)
    names = {phase: [(f"{i.id}_00.jpg", f"{i.id}_00.jpg") for i in items if i.phase == phase] for phase in PHASES}
    write_text(root / "train_pairs.txt", _lines(names["train"]))
    write_text(root / "test_pairs.txt", _lines(_deranged(names["test"], people.seed)))
    _write_try_on(root, items, people, workers)


def _write(
    root: Path, items: list[Item], write_item: Callable[[Item], dict], workers: int, progress: Progress | None
) -> None:
    """Draws and writes the items, then the truth about them."""
    truth: dict[tuple[str, str], list[dict]] = {}
    for item, facts in zip(items, _watched(_map(write_item, items, workers), progress), strict=True):
        truth.setdefault((item.phase, item.category), []).append(facts)
    folder = root / "truth"
    folder.mkdir(exist_ok=True)
    captions: dict[str, dict[str, list[str]]] = {}
    for (phase, category), rows in truth.items():
        captions.setdefault(phase, {}).update({row["id"]: [row["caption"]] for row in rows})
        write_text(folder / f"{phase}_{category}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for phase, of_phase in captions.items():
        write_text(folder / f"{phase}.json", json.dumps(of_phase, indent=1) + "\n")


def _write_try_on(root: Path, items: list[Item], people: People, workers: int) -> None:
    """Draws the test persons in the garments that the unpaired list gives them."""
    pairs = []
    for category in CATEGORIES:
        of_test = [item for item in items if (item.phase, item.category) == ("test", category)]
        pairs += zip(of_test, _others(of_test, people.seed), strict=True)
    written = {file for files in _map(partial(_write_try_on_pair, root, people), pairs, workers) for file in files}
    for folder in (root / "truth" / "try_on", root / "truth" / "items" / "try_on"):
        for file in folder.glob("*/*"):
            if file not in written:  # of pairs that a smaller or larger set had
                file.unlink()


def _write_try_on_pair(root: Path, people: People, pair: tuple[Item, Item]) -> tuple[Path, Path]:
    person, garment = pair
    name = f"{person.category}/{person.id}_{garment.id}"
    file, record = root / "truth" / "try_on" / f"{name}.png", root / "truth" / "items" / "try_on" / f"{name}.json"
    facts = {"person": person.seed, "garment": garment.seed, "size": list(people.size)}
    for look in ("layers", "letters"):
        if getattr(person, look) or getattr(garment, look):
            facts[look] = [getattr(person, look), getattr(garment, look)]
    if _read_record(record) == facts and file.exists():
        return file, record
    file.parent.mkdir(parents=True, exist_ok=True)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    worn = draw_try_on(
        person.seed,
        garment.seed,
        person.category,
        *people.size,
        person.plain,
        layers=person.layers,
        letters=person.letters,
        garment_layers=garment.layers,
        garment_letters=garment.letters,
    )
    _save(worn.photo, file)
    write_text(record, json.dumps(facts))
    return file, record


def _map(write_item: Callable[[Work], Made], items: list[Work], workers: int) -> Iterator[Made]:
    if workers <= 1:
        yield from map(write_item, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(write_item, items, chunksize=8)


def _watched(results: Iterator[dict], progress: Progress | None) -> Iterable[dict]:
    return results if progress is None else progress(results)


def _write_dresscode_item(root: Path, people: People, item: Item) -> dict:
    folder = root / item.category
    files = {
        "photo": folder / "images" / f"{item.id}_0.jpg",
        "product": folder / "images" / f"{item.id}_1.jpg",
        "labels": folder / "label_maps" / f"{item.id}_4.png",
        "keypoints": folder / "keypoints" / f"{item.id}_2.json",
    }

    def write(person: DrawnPerson) -> None:
        _save(person.photo, files["photo"])
        _save(person.garments[item.category].product, files["product"])
        _save(convert_labels(person.label_map, "dresscode"), files["labels"])
        pixels = person.keypoints * (np.array(KEYPOINT_SIZE) / person.photo.size)
        points = [
            [-1.0, -1.0, 0.0, -1] if np.isnan(x) else [round(float(x), 2), round(float(y), 2), 1.0, number]
            for number, (x, y) in enumerate(pixels)
        ]
        write_text(files["keypoints"], json.dumps({"keypoints": points}))

    return _once(root, item, people, list(files.values()), write)


def _write_vitonhd_item(root: Path, people: People, item: Item) -> dict:
    folder, name = root / item.phase, f"{item.id}_00"
    files = {
        "photo": folder / "image" / f"{name}.jpg",
        "product": folder / "cloth" / f"{name}.jpg",
        "silhouette": folder / "cloth-mask" / f"{name}.jpg",
        "labels": folder / "image-parse-v3" / f"{name}.png",
    }

    def write(person: DrawnPerson) -> None:
        garment = person.garments[item.category]
        _save(person.photo, files["photo"])
        _save(garment.product, files["product"])
        _save(garment.silhouette, files["silhouette"])
        _save(convert_labels(person.label_map, "vitonhd"), files["labels"])

    return _once(root, item, people, list(files.values()), write)


def _once(root: Path, item: Item, people: People, files: list[Path], write: Callable[[DrawnPerson], None]) -> dict:
    """Draws and writes an item unless it is there already; returns the facts about it.

    The record of an item is written last, so where it agrees and the files exist, they are whole.
    """
    record = root / "truth" / "items" / f"{item.category}_{item.id}.json"
    coords = root / "truth" / "correspondences" / item.category / f"{item.id}.npy"
    layers = [root / "truth" / "layers" / item.category / f"{item.id}.{ending}" for ending in ("png", "jpg")]
    files = [*files, *([coords] if people.correspondences else []), *(layers if item.layers else [])]
    facts = _read_record(record)
    if facts and all(file.exists() for file in files):
        drawn = facts["seed"], facts["size"], facts.get("plain", PLAIN_SHARE), OUTER in facts, "word" in facts
        if drawn == (item.seed, list(people.size), item.plain, item.layers, item.letters):
            return facts
    looks = {"plain": item.plain, "layers": item.layers, "letters": item.letters}
    person = draw_person(item.seed, item.category, *people.size, **looks)
    garment = person.garments[item.category]
    facts = {"id": item.id, "seed": item.seed, "size": list(people.size), "plain": item.plain, **_facts(garment)}
    if item.layers:
        facts[OUTER] = _facts(person.garments[OUTER])
    record.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    write(person)
    if item.layers:
        layers[0].parent.mkdir(parents=True, exist_ok=True)
        _save(person.label_map, layers[0])
        _save(person.garments[OUTER].product, layers[1])
    if people.correspondences:
        coords.parent.mkdir(parents=True, exist_ok=True)
        np.save(coords, draw_correspondence(item.seed, item.category, *people.size, **looks).astype(np.float16))
    write_text(record, json.dumps(facts))
    return facts


def _facts(garment: DrawnGarment) -> dict:
    shown = {"word": garment.word} if garment.word else {}
    if garment.print is not None:
        shown["print"] = {"box": garment.print.box, "letters": garment.print.letters}
    return shown | {
        "caption": garment.caption,
        "attributes": garment.attributes,
        "measures": {name: round(value, 4) for name, value in garment.measures.items()},
        "pattern": garment.pattern,
        "color": list(garment.color),
    }


def convert_labels(label_map: Image.Image, layout: str) -> Image.Image:
    """A drawn person's label map in a dataset's ids, L; see `temu_vtoff.segmentation.conversion.convert_label_map`."""
    converted = convert_label_map(np.asarray(label_map), LABELS, layout)
    return Image.fromarray(np.asarray(converted))


def _read_record(path: Path) -> dict | None:
    """The facts about an item; None if there are none or the file is damaged, and then the item is drawn again."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _save(picture: Image.Image, path: Path) -> None:
    save_picture(
        picture, path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {"compress_level": 3})
    )


def _lines(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{person} {garment}\n" for person, garment in pairs)


def _deranged(pairs: list[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """The pairs with the garments permuted so that nobody keeps theirs; a single pair stays as it is."""
    garments = _others([garment for _, garment in pairs], seed)
    return [(person, garment) for (person, _), garment in zip(pairs, garments, strict=True)]


def _others(items: list[Work], seed: int) -> list[Work]:
    """Another item for each, every one once: one cycle through all."""
    order = np.random.default_rng([seed, len(items)]).permutation(len(items))
    others = list(items)
    for place, following in zip(order, np.roll(order, -1), strict=True):
        others[place] = items[following]
    return others
