"""The back ends and what each needs, as data; light, because `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ArgumentError, check_choice
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.hub.sources import read_index
from temu_vtoff.segmentation.categories import ALL, CATEGORIES, TRYOFF_CATEGORIES

if TYPE_CHECKING:
    from temu_vtoff.stages.options import Options

TEMU_VTOFF = "temu-vtoff"
DIFFUSERS = "0.42"  # a version that has all of the pipelines
LARGEST = 2048  # pixels of a side; the models were trained at about one megapixel


@dataclass(frozen=True)
class Backend:
    """An image-editing model.

    Attributes:
        pipeline: Class of diffusers.
        base: Hub id of the weights that are taken when none are named.
        steps: Its authors' number of steps.
        guidance: Its authors' guidance scale.
        multiple: Each side of a picture must be a multiple of this, in pixels.
        pictures: Number of pictures that one call can look at.
        distilled: Steps and guidance of weights that say that they are distilled; None where there are none.
        categories: Keys of `temu_vtoff.segmentation.categories.CATEGORIES` that it makes pictures of.
    """

    pipeline: str
    base: str
    steps: int
    guidance: float
    multiple: int
    pictures: int
    distilled: tuple[int, float] | None = None
    categories: tuple[str, ...] = tuple(CATEGORIES)

    @property
    def working_size(self) -> WorkingSize:
        """The size of DressCode's and VITON-HD's pictures, near the megapixel that these models know best."""
        return WorkingSize(768, 1024, self.multiple, LARGEST)


EDITORS = {
    "qwen-image-edit": Backend(
        pipeline="QwenImageEditPlusPipeline",
        base="Qwen/Qwen-Image-Edit-2511",
        steps=40,
        guidance=4.0,
        multiple=32,
        pictures=3,
    ),
    "flux2-klein": Backend(
        pipeline="Flux2KleinPipeline",
        base="black-forest-labs/FLUX.2-klein-4B",
        steps=50,
        guidance=4.0,
        multiple=16,
        pictures=4,
        distilled=(4, 1.0),
    ),
    "flux-kontext": Backend(
        pipeline="FluxKontextPipeline",
        base="black-forest-labs/FLUX.1-Kontext-dev",
        steps=28,
        guidance=2.5,
        multiple=16,
        pictures=1,
    ),
}
BACKENDS = (TEMU_VTOFF, *EDITORS)
_ONLY_TEMU_VTOFF = ("tryoff", "image_encoder_large", "image_encoder_bigG", "preset", "compile", "attention_backend")
_ONLY_EDITORS = ("prompt_template", "focus")


def check_backend(options: Options) -> None:
    """Checks that the options fit the back end.

    Raises:
        ArgumentError: An unknown back end, or an option that does not apply to this one.
    """
    check_choice("backend", options.backend, BACKENDS)
    is_editor = options.backend in EDITORS
    for name in _ONLY_TEMU_VTOFF if is_editor else _ONLY_EDITORS:
        if getattr(options, name) != type(options).__dataclass_fields__[name].default:
            takes = "is for temu-vtoff alone" if is_editor else "is for the other back ends"
            sentence = f"{{{name}}} {takes}: leave it out with {{backend}} {options.backend}."
            raise ArgumentError(sentence, name, "backend")
    if is_editor and options.base == BUILTIN:
        raise ArgumentError(
            f"{{base}} is the built-in model, which is none of {{backend}} {options.backend}: leave it out, or give a "
            "hub id or folder.",
            *("base", "backend"),
        )
    if options.focus and options.resize_mode != "pad":
        raise ArgumentError("{focus} keeps the photo's shape: leave {resize_mode} at pad.", "focus", "resize_mode")


def categories_of(backend: str) -> tuple[str, ...]:
    """The categories of garments that a back end makes pictures of."""
    return TRYOFF_CATEGORIES if backend == TEMU_VTOFF else EDITORS[backend].categories


def check_category(category: str, backend: str) -> None:
    """
    Raises:
        ArgumentError: An unknown category, or one that the back end doesn't make.
    """
    choices = (*categories_of(backend), ALL)
    able = [name for name in BACKENDS if category in categories_of(name)]
    if able and category not in choices:
        raise ArgumentError(
            f"{{category}} is {category!r}, which {{backend}} {backend} doesn't make: choose {{backend}} "
            f"{' or '.join(able)}, or one of {', '.join(choices)}.",
            *("category", "backend"),
        )
    check_choice("category", category, choices)


def read_editor_index(backend: str, base: str, revision: str | None = None) -> dict[str, Any]:
    """The model_index.json of an image-editing pipeline.

    Raises:
        CheckpointError: It can't be had, or is of another kind of pipeline.
    """
    index, needed = read_index(base, revision), EDITORS[backend]
    if index.get("_class_name") != needed.pipeline:
        found = f"is a {index['_class_name']}" if "_class_name" in index else "has no model_index.json"
        raise CheckpointError(
            f"{base} (argument {{base}}) {found}; {{backend}} {backend} needs a {needed.pipeline} in diffusers' "
            f"layout, such as {needed.base}.",
            *("base", "backend"),
        )
    return index
