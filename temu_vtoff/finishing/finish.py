"""How product pictures are finished: background, frame and file; light, because `--help` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from temu_vtoff.errors import ArgumentError, check_choice

WHITE, TRANSPARENT, KEEP = "white", "transparent", "keep"
ALIGNS = ("center", "top")
SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp"}
LONGEST_SIDE = 16384  # pixels; WebP takes no more, and a canvas of this size needs a gigabyte
MOST_MARGIN = 0.45  # share of the shorter side; something must be left for the garment
MOST_UPSCALE = 8
QUALITY = 92  # of JPEG and WebP


@dataclass(frozen=True)
class Finish:
    """What becomes of a product picture before it is written.

    Attributes:
        background: "white" (255 in every pixel of it), "transparent", "#RRGGBB", or "keep", the model's own.
        trim: Cut the picture to the garment. A margin does so too.
        margin: Room around the garment: "8%" of the finished picture's shorter side, or pixels ("40").
        canvas: Width and height of the finished picture, "1200x1600". Left open, as the picture comes out.
        align: "center", or "top": the garment hangs from the upper margin.
        keep_size: The canvas is the photo's own size.
        output_format: "png", "jpg" or "webp".
        quality: Of JPEG and WebP, 1 to 100. Left open, `QUALITY`.
        upscale: Factor by which the model's picture is enlarged.
        upscaler: Hub id or folder of a diffusers or transformers model that does it. Left open, Lanczos.

    Raises:
        ArgumentError: A value out of range, or values that contradict each other.
    """

    background: str = KEEP
    trim: bool = False
    margin: str | None = None
    canvas: str | None = None
    align: str = "center"
    keep_size: bool = False
    output_format: str = "png"
    quality: int | None = None
    upscale: int = 1
    upscaler: str | None = None

    def __post_init__(self) -> None:
        self._check_values()
        self._check_together()

    @property
    def suffix(self) -> str:
        """Of the files, with its dot."""
        return SUFFIXES[self.output_format]

    @property
    def separates(self) -> bool:
        """Whether the garment must be separated from its background."""
        return self.background != KEEP or self.trims

    @property
    def trims(self) -> bool:
        """Whether the garment is framed by its own outline instead of the model's picture."""
        return self.trim or self.margin is not None or self.align != "center"

    @property
    def colour(self) -> tuple[int, int, int] | None:
        """The new background, RGB in [0, 255]; None for a transparent background and for the model's own."""
        if self.background in (KEEP, TRANSPARENT):
            return None
        digits = "ffffff" if self.background == WHITE else self.background[1:]
        return tuple(bytes.fromhex(digits))

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the canvas."""
        return None if self.canvas is None else tuple(int(side) for side in self.canvas.lower().split("x"))

    def margin_of(self, size: tuple[int, int]) -> int:
        """Pixels of the margin in a finished picture of this size."""
        share = self.margin_share
        return self.margin_pixels if share is None else round(share * min(size))

    @property
    def margin_share(self) -> float | None:
        """The margin as a share of the finished picture's shorter side; None for pixels."""
        return float(self.margin[:-1]) / 100 if self.margin is not None and self.margin.endswith("%") else None

    @property
    def margin_pixels(self) -> int:
        """The margin in pixels; 0 without one."""
        return 0 if self.margin is None or self.margin.endswith("%") else int(self.margin)

    def save_options(self) -> dict[str, object]:
        """Arguments of Pillow's `save` for the file's format."""
        quality = QUALITY if self.quality is None else self.quality
        return {
            "png": {},
            "jpg": {"quality": quality, "subsampling": 0},
            "webp": {"quality": quality, "exact": False},
        }[self.output_format]

    def _check_values(self) -> None:
        if self.background not in (WHITE, TRANSPARENT, KEEP) and not re.fullmatch("#[0-9a-fA-F]{6}", self.background):
            raise ArgumentError(
                f"{{background}} is {self.background!r}; give white, transparent, keep, or a colour such as #f4f4f4.",
                "background",
            )
        if self.margin is not None and not re.fullmatch(r"\d{1,5}(\.\d+)?%|\d{1,5}", self.margin):
            raise ArgumentError(f"{{margin}} is {self.margin!r}; give a share such as 8%, or pixels.", "margin")
        if self.margin_share is not None and self.margin_share > MOST_MARGIN:
            raise ArgumentError(f"{{margin}} is {self.margin}; give {100 * MOST_MARGIN:.0f}% at most.", "margin")
        if self.canvas is not None and not re.fullmatch(r"[1-9]\d{0,4}[xX][1-9]\d{0,4}", self.canvas):
            raise ArgumentError(f"{{canvas}} is {self.canvas!r}; give width and height, such as 1200x1600.", "canvas")
        if self.canvas is not None and max(self.size) > LONGEST_SIDE:
            raise ArgumentError(f"{{canvas}} is {self.canvas}; {LONGEST_SIDE} pixels a side at most.", "canvas")
        check_choice("align", self.align, ALIGNS)
        check_choice("output_format", self.output_format, SUFFIXES)
        for name, most in (("quality", 100), ("upscale", MOST_UPSCALE)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise ArgumentError(f"{{{name}}} is {value}; give 1 to {most}.", name)

    def _check_together(self) -> None:
        if self.background == TRANSPARENT and self.output_format == "jpg":
            raise ArgumentError(
                "JPEG files can't be transparent: give {output_format} png or webp, or another {background}.",
                *("output_format", "background"),
            )
        if self.quality is not None and self.output_format == "png":
            raise ArgumentError(
                "{quality} is for {output_format} jpg and webp: PNG loses nothing.", "quality", "output_format"
            )
        if self.keep_size and self.canvas is not None:
            raise ArgumentError("{keep_size} and {canvas} both give a size: choose one.", "keep_size", "canvas")
        if self.align != "center" and self.canvas is None and not self.keep_size:
            raise ArgumentError(
                "{align} top needs room to move the garment in: give {canvas} or {keep_size}.",
                *("align", "canvas", "keep_size"),
            )
        if self.upscaler is not None and self.upscale == 1:
            raise ArgumentError("{upscaler} needs a factor: give {upscale}.", "upscaler", "upscale")
        if self.size is not None and 2 * self.margin_of(self.size) >= min(self.size):
            raise ArgumentError(
                "{margin} leaves no room for the garment on {canvas} " + f"{self.canvas}.", "margin", "canvas"
            )
