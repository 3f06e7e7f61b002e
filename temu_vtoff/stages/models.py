"""Loads the models of the three stages according to the options."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from temu_vtoff.backends.adapters import load_loras
from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.backends.loading import load_editing_model, working_bytes
from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.backends.trying_on import EditingTryOn
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.acceleration import choose_attention_backend, is_compiling_worth_it, speed_up
from temu_vtoff.hardware.devices import WORKING_BYTES_PER_PIXEL, choose_device, choose_dtype, place
from temu_vtoff.hub.sizes import read_width
from temu_vtoff.hub.sources import TRYOFF, TRYON
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryon_options import NO_POSE_MODEL, TryOnOptions
from temu_vtoff.tryoff.pipeline import TryOffPipeline
from temu_vtoff.tryoff.presets import choose_preset
from temu_vtoff.tryon.loading import reads_joints
from temu_vtoff.tryon.pipeline import TryOnPipeline

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline on its device, and the choices that the options left open.

    Attributes:
        pipe: The pipeline, ready to be called.
        taken: For `run.json`: device, dtype, offload mode, attention backend, and whether blocks are compiled.
    """

    pipe: TryOffPipeline | TryOnPipeline | EditingModel | EditingTryOn
    taken: dict[str, Any]


def load_segmenter(options: Options) -> ClothSegmenter:
    """
    Raises:
        CheckpointError: It can't be loaded.
    """
    return ClothSegmenter.from_pretrained(options.sources.segmenter, choose_device(options.device))


def load_captioner(options: Options) -> Captioner:
    """
    Raises:
        CheckpointError: It can't be loaded.
    """
    return Captioner.from_pretrained(options.sources.captioner, choose_device(options.device))


def load_upscaler(options: Options) -> Callable[[Image.Image], Image.Image] | None:
    """The upscaler that `options.finish` names; None if it names none.

    Raises:
        CheckpointError: It can't be loaded.
    """
    finish = options.finish
    if finish is None or finish.upscaler is None:
        if finish is not None and finish.upscale > 1:
            logger.warning("Pictures are enlarged by Lanczos resampling, which adds no detail; an upscaler would.")
        return None
    from temu_vtoff.finishing import upscaling  # imports diffusers' pipelines, which few need

    return upscaling.load_upscaler(finish.upscaler, choose_device(options.device))


def pipeline_dtype(options: Options) -> torch.dtype:
    """The precision that `load_pipeline` and `load_tryon_pipeline` use.

    Raises:
        CheckpointError: The model can't be loaded.
    """
    width = None if options.backend in EDITORS else read_width(*options.denoiser)
    return choose_dtype(options.precision, choose_device(options.device), options.preset, width)


def load_pipeline(options: Options, pictures: int = 1, **components: Any) -> LoadedPipeline:
    """The try-off model, a pipeline or an image-editing one, on its device; for speed and memory as the options say.

    Args:
        pictures: Number of pictures to make; compiling pays only for many.
        components: Components for `TryOffPipeline.from_pretrained`, for example None for those not needed.

    Raises:
        CheckpointError: A source can't be loaded.
        ArgumentError: An option is not available on this machine.
    """
    dtype = pipeline_dtype(options)
    if options.backend in EDITORS:
        return _load_editor(options, dtype)
    sources = options.sources
    bits = dict.fromkeys(TRYOFF, options.quantize_transformers) | {"text_encoder_3": options.quantize_text_encoder}
    pipe = TryOffPipeline.from_pretrained(
        sources.base,
        sources.tryoff,
        torch_dtype=dtype,
        revision=options.revision,
        variant=options.variant,
        quantize={name: number for name, number in bits.items() if number is not None},
        **options.image_encoders | components,
    )
    load_loras(pipe, options.lora)
    return _prepared(pipe, options, dtype, pictures)


def load_tryon_pipeline(options: TryOnOptions, pictures: int = 1) -> LoadedPipeline:
    """The try-on pipeline; arguments and errors as for `load_pipeline`."""
    dtype = pipeline_dtype(options)
    if options.backend in EDITORS:
        loaded = _load_editor(options, dtype)
        return LoadedPipeline(EditingTryOn(loaded.pipe), loaded.taken)
    bits = options.quantize_transformers
    pipe = TryOnPipeline.from_pretrained(
        options.tryon,
        torch_dtype=dtype,
        quantize={} if bits is None else dict.fromkeys(TRYON, bits),
        **options.image_encoders,
    )
    return _prepared(pipe, options, dtype, pictures)


def estimates_joints(options: TryOnOptions) -> bool:
    """Whether joints that no file gives are to be estimated: the model reads a pose, and the options allow it.

    Raises:
        CheckpointError: There is no such model, or it is damaged.
    """
    return options.pose_model != NO_POSE_MODEL and options.backend not in EDITORS and reads_joints(options.tryon)


def _prepared(
    pipe: TryOffPipeline | TryOnPipeline, options: Options, dtype: torch.dtype, pictures: int
) -> LoadedPipeline:
    device = choose_device(options.device)
    size = pipe.working_size
    offload = place(pipe, device, options.offload, WORKING_BYTES_PER_PIXEL * size.width * size.height)
    if options.vae_tiling:
        pipe.vae.enable_tiling()
    # diffusers' hooks of sequential offloading can't be part of a compiled block.
    compiled = offload != "sequential" and (
        is_compiling_worth_it(pictures) if options.compile is None else options.compile
    )
    backend = options.attention_backend
    backend = choose_attention_backend(device, dtype) if backend is None else backend
    if compiled:
        logger.warning("Compiling for speed: the first pictures take up to some minutes longer.")
    speed_up(pipe, compiled, backend, choose_preset(options.preset).fp8)
    pipe.set_progress_bar_config(disable=True)
    taken = {
        "device": _name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "offload": offload,
        "compiled": compiled,
        "attention_backend": backend,
    }
    return LoadedPipeline(pipe, taken)


def _load_editor(options: Options, dtype: torch.dtype) -> LoadedPipeline:
    device = choose_device(options.device)
    editor = load_editing_model(options, dtype)
    offload = place(editor.pipe, device, options.offload, working_bytes(*options.size()))
    if options.vae_tiling:
        editor.pipe.vae.enable_tiling()
    editor.set_progress_bar_config(disable=True)
    steps, guidance = editor.own_sampling()
    if options.guidance is not None and options.guidance > 1 and guidance <= 1:
        raise ArgumentError(
            f"{{guidance_scale}} has no effect on {options.sources.base}, whose weights are distilled: leave it out.",
            "guidance_scale",
        )
    taken = {
        "device": _name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "offload": offload,
        "num_inference_steps": steps if options.num_inference_steps is None else options.num_inference_steps,
        "guidance_scale": guidance if options.guidance is None else options.guidance,
    }
    return LoadedPipeline(editor, taken)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
