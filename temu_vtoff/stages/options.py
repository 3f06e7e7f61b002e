"""The options of the three stages, with their defaults; light, because `--help` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.prompt import check_template
from temu_vtoff.backends.registry import EDITORS, TEMU_VTOFF, check_backend, read_editor_index
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import check_choice, check_least
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.hardware import ATTENTION_BACKENDS, OFFLOADS, PRECISIONS, QUANTIZED_BITS
from temu_vtoff.hub.sizes import WorkingSize, read_working_size
from temu_vtoff.hub.sources import IMAGE_ENCODERS, PUBLISHED_CAPTIONER, PUBLISHED_SEGMENTER, TRYOFF, complete_sources
from temu_vtoff.pictures.fitting import RESIZE_MODES
from temu_vtoff.tryoff.presets import GUIDANCE_SCALE, PRESETS, check_sampling


@dataclass(frozen=True)
class Sources:
    """Hub ids, folders or "builtin" of the three stages' models, all filled in."""

    base: str
    tryoff: str
    segmenter: str
    captioner: str

    @property
    def is_builtin(self) -> bool:
        """Whether the try-off model is the built-in one, which knows drawn people only."""
        return self.tryoff == BUILTIN


@dataclass(frozen=True)
class Options:
    """Models of the three stages and how they run. All defaults are defined here.

    Attributes:
        backend: What makes the product pictures: "temu-vtoff", or an image-editing model, one of
            `temu_vtoff.backends.registry.EDITORS`.
        base: Hub id or folder of the base model (VAE, scheduler, text encoders) or of a whole pipeline, or "builtin".
            Naming one of the two published sources fills in the other; the built-in model when both are left open.
            Of an image-editing model: its whole pipeline; left open, the back end's own.
        tryoff: Hub id or folder of the generator and the feature extractor, or "builtin".
        segmenter: SegFormer. Left open, the built-in one beside the built-in try-off model, else the published one.
        captioner: Image-text-to-text model. Left open, chosen as the segmenter is.
        lora: Adapters, each FILE_OR_ID[:WEIGHT_NAME][@SCALE].
        prompt_template: The words for an image-editing model; "{garment}" and "{caption}" stand for the two. Left
            open, `temu_vtoff.backends.prompt.TEMPLATE`.
        focus: Show an image-editing model the part of the photo around the garment only.
        image_encoder_large: CLIP-L vision encoder. Left open, the pipeline's own, else the published one.
        image_encoder_bigG: CLIP-bigG vision encoder. Left open, chosen as CLIP-L's.
        revision: Revision of `base`.
        variant: Variant of `base`'s weights, for example "fp16".
        device: "cpu", "cuda", "cuda:1" or "mps". Left open, the best there is.
        precision: "no" (float32), "fp16" or "bf16". Left open, bf16 where the device has it and gains by it.
        offload: Which models wait in host memory: "none", "model", "sequential", or "auto", as the GPU's memory needs.
        preset: Speed/quality trade-off, a key of `temu_vtoff.tryoff.presets.PRESETS`.
        compile: Compile the transformers' blocks. Left open, for runs of many pictures.
        attention_backend: Attention kernel. Left open, the fastest available.
        quantize_text_encoder: Bits of T5's weights, 8 or 4.
        quantize_transformers: Bits of both transformers' weights, 8 or 4.
        vae_tiling: Encode and decode in tiles: less memory, faint seams.
        width: Pixels, a multiple of 16. Left open, the model's own: published 768, built-in 192.
        height: Pixels, a multiple of 16. Left open, the model's own: published 1024, built-in 256.
        person: Whose garments in a photo of several people, from left to right, from 1. Left open, the largest's.
        resize_mode: How photos of another aspect ratio are fitted: "pad", "crop" or "stretch".
        num_inference_steps: Left open, the preset's own, 28 for "exact", or the image-editing model's.
        guidance_scale: Guidance is off at 1 or less. Left open, the model's own: 2.0 for TEMU-VTOFF.
        batch_size: Photos that go through a model at once.
        finish: What becomes of the product pictures (`Product.finished`). Left open, they stay as the model makes them.

    Raises:
        ArgumentError: A value that is none of the choices, or out of range.
    """

    backend: str = TEMU_VTOFF
    base: str | None = None
    tryoff: str | None = None
    segmenter: str | None = None
    captioner: str | None = None
    lora: Sequence[str] = ()
    prompt_template: str | None = None
    focus: bool = False
    image_encoder_large: str | None = None
    image_encoder_bigG: str | None = None
    revision: str | None = None
    variant: str | None = None
    device: str | None = None
    precision: str | None = None
    offload: str = "auto"
    preset: str = "exact"
    compile: bool | None = None
    attention_backend: str | None = None
    quantize_text_encoder: int | None = None
    quantize_transformers: int | None = None
    vae_tiling: bool = False
    width: int | None = None
    height: int | None = None
    person: int | None = None
    resize_mode: str = "pad"
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    batch_size: int = 1
    finish: Finish | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("precision", (None, *PRECISIONS)),
            ("offload", OFFLOADS),
            ("preset", PRESETS),
            ("attention_backend", (None, *ATTENTION_BACKENDS)),
            ("quantize_text_encoder", (None, *QUANTIZED_BITS)),
            ("quantize_transformers", (None, *QUANTIZED_BITS)),
            ("resize_mode", RESIZE_MODES),
        ):
            check_choice(name, getattr(self, name), choices)
        check_least("batch_size", self.batch_size)
        check_least("person", self.person)
        check_sampling(self.num_inference_steps, self.guidance_scale)
        object.__setattr__(self, "lora", tuple(self.lora))
        for lora in self.lora:
            Lora.parse(lora)
        if self.prompt_template is not None:
            check_template(self.prompt_template)
        check_backend(self)

    @property
    def guidance(self) -> float | None:
        """The guidance scale; None for an image-editing model's own, which its weights tell."""
        of_temu_vtoff = self.guidance_scale is None and self.backend == TEMU_VTOFF
        return GUIDANCE_SCALE if of_temu_vtoff else self.guidance_scale

    @property
    def sources(self) -> Sources:
        """The models' sources, with what was left open filled in."""
        if self.backend in EDITORS:
            base = tryoff = EDITORS[self.backend].base if self.base is None else self.base
        else:
            base, tryoff = complete_sources(self.base, self.tryoff)
        is_builtin = tryoff == BUILTIN

        def stage(named: str | None, published: str) -> str:
            return named if named is not None else BUILTIN if is_builtin else published

        segmenter = stage(self.segmenter, PUBLISHED_SEGMENTER)
        return Sources(str(base), str(tryoff), segmenter, stage(self.captioner, PUBLISHED_CAPTIONER))

    @property
    def denoiser(self) -> tuple[str, str]:
        """Source and subfolder of the transformer that denoises."""
        return self.sources.tryoff, TRYOFF[0]

    @property
    def image_encoders(self) -> dict[str, str]:
        """The vision encoders given instead of the pipeline's own, by component."""
        given = {name: getattr(self, name) for name in IMAGE_ENCODERS}
        return {name: source for name, source in given.items() if source is not None}

    def working_size(self) -> WorkingSize:
        """The size that the try-off model was trained at, from its configurations.

        Raises:
            CheckpointError: A source can't be loaded; this is known before any weights are read.
        """
        if self.backend in EDITORS:
            read_editor_index(self.backend, self.sources.base, self.revision)
            return EDITORS[self.backend].working_size
        sources = self.sources
        return read_working_size(sources.base, sources.tryoff, self.revision)

    def size(self) -> tuple[int, int]:
        """Width and height of the pictures: the options', else the model's own.

        Raises:
            ArgumentError: A size that the model can't make.
            CheckpointError: A source can't be loaded.
        """
        return self.working_size().choose(self.width, self.height)
