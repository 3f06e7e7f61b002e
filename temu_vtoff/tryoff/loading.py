"""Loading the pipeline's components: from a base and a try-off source, or from one that holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from PIL import Image
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    T5EncoderModel,
)

from temu_vtoff.builtin import resolve
from temu_vtoff.hardware.quantization import quantization_config
from temu_vtoff.hub.loading import load_diffusers_model, load_processor, load_transformers_model, try_tokenizer
from temu_vtoff.hub.model_files import VOCABULARIES
from temu_vtoff.hub.sources import IMAGE_ENCODERS, REQUIRED, TRYOFF, check_folders, read_index
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.tryoff.components import BASE, COMPONENTS, CONFIG

_DIFFUSERS = {"vae": AutoencoderKL, "transformer": TryOffTransformer, "transformer_vton": FeatureExtractor}
_TRANSFORMERS = {
    "text_encoder": CLIPTextModelWithProjection,
    "text_encoder_2": CLIPTextModelWithProjection,
    "text_encoder_3": T5EncoderModel,
    "image_encoder_large": CLIPVisionModelWithProjection,
    "image_encoder_bigG": CLIPVisionModelWithProjection,
}


def _try_scheduler(scheduler: FlowMatchEulerDiscreteScheduler) -> None:
    scheduler.from_config(scheduler.config).set_timesteps(2, mu=1.0 if scheduler.config.use_dynamic_shifting else None)


def _try_image_processor(processor: CLIPImageProcessor) -> None:
    processor(Image.new("RGB", (8, 8)), return_tensors="pt")


_TOKENIZER = (AutoTokenizer, VOCABULARIES, try_tokenizer)
_OTHERS = {  # class, files of which one must be there, and a trial
    "scheduler": (FlowMatchEulerDiscreteScheduler, ("scheduler_config.json",), _try_scheduler),
    "feature_extractor": (CLIPImageProcessor, ("preprocessor_config.json",), _try_image_processor),
    "tokenizer": _TOKENIZER,
    "tokenizer_2": _TOKENIZER,
    "tokenizer_3": _TOKENIZER,
}


def load_components(
    base: str | Path,
    tryoff: str | Path | None = None,
    *,
    torch_dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    variant: str | None = None,
    given: dict[str, Any] | None = None,
    quantize: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The arguments of `TryOffPipeline`, loaded; see its `from_pretrained` for the arguments here.

    Raises:
        CheckpointError: A source can't be had or is incomplete.
        TypeError: `given` names something that is no component.
    """
    given = dict(given or {})
    known = {*COMPONENTS, *CONFIG}
    if unknown := sorted(set(given) - known):
        raise TypeError(f"TryOffPipeline has no component {', '.join(unknown)}.")

    base = resolve(base, "tryoff")
    tryoff = base if tryoff is None else resolve(tryoff, "tryoff")
    for name in IMAGE_ENCODERS:  # may be given by name
        if isinstance(given.get(name), (str, Path)):
            given[name] = _load(name, resolve(given[name], "tryoff"), None, torch_dtype)

    sources: dict[str, tuple[str, str | None]]  # component -> where, subfolder
    index = read_index(base, revision)
    own = {*_listed(base, index)}
    if tryoff == base:
        sources = {name: (base, name) for name in own | {*REQUIRED}}
    else:  # a whole pipeline as base brings its own image encoders and how they are fed
        sources = {name: (base, name) for name in BASE}
        sources |= {name: (tryoff, name) for name in TRYOFF}
        sources |= {name: (where, None) for name, where in IMAGE_ENCODERS.items()}
        sources |= {name: (base, name) for name in (*IMAGE_ENCODERS, "feature_extractor") if name in own}
    given = {name: index[name] for name in CONFIG if name in index} | given
    sources = {name: place for name, place in sources.items() if name not in given}
    check_folders(sources)

    for name, (where, subfolder) in sources.items():
        of_base = {"revision": revision, "variant": variant} if where == base else {}
        given[name] = _load(name, where, subfolder, torch_dtype, **of_base, bits=(quantize or {}).get(name))
    return given


def _load(
    name: str,
    where: str,
    subfolder: str | None,
    torch_dtype: torch.dtype,
    revision: str | None = None,
    variant: str | None = None,
    bits: int | None = None,
) -> Any:
    if name in IMAGE_ENCODERS and subfolder is None and (Path(where) / name / "config.json").is_file():
        subfolder = name  # a whole pipeline's folder, named as an image encoder
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    what = f"the {name}"
    if name in _OTHERS:
        cls, needs, trial = _OTHERS[name]
        return load_processor(cls, where, what, needs=needs, trial=trial, subfolder=subfolder, **options)
    if variant is not None:
        options["variant"] = variant
    if bits is not None:
        library = "diffusers" if name in _DIFFUSERS else "transformers"
        options["quantization_config"] = quantization_config(library, bits, torch_dtype)
    if name in _DIFFUSERS:
        options |= {"subfolder": subfolder, "torch_dtype": torch_dtype}
        return load_diffusers_model(_DIFFUSERS[name], where, what, **options)[0]
    return load_transformers_model(_TRANSFORMERS[name], where, what, subfolder=subfolder, dtype=torch_dtype, **options)


def _listed(where: str, index: dict[str, Any]) -> list[str]:
    """The components that a source holds: those its index names, else those it has a folder for."""
    if index:
        return [name for name in COMPONENTS if isinstance(index.get(name), list) and index[name][1] is not None]
    return [name for name in COMPONENTS if (Path(where) / name).is_dir()]
