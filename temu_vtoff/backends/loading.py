"""Loads an image-editing pipeline strictly, component by component, with its adapters."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ModelMixin
from diffusers.schedulers import SchedulerMixin
from transformers import AutoProcessor, AutoTokenizer, PreTrainedModel

from temu_vtoff.backends.adapters import load_loras
from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.backends.registry import DIFFUSERS, EDITORS, read_editor_index
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.quantization import quantization_config
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.hub.loading import load_diffusers_model, load_processor, load_transformers_model, try_tokenizer
from temu_vtoff.hub.model_files import VOCABULARIES
from temu_vtoff.hub.sources import check_folders, listed_components
from temu_vtoff.stages.options import Options

WORKING_BYTES_PER_PIXEL = 8000  # estimate for bf16: twice the tokens of one picture, and the VAE's widest layers


def load_editing_model(options: Options, dtype: torch.dtype) -> EditingModel:
    """The back end of the options, on the CPU.

    Raises:
        CheckpointError: It can't be loaded, or is another kind of pipeline.
        ArgumentError: The installed diffusers lacks the pipeline.
    """
    backend, base = EDITORS[options.backend], options.sources.base
    cls = getattr(diffusers, backend.pipeline, None)
    if cls is None:
        raise ArgumentError(
            f"{{backend}} {options.backend} needs the {backend.pipeline} of diffusers, which {diffusers.__version__} "
            f'lacks and {DIFFUSERS} has: pip install -U "diffusers>={DIFFUSERS}".',
            "backend",
        )
    place = {"revision": options.revision} if options.revision is not None else {}
    index = read_editor_index(options.backend, base, options.revision)
    bits = {"transformer": options.quantize_transformers, "text_encoder": options.quantize_text_encoder}
    bits["text_encoder_2"] = options.quantize_text_encoder
    listed = listed_components(index)
    check_folders({name: (base, name) for name in listed})
    parts = {
        name: _load_part(name, kind, base, dtype, place | _variant(options, base, name), bits.get(name))
        for name, kind in listed.items()
    }
    taken = signature(cls.__init__).parameters
    settings = {name: value for name, value in index.items() if name in taken and not isinstance(value, list)}
    if absent := [name for name, it in taken.items() if it.default is it.empty and name not in {*parts, "self"}]:
        raise CheckpointError(f"{base} can't be loaded: its model_index.json lacks {', '.join(absent)}.")
    pipe = cls(**{name: part for name, part in parts.items() if name in taken}, **settings)
    load_loras(pipe, options.lora)
    return EditingModel(pipe, options.backend, options.prompt_template, options.focus)


def _load_part(
    name: str, kind: tuple[str, str], base: str, dtype: torch.dtype, place: dict[str, Any], bits: int | None
) -> Any:
    """One component, of the class that model_index.json names.

    Raises:
        CheckpointError: It can't be loaded, or its class is none of diffusers or transformers.
    """
    what, (library, class_name) = f"the {name}", kind
    cls = getattr(import_module(library), class_name, None) if library in ("diffusers", "transformers") else None
    how: dict[str, Any] = {"subfolder": name, "argument": "base", **place}
    if bits is not None:
        how["quantization_config"] = quantization_config(library, bits, dtype)
    if isinstance(cls, type) and issubclass(cls, ModelMixin):
        return load_diffusers_model(cls, base, what, torch_dtype=dtype, **how)[0]
    if isinstance(cls, type) and issubclass(cls, PreTrainedModel):
        return load_transformers_model(cls, base, what, dtype=dtype, **how)
    how.pop("variant", None)
    if isinstance(cls, type) and issubclass(cls, SchedulerMixin):
        return load_processor(cls, base, what, needs=("scheduler_config.json",), trial=lambda _: None, **how)
    if name.startswith("tokenizer"):
        return load_processor(AutoTokenizer, base, what, needs=VOCABULARIES, trial=try_tokenizer, **how)
    if name in ("processor", "feature_extractor"):
        needs = ("preprocessor_config.json", "processor_config.json")
        return load_processor(AutoProcessor, base, what, needs=needs, trial=lambda _: None, **how)
    raise CheckpointError(f"{what} of {base} is a {class_name} of {library}, which is not supported.")


def _variant(options: Options, base: str, name: str) -> Mapping[str, str]:
    """The variant, for a component that has it; assumed on the hub."""
    folder = Path(base) / name
    if options.variant is None or (folder.is_dir() and not list(folder.glob(f"*.{options.variant}*"))):
        return {}
    return {"variant": options.variant}


def working_bytes(width: int, height: int) -> int:
    """Bytes that a picture of this size needs on the device besides the models."""
    return WORKING_BYTES_PER_PIXEL * width * height
