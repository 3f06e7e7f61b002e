"""A run over photos: segments, captions and tries off what a plan has left, and writes each result at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from temu_vtoff.finishing.finish import Finish
from temu_vtoff.runs.garment_files import GarmentFiles, keep_last_lines
from temu_vtoff.runs.photo_plan import PhotoPlan
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.grouping import Choice, Group, choose_each, in_groups
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame, Photo
from temu_vtoff.stages.tryoff import TryOff


@dataclass
class PhotoRun:
    """What a run makes, and what it found finished, by the garments' names.

    Attributes:
        plan: The photos, and the folder of the results.
        options: The models and how they run.
        attributes: Whether to write the captions' attributes.
        tell: Called with sentences for the user.
    """

    plan: PhotoPlan
    options: Options
    attributes: bool = False
    tell: Callable[[str], None] = field(default=lambda sentence: None)

    def __post_init__(self) -> None:
        finish = Finish() if self.options.finish is None else self.options.finish
        models = asdict(self.options.sources)
        folder = self.plan.results.folder
        self.files = GarmentFiles(folder, Frame.of(self.options), finish, self.attributes, models=models)
        self.garments: list[Garment] = []
        self.groups: list[Group] = []

    def __call__(
        self,
        toolkit: TryOff,
        photos: Sequence[Photo | Garment],
        category: str,
        *,
        mask: Path | None = None,
        caption: str | None = None,
        **how: Any,
    ) -> None:
        """
        Args:
            toolkit: The stages.
            photos: Those that are left.
            category: Argument of `TryOff.segment`, like `mask`.
            caption: Of all garments, instead of the captioner's.
            how: Arguments of `TryOff.generate`.
        """
        self.garments = toolkit.segment(photos, category, mask=mask)
        self.plan.group(self.garments)
        self.groups = in_groups(self.garments, self.plan.taken)
        for group in self.groups:
            if group.garments[0].group is None:  # the others' names come with the choice
                group.garments[0].name = group.name
        for garment in self.garments:
            self._tell_warnings(garment)
            if garment.group is None:
                self.files.write_masks(garment)
            if caption is not None:
                garment.caption = caption
        toolkit.caption(self.garments)
        ordered = [garment for group in self.groups for garment in group.garments]
        for choice in choose_each(self.groups, toolkit.generate(ordered, **how)):
            self._write(choice)
        keep_last_lines(self.files.folder)

    @property
    def errors(self) -> dict[Any, Exception]:
        """The first error of each photo."""
        found: dict[Any, Exception] = {}
        for garment in self.garments:
            if garment.error is not None:
                found.setdefault(garment.origin, garment.error)
        return found

    def _write(self, choice: Choice) -> None:
        is_only = len(self.garments) == 1 and choice.product.error is not None  # whose error ends the run
        for path, product in self.files.write_choice(choice, add_line=not is_only):
            if product.quality[0].doubts:
                self.tell(f"{path}: {product.quality[0].sentence}")
            name = product.garment.name
            self.plan.add(product.garment.item, name, self.files.written(name), self.groups)

    def _tell_warnings(self, garment: Garment) -> None:
        """Tells the warnings about a photo, and a note if another label was used."""
        if garment.note is not None:
            self.tell(f"{garment.origin}: {garment.note}")
        for warning in garment.warnings:
            self.tell(f"warning: {garment.origin}, {garment.category}: {warning}")
