"""Finish Garment: cut out, framed, on a background, as a shop needs product pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io

from temu_vtoff.finishing.finish import ALIGNS, MOST_UPSCALE, TRANSPARENT, WHITE, Finish

from . import inputs
from .failing import one_sentence
from .tensors import to_batch, to_pictures


class FinishGarment(io.ComfyNode):
    """The finished product pictures, and where the garment is in them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FinishGarment",
            display_name="Finish Garment",
            category=inputs.CATEGORY,
            description="Cuts the garment of each product picture out and frames it. No model is needed.",
            inputs=[
                io.Image.Input("image", tooltip="product pictures, for example from Try Off"),
                io.String.Input(
                    "background", default=WHITE, tooltip="white, transparent, keep, or a colour such as #f4f4f4"
                ),
                io.Boolean.Input("trim", default=False, tooltip="cut the picture to the garment; a margin does so too"),
                io.String.Input(
                    "margin",
                    default="8%",
                    tooltip="room around the garment: 8%, or pixels; empty: none",
                ),
                io.String.Input(
                    "canvas", default="", tooltip="width and height such as 1200x1600; empty: as the picture comes out"
                ),
                io.Combo.Input(
                    "align",
                    options=list(ALIGNS),
                    default=ALIGNS[0],
                    tooltip="top: it hangs from the upper margin",
                ),
                io.Int.Input("upscale", default=1, min=1, max=MOST_UPSCALE, tooltip="enlarge by this factor (Lanczos)"),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="with opacity if the background is transparent"),
                io.Mask.Output("mask", display_name="mask", tooltip="1 on the garment"),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        background: str,
        trim: bool,
        margin: str,
        canvas: str,
        align: str,
        upscale: int,
    ) -> io.NodeOutput:
        from temu_vtoff.finishing.picture import finish_picture  # imports scipy

        with one_sentence():
            finish = Finish(
                background=background.strip(),
                trim=trim,
                margin=margin.strip() or None,
                canvas=canvas.strip() or None,
                align=align,
                upscale=upscale,
            )
            pictures = to_pictures(image)
            finished = [finish_picture(picture, finish) for picture in pictures]
            cut = finished
            if finish.background != TRANSPARENT:
                cut = [finish_picture(picture, replace(finish, background=TRANSPARENT)) for picture in pictures]
            return io.NodeOutput(to_batch(finished), to_batch([picture.getchannel("A") for picture in cut]))
