"""Loading the pipeline's components: from a base and a try-off source, or from one that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from PIL import Image
from safetensors import safe_open
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    T5EncoderModel,
)

from temu_vtoff.builtin import resolve
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hardware.quantization import quantization_config
from temu_vtoff.hub.loading import load_diffusers_model, load_processor, load_transformers_model, try_tokenizer
from temu_vtoff.hub.model_files import VOCABULARIES, local_folder
from temu_vtoff.hub.sources import IMAGE_ENCODERS, check_folders, read_index
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.tryoff.components import COMPONENTS, CONFIG, component_sources

Dtypes = torch.dtype | str | Mapping[str, torch.dtype | str] | None
HUB = ("token", "cache_dir", "local_files_only", "force_download", "proxies")
FILES = ("use_safetensors", "low_cpu_mem_usage")
_DIFFUSERS = {"vae": AutoencoderKL, "transformer": TryOffTransformer, "transformer_vton": FeatureExtractor}
_TRANSFORMERS = {
    "text_encoder": CLIPTextModelWithProjection,
    "text_encoder_2": CLIPTextModelWithProjection,
    "text_encoder_3": T5EncoderModel,
    "image_encoder_large": CLIPVisionModelWithProjection,
    "image_encoder_bigG": CLIPVisionModelWithProjection,
}
MODELS = (*_DIFFUSERS, *_TRANSFORMERS)


def device_of(device_map: str | torch.device | None) -> torch.device | None:
    """The one device that a pipeline goes to.

    Raises:
        ArgumentError: None, or one that isn't here; pipelines are not spread over several.
    """
    try:
        return None if device_map is None else choose_device(str(device_map))
    except ArgumentError as error:
        raise ArgumentError(
            f"{{device_map}} is {device_map!r}; give one device that is here, such as cuda or cpu. For less memory "
            "on it, call enable_model_cpu_offload() instead.",
            "device_map",
        ) from error


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


@dataclass(frozen=True)
class LoadingOptions:
    """How components are loaded. diffusers' `from_pretrained` documents the options.

    Attributes:
        dtype: Precision of all models, or by component with a "default"; a name serves too, and "auto" takes that of
            the files.
        revision: Revision of the base.
        variant: Variant of the base's weights; a component that lacks it is loaded without.
        quantize: Bits of the weights by component.
        hub: `token`, `cache_dir`, `local_files_only`, `force_download`, `proxies`.
        files: `use_safetensors`, and for diffusers' models `low_cpu_mem_usage`.
        components: Names of the models, which have a precision and can be quantised.
    """

    dtype: Dtypes = torch.float32
    revision: str | None = None
    variant: str | None = None
    quantize: Mapping[str, int] = field(default_factory=dict)
    hub: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    components: Collection[str] = MODELS

    @classmethod
    def of(cls, given: dict[str, Any], *, dtype: Dtypes, torch_dtype: Dtypes, **options: Any) -> LoadingOptions:
        """The options of a pipeline's `from_pretrained`.

        Args:
            given: Its further arguments; those for the hub and the files are taken out.
            dtype: Another name of `torch_dtype`, which it replaces.
            options: Other attributes.
        """
        return cls(
            dtype=torch_dtype if dtype is None else dtype,
            hub={name: given.pop(name) for name in HUB if name in given},
            files={name: given.pop(name) for name in FILES if name in given},
            **options,
        )

    def __post_init__(self) -> None:
        for argument, names in (("quantize", self.quantize), ("dtype", self.dtype)):
            known = {*self.components, *(["default"] if argument == "dtype" else [])}
            if isinstance(names, Mapping) and (unknown := sorted(set(names) - known)):
                raise ArgumentError(
                    f"{{{argument}}} names {', '.join(unknown)}; there are {', '.join(sorted(known))}.", argument
                )

    def dtype_of(self, name: str) -> torch.dtype | None:
        """The precision of a component; None is that of its files.

        Raises:
            ArgumentError: It is not a precision.
        """
        dtype = self.dtype
        if isinstance(dtype, Mapping):
            dtype = dtype.get(name, dtype.get("default", torch.float32))
        if dtype is None or dtype == "auto":
            return None
        if isinstance(dtype, str):
            dtype = getattr(torch, dtype.removeprefix("torch."), dtype)
        if not isinstance(dtype, torch.dtype):
            raise ArgumentError(f"{{dtype}} is {dtype!r}; give a torch.dtype, its name or auto.", "dtype")
        return dtype


def load_components(
    base: str | Path,
    tryoff: str | Path | None = None,
    given: Mapping[str, Any] | None = None,
    options: LoadingOptions | None = None,
) -> dict[str, Any]:
    """The arguments of `TryOffPipeline`, loaded; see its `from_pretrained` for the arguments here.

    Raises:
        CheckpointError: A source can't be had or is incomplete.
        TypeError: `given` names something that is no component.
    """
    options = LoadingOptions() if options is None else options
    given = take_given(given or {}, (*COMPONENTS, *CONFIG), options, "TryOffPipeline")
    base = resolve(base, "tryoff")
    tryoff = base if tryoff is None else resolve(tryoff, "tryoff")
    index = read_index(base, options.revision, **options.hub)
    given = {name: index[name] for name in CONFIG if name in index} | given
    places = component_sources(base, tryoff, index)
    return given | load_each({name: place for name, place in places.items() if name not in given}, base, options)


def take_given(
    given: Mapping[str, Any], known: Collection[str], options: LoadingOptions, pipeline: str
) -> dict[str, Any]:
    """Components that are given instead of loaded: as they are; image encoders that are named are loaded.

    Raises:
        CheckpointError: An image encoder can't be had.
        TypeError: The pipeline has no component of a name.
    """
    if unknown := sorted({*given} - {*known}):
        raise TypeError(f"{pipeline} has no component {', '.join(unknown)}.")
    named = {name: given[name] for name in IMAGE_ENCODERS if isinstance(given.get(name), (str, Path))}
    return {**given} | {
        name: load_component(name, resolve(where, "tryoff"), None, options) for name, where in named.items()
    }


def load_component(
    name: str,
    where: str,
    subfolder: str | None,
    options: LoadingOptions,
    models: Mapping[str, type] = _DIFFUSERS,
) -> Any:
    """One component of a pipeline.

    Args:
        where: Hub id or folder.
        models: The classes of diffusers' models, by component.

    Raises:
        CheckpointError: It can't be had, or is damaged.
    """
    if name in IMAGE_ENCODERS and subfolder is None and (Path(where) / name / "config.json").is_file():
        subfolder = name  # a whole pipeline's folder, named as an image encoder
    place: dict[str, Any] = dict(options.hub)
    if options.revision is not None:
        place["revision"] = options.revision
    what = f"the {name}"
    if name in _OTHERS:
        cls, needs, trial = _OTHERS[name]
        return load_processor(cls, where, what, needs=needs, trial=trial, subfolder=subfolder, **place)
    if options.variant is not None and has_variant(where, subfolder, options.variant):
        place["variant"] = options.variant
    dtype = options.dtype_of(name)
    if (bits := options.quantize.get(name)) is not None:
        library = "diffusers" if name in models else "transformers"
        place["quantization_config"] = quantization_config(library, bits, dtype or torch.float32)
    if name in models:
        place |= dict(options.files) | {"subfolder": subfolder}
        if dtype is not None:
            place["torch_dtype"] = dtype
        model = load_diffusers_model(models[name], where, what, **place)[0]
        return model if dtype is not None else model.to(_stored_dtype(where, subfolder, place))
    place |= {key: value for key, value in options.files.items() if key != "low_cpu_mem_usage"}
    return load_transformers_model(
        _TRANSFORMERS[name], where, what, subfolder=subfolder, dtype="auto" if dtype is None else dtype, **place
    )


def load_each(
    places: Mapping[str, tuple[str, str | None]],
    source: str,
    options: LoadingOptions,
    load: Callable[[str, str, str | None, LoadingOptions], Any] = load_component,
) -> dict[str, Any]:
    """The components of a pipeline.

    Args:
        places: Folder or hub id, and subfolder, by component.
        source: The one that the options' revision and variant are of.
        load: Loads a component by name, folder or hub id, subfolder, and options.

    Raises:
        CheckpointError: One can't be had.
    """
    check_folders(places)
    of_others = replace(options, revision=None, variant=None)
    return {
        name: load(name, where, subfolder, options if where == source else of_others)
        for name, (where, subfolder) in places.items()
    }


def _stored_dtype(where: str, subfolder: str | None, place: Mapping[str, Any]) -> torch.dtype:
    """The precision of a component's files, which transformers finds itself and diffusers does not."""
    own = {name: place[name] for name in ("revision", "cache_dir") if name in place}
    files = sorted(local_folder(where, subfolder, **own).glob("*.safetensors"))
    files = [file for file in files if f".{place.get('variant', '')}" in file.name]
    if not files:
        return torch.float32
    with safe_open(files[0], "pt") as weights:
        return weights.get_tensor(next(iter(weights.keys()))).dtype


def has_variant(where: str, subfolder: str | None, variant: str) -> bool:
    """Whether a component's folder holds the variant's weights; assumed on the hub."""
    folder = Path(where) / (subfolder or "")
    return not folder.is_dir() or any(f".{variant}" in file.name for file in folder.iterdir())
