"""Which models a run uses, what was named and what goes with it where nothing was; and by what means they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.hub.sources import (
    IMAGE_ENCODERS,
    PUBLISHED_CAPTIONER,
    PUBLISHED_SEGMENTER,
    TRYOFF,
    WorkingSize,
    complete_sources,
    read_working_size,
)

if TYPE_CHECKING:
    import torch

    from temu_vtoff.tryoff.pipeline import TryOffPipeline


@dataclass(frozen=True)
class Means:
    """What makes a pipeline fast or small, beside its device and precision.

    Attributes:
        compile: As of `acceleration.speed_up`, like the next two.
        attention_backend: The fastest available when None.
        fp8: Of the preset.
        vae_tiling: Encode and decode in tiles: little memory, faint seams.
        quantize: Bits of the weights, by component.
    """

    compile: bool = False
    attention_backend: str | None = None
    fp8: bool = False
    vae_tiling: bool = False
    quantize: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any], pictures: int) -> Means:
        """From values by the names of the scripts' flags, for a run of so many pictures."""
        from temu_vtoff.hardware.acceleration import is_compiling_worth_it
        from temu_vtoff.tryoff.presets import choose_preset

        quantize = dict.fromkeys(TRYOFF, flags["quantize_transformers"])
        quantize["text_encoder_3"] = flags["quantize_text_encoder"]
        return cls(
            compile=is_compiling_worth_it(pictures) if flags["compile"] is None else flags["compile"],
            attention_backend=flags["attention_backend"],
            fp8=choose_preset(flags["preset"]).fp8,
            vae_tiling=flags["vae_tiling"],
            quantize={name: bits for name, bits in quantize.items() if bits is not None},
        )


@dataclass(frozen=True)
class ModelChoice:
    """Hub ids, folders or "builtin" of the three stages' models.

    Attributes:
        base: VAE, scheduler and text encoders; or a whole pipeline.
        tryoff: Generator and feature extractor.
        segmenter: SegFormer.
        captioner: Qwen2.5-VL.
        image_encoders: Those named instead of the pipeline's own, by component.
        revision: Of the base.
        variant: Of the base's weights.
    """

    base: str
    tryoff: str
    segmenter: str
    captioner: str
    image_encoders: dict[str, str] = field(default_factory=dict)
    revision: str | None = None
    variant: str | None = None

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any]) -> ModelChoice:
        """From values by the names of the scripts' flags, all or some; what is absent or None is filled in.

        Naming one of the two published sources brings the other; the segmenter and the captioner are the built-in
        ones beside the built-in try-off model, else the published ones.
        """
        base, tryoff = complete_sources(
            flags.get("pretrained_model_name_or_path"), flags.get("pretrained_model_name_or_path_sd3_tryoff")
        )

        def stage(named: str | None, published: str) -> str:
            if named is not None:
                return named
            return BUILTIN if tryoff == BUILTIN else published

        return cls(
            base,
            tryoff,
            segmenter=stage(flags.get("segmentation_model"), PUBLISHED_SEGMENTER),
            captioner=stage(flags.get("caption_model"), PUBLISHED_CAPTIONER),
            image_encoders={n: value for n in IMAGE_ENCODERS if (value := flags.get(n)) is not None},
            revision=flags.get("revision"),
            variant=flags.get("variant"),
        )

    @property
    def is_builtin(self) -> bool:
        """Whether the try-off model knows drawn people only."""
        return self.tryoff == BUILTIN

    def working_size(self) -> WorkingSize:
        """The try-off model's size; also tells early, before the other stages run, when it can't be had."""
        return read_working_size(self.base, self.tryoff, self.revision)

    def load_pipeline(
        self,
        device: torch.device,
        dtype: torch.dtype,
        offload: str = "auto",
        means: Means | None = None,
        **components: Any,
    ) -> TryOffPipeline:
        """The pipeline on its device, made fast; `components` as for `TryOffPipeline.from_pretrained`."""
        from temu_vtoff.hardware.acceleration import speed_up
        from temu_vtoff.hardware.devices import place
        from temu_vtoff.tryoff.pipeline import TryOffPipeline

        means = Means() if means is None else means
        pipe = TryOffPipeline.from_pretrained(
            self.base,
            self.tryoff,
            torch_dtype=dtype,
            revision=self.revision,
            variant=self.variant,
            quantize=means.quantize,
            **self.image_encoders | components,
        )
        placed = place(pipe, device, offload)
        if means.vae_tiling:
            pipe.vae.enable_tiling()
        compile = means.compile and placed != "sequential"  # whose hooks no compiled block may hold
        return speed_up(pipe, compile, means.attention_backend, means.fp8)
