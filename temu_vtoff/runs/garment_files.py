"""The files of a run over photos: masks, product pictures, captions and panels, and results.jsonl, a line a garment."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from temu_vtoff.captioning.attributes import attributes_from_answer, write_attributes
from temu_vtoff.files import write_text
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.pictures import save_picture
from temu_vtoff.segmentation.masks import masked_image
from temu_vtoff.stages.garment import Garment, Product
from temu_vtoff.stages.grouping import Choice
from temu_vtoff.stages.reading import Frame

logger = logging.getLogger(__name__)

RESULTS = "results.jsonl"
_FILES = {  # key in a line of results.jsonl -> what the file's name ends with
    "mask": "binary_mask.png",
    "masked_image": "fine_mask.png",
    "caption_file": "caption.txt",
    "panel": "panel.png",
}
_ATTRIBUTES = "attributes.json"


@dataclass
class GarmentFiles:
    """Writes what the stages make, as soon as it is made.

    Attributes:
        folder: Exists.
        frame: The size of the masks.
        finish: File format of the product pictures.
        attributes: Whether to write <name>_attributes.json.
        models: Sources of the models, by stage; part of each line.
        outputs: The product pictures written so far, by the garment's name.
        quality: Scores and doubts of the pictures written so far, by the garment's name.
    """

    folder: Path
    frame: Frame
    finish: Finish = field(default_factory=Finish)
    attributes: bool = False
    models: Mapping[str, Any] = field(default_factory=dict)
    outputs: dict[str, list[Path]] = field(default_factory=dict)
    quality: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def write_masks(self, garment: Garment) -> None:
        """Writes <name>_binary_mask.png and <name>_fine_mask.png."""
        if garment.error is None:
            photo, mask = self.frame.pair(garment)
            save_picture(mask, self.folder / f"{garment.name}_binary_mask.png")
            save_picture(masked_image(photo, mask), self.folder / f"{garment.name}_fine_mask.png")

    def write_product(self, product: Product) -> list[Path]:
        """Writes caption, product pictures and panel; returns the paths of the pictures, none for a failed garment."""
        name, paths = product.garment.name, []
        if product.error is not None:
            return paths
        write_text(self.folder / f"{name}_caption.txt", product.garment.caption + "\n")
        for number, image in enumerate(product.finished, 1):
            ending = f"output{self.finish.suffix}" if number == 1 else f"output_{number}{self.finish.suffix}"
            paths.append(save_picture(image, self.folder / f"{name}_{ending}", **self.finish.save_options()))
        save_picture(product.panel(), self.folder / f"{name}_panel.png")
        if self.attributes:
            write_attributes(self.folder / f"{name}_attributes.json", product.garment.caption)
        self.outputs[name] = paths
        return paths

    def write_choice(self, choice: Choice, add_line: bool = True) -> list[tuple[Path, Product]]:
        """Writes the files of a garment's product and of its alternatives, and its line of results.jsonl.

        Returns:
            The products that were made, each with the path of its first picture.
        """
        made = []
        for product in [choice.product, *choice.alternatives]:
            if product.garment.group is not None:  # its name came with the choice
                self.write_masks(product.garment)
            paths = self.write_product(product)
            self.quality[product.garment.name] = product.facts()
            if paths:
                made.append((paths[0], product))
        if add_line:
            self.add_line(choice)
        return made

    def written(self, name: str) -> list[Path]:
        """All files of a garment whose product is written."""
        endings = [*_FILES.values(), *([_ATTRIBUTES] if self.attributes else [])]
        return [*self.outputs[name], *(self.folder / f"{name}_{ending}" for ending in endings)]

    def add_line(self, choice: Choice) -> None:
        """Adds a garment's line to results.jsonl. A kill leaves the lines of all garments that were finished before."""
        line = self.facts(choice.product)
        if choice.product.garment.group is not None:
            line |= {"group": choice.product.garment.group, "chosen": choice.reason}
            line["alternatives"] = [self.facts(other) for other in choice.alternatives]
        path = self.folder / RESULTS
        torn = path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n")
        with path.open("a", encoding="ascii") as file:
            file.write("\n" * torn + json.dumps(line | {"models": dict(self.models)}) + "\n")

    def facts(self, product: Product) -> dict[str, Any]:
        """What a line says of a garment; paths of results are relative to the folder."""
        garment = product.garment
        facts: dict[str, Any] = {"name": garment.name, "category": garment.category, "photo": str(garment.origin)}
        if garment.address is not None and garment.error is None:
            facts["fetched"] = str(garment.photo)
        if product.error is not None:
            return facts | {"status": "failed", "error": " ".join(str(product.error).split())}
        files = _FILES | ({"attributes_file": _ATTRIBUTES} if self.attributes else {})
        return facts | {
            "status": "done",
            "outputs": [path.name for path in self.outputs[garment.name]],
            **{key: f"{garment.name}_{ending}" for key, ending in files.items()},
            "caption": garment.caption,
            "attributes": attributes_from_answer(garment.caption or ""),
            "labels": list(garment.labels),
            "mask_area": round(float((np.asarray(product.mask) > 127).mean()), 4),
            "quality": product.facts(),
            "warnings": [*([] if garment.note is None else [garment.note]), *garment.warnings],
            "seed": product.seeds[0],
            "seconds": product.seconds,
        }


def last_lines(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The last line of results.jsonl on each name, by name.

    Torn lines, which a kill leaves, are skipped. Damaged lines are skipped with a logged warning.
    """
    found: dict[str, dict[str, Any]] = {}
    path, damaged = Path(folder) / RESULTS, 0
    for text in path.read_bytes().split(b"\n") if path.is_file() else []:
        line = _parse(text)
        if line is not None:
            found[line["name"]] = line
        else:
            damaged += bool(text.strip()) and not text.startswith(b'{"')  # as a torn line does
    if damaged:
        logger.warning("%s: %d damaged lines are passed over; their garments are made again.", path, damaged)
    return found


def done_lines(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What results.jsonl says of finished garments and of their alternatives, by name."""
    lines = last_lines(folder)
    for line in list(lines.values()):
        others = line.get("alternatives")
        lines |= {other["name"]: other for other in others if _is_named(other)} if isinstance(others, list) else {}
    return {name: line for name, line in lines.items() if _is_done(line)}


def keep_last_lines(folder: str | Path) -> None:
    """Leaves one line a name in results.jsonl, the last; runs into one folder had added others."""
    if lines := last_lines(folder):
        write_text(Path(folder) / RESULTS, "".join(json.dumps(line) + "\n" for line in lines.values()))


def _parse(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if _is_named(line) else None


def _is_named(line: Any) -> bool:
    return isinstance(line, dict) and isinstance(line.get("name"), str)


def _is_done(line: Mapping[str, Any]) -> bool:
    """Whether a line has all that `PhotoPlan.outcome` reports."""
    outputs, *others = (line.get(key) for key in ("outputs", "quality", "warnings"))
    named = isinstance(outputs, list) and all(isinstance(file, str) for file in outputs)
    return line.get("status") == "done" and named and all(isinstance(other, list) for other in others)
