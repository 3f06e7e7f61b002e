"""The fields for background, margin and file format of product pictures, and what they ask for."""

import math
import re
from typing import Any

import gradio as gr

from temu_vtoff.errors import ArgumentError
from temu_vtoff.finishing.finish import KEEP, SUFFIXES, TRANSPARENT, WHITE, Finish
from web_page.messages import LABELS

COLOUR = "colour"  # the background that the colour's field chooses
BACKGROUNDS = [("As made", KEEP), ("White", WHITE), ("Transparent", TRANSPARENT), ("A colour", COLOUR)]
FORMAT_NAMES = {"png": "PNG", "jpg": "JPEG", "webp": "WebP"}
OFFERED_MARGIN = 30  # percent
FINISHING = 4  # fields


class FinishFields:
    """
    Args:
        prefix: Of the elements' ids.

    Attributes:
        fields: Arguments of `wanted`, in its order.
    """

    def __init__(self, prefix: str = "") -> None:
        with gr.Accordion("Background, margin and file", open=False, elem_id=f"{prefix}finish"):
            background = gr.Radio(BACKGROUNDS, value=KEEP, label=LABELS["background"], elem_id=f"{prefix}background")
            colour = gr.ColorPicker("#f4f4f4", label="Colour", visible=False, elem_id=f"{prefix}colour")
            margin = gr.Slider(
                0,
                OFFERED_MARGIN,
                0,
                step=1,
                label=LABELS["margin"],
                info="percent around the garment; 0: as made",
                elem_id=f"{prefix}margin",
            )
            output_format = gr.Radio(
                [(FORMAT_NAMES[name], name) for name in SUFFIXES],
                value=Finish.output_format,
                label=LABELS["output_format"],
                elem_id=f"{prefix}format",
            )
        self.fields = [background, colour, margin, output_format]

    def wire(self) -> None:
        """Shows the colour's field where it counts."""
        background, colour, *_ = self.fields
        background.change(
            None, background, colour, js=f"(chosen) => ({{visible: chosen === '{COLOUR}', __type__: 'update'}})"
        )


def wanted(background: Any, colour: Any, margin: Any, output_format: Any) -> Finish:
    """What the fields ask for.

    Raises:
        ArgumentError: A value that can't be, or JPEG with transparency.
    """
    return finish_of(as_hex(colour) if background == COLOUR else background, margin, output_format)


def finish_of(background: Any, margin: Any, output_format: Any) -> Finish:
    """
    Args:
        background: As for `Finish`.
        margin: Percent of the finished picture's shorter side; 0 leaves the frame as it is made.
        output_format: As for `Finish`.

    Raises:
        ArgumentError: A value that can't be, or JPEG with transparency.
    """
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not math.isfinite(margin):
        raise ArgumentError(f"{{margin}} is {margin}; give a number.", "margin")
    room = f"{margin:g}%" if margin else None
    return Finish(background=str(background), margin=room, output_format=str(output_format))


def as_hex(colour: Any) -> str:
    """ "#RRGGBB" of a colour as browsers write it, such as "rgba(244, 244.2, 244, 1)"; others as they are."""
    levels = re.fullmatch(r"rgba?\(\s*([\d.]+)[,\s]+([\d.]+)[,\s]+([\d.]+).*\)", str(colour))
    if levels is None:
        return str(colour)
    return "#" + "".join(f"{min(round(float(level)), 255):02x}" for level in levels.groups())
