"""The options of try-on, with their defaults; light, because `--help` reads them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ArgumentError, check_choice, check_finite
from temu_vtoff.hub.sizes import WorkingSize, read_tryon_size
from temu_vtoff.hub.sources import PUBLISHED_TRYOFF, PUBLISHED_TRYON, TRYON, tryon_folder
from temu_vtoff.stages.options import Options, Sources

REGIONS = ("rectangle", "tight")
NO_POSE_MODEL = "none"
_OF_TRYON = ("width", "height", "num_inference_steps", "image_encoder_large", "image_encoder_bigG")
OFFSETS = ("offset_top", "offset_bottom", "offset_left", "offset_right")


@dataclass(frozen=True)
class TryOnOptions(Options):
    """Models of try-on and how they run. Left open, the sources of `Options` are the built-in ones beside the built-in
    try-on model, and the published ones beside others.

    Attributes:
        tryon: Hub id or folder of a model in FitDiT's layout, or "builtin". Left open, the built-in one beside the
            built-in try-off model, else the published one. None with an image-editing model as `backend`, which looks
            at both pictures and does the try-off too.
        person: As in `Options`, in the photos of persons; where a garment is taken off, the largest person counts.
        region: What is repainted: the "rectangle" around garment and limbs, or "tight", closely around both. Left
            open, "tight" for the built-in model, which learned it so, else "rectangle".
        offset_top, offset_bottom, offset_left, offset_right: How far the rectangle's sides are moved outwards, in
            pixels of a photo whose short side has 768; negative numbers move them inwards.
        pose_model: Estimates joints where none are given and the model reads a pose: a folder with two ONNX files for
            rtmlib, "auto" for rtmlib's own where it is installed, or "none".

    Raises:
        ArgumentError: A value that is none of the choices or out of range, or offsets of a tight region.
    """

    tryon: str | None = None
    region: str | None = None
    offset_top: float = 0
    offset_bottom: float = 0
    offset_left: float = 0
    offset_right: float = 0
    pose_model: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend in EDITORS:
            self._check_editor()
        elif self.tryon is None:
            object.__setattr__(self, "tryon", BUILTIN if super().sources.is_builtin else PUBLISHED_TRYON)
        if self.region is None:
            object.__setattr__(self, "region", "tight" if self.tryon == BUILTIN else "rectangle")
        check_choice("region", self.region, REGIONS)
        for name in OFFSETS:
            check_finite(name, getattr(self, name))
        moved = [name for name in OFFSETS if getattr(self, name) != 0]
        if self.region == "tight" and moved:
            raise ArgumentError(
                f"{{{moved[0]}}} moves a side of the rectangle: give {{region}} rectangle.", moved[0], "region"
            )

    def _check_editor(self) -> None:
        """Checks what goes with an image-editing model."""
        pictures = EDITORS[self.backend].pictures
        if pictures < 2:
            able = " or ".join(name for name, editor in EDITORS.items() if editor.pictures > 1)
            raise ArgumentError(
                f"{{backend}} {self.backend} looks at one picture, and try-on needs two: choose {able}.", "backend"
            )
        if self.tryon is not None:
            raise ArgumentError(
                f"{{tryon}} is for temu-vtoff: with {{backend}} {self.backend} give {{base}}.",
                *("tryon", "backend", "base"),
            )
        if self.focus:
            raise ArgumentError("{focus} is for try-off: in try-on the whole person is seen.", "focus")
        if self.prompt_template is not None and "{" in self.prompt_template:
            raise ArgumentError(
                "{prompt_template} has fields, which try-on doesn't fill in: leave them out.", "prompt_template"
            )

    @property
    def sources(self) -> Sources:
        """The sources of try-off and segmenter, with what was left open filled in."""
        if self.base is None and self.tryoff is None and self.backend not in EDITORS and self.tryon != BUILTIN:
            return replace(self, tryoff=PUBLISHED_TRYOFF).sources
        return super().sources

    @property
    def denoiser(self) -> tuple[str, str]:
        return tryon_folder(self.tryon), TRYON[0]

    def working_size(self) -> WorkingSize:
        """The size that the try-on model was made for, from its configurations alone.

        Raises:
            CheckpointError: A source can't be loaded, or is no try-on model.
        """
        return super().working_size() if self.backend in EDITORS else read_tryon_size(self.tryon)

    def of_tryoff(self) -> Options:
        """The options that take a garment off a person first: by the same image-editing model, with what it was given,
        else by the try-off model, whose size, steps and image encoders are its own. It sees other photos, so that
        `person` doesn't count.
        """
        given = {field.name: getattr(self, field.name) for field in fields(Options)} | {"person": None}
        if self.backend in EDITORS:
            return Options(**given | {"prompt_template": None})
        shared = {name: value for name, value in given.items() if name not in _OF_TRYON}
        sources = self.sources
        return Options(**shared | {"base": sources.base, "tryoff": sources.tryoff, "segmenter": sources.segmenter})


def of_tryoff(options: Options) -> Options:
    """The options of try-off: themselves, or those of try-on's first step."""
    return options.of_tryoff() if isinstance(options, TryOnOptions) else options
