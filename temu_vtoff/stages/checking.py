"""Checks that the models of a run can be had, by their small files alone, before anything is written."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.model_files import local_folder
from temu_vtoff.stages.options import Options

_NO_CAPTIONERS = ("Segmentation", "Classification", "Detection")  # ends of the names of transformers' classes


def check_sources(options: Options, *, segmenter: bool = True, captioner: bool = True) -> None:
    """Downloads adapters, and of models on the hub their configurations.

    Args:
        segmenter: Whether the run segments.
        captioner: Whether it captions.

    Raises:
        ArgumentError: A size that the model can't make.
        CheckpointError: A source can't be had; the message names it and its argument.
    """
    options.size()
    finish = options.finish
    sources = {
        **options.image_encoders,
        "segmenter": options.sources.segmenter if segmenter else None,
        "captioner": options.sources.captioner if captioner else None,
        "upscaler": None if finish is None else finish.upscaler,
    }
    for argument, source in sources.items():
        if source not in (None, BUILTIN) and local_folder(source) is None:
            with explain_loading(source, f"the {argument}", argument), suppress(RemoteEntryNotFoundError):
                hf_hub_download(source, "config.json")  # which a diffusers pipeline, an upscaler, may lack
        elif source not in (None, BUILTIN):
            _check_kind(local_folder(source), source, argument)
    if options.lora:
        from temu_vtoff.stages.fitting_adapters import check_adapters  # imports torch, which other runs don't need yet

        check_adapters(options)


def _check_kind(folder: Path, source: str, argument: str) -> None:
    """Raises where a folder's configuration says that it holds another kind of model; the loaders check the rest."""
    if argument == "upscaler":
        if not any((folder / name).is_file() for name in ("config.json", "model_index.json")):
            raise CheckpointError(f"The folder {source} of {{upscaler}} holds no model.", argument)
        return
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, classes = config.get("model_type"), config.get("architectures") or []
    except (OSError, ValueError, AttributeError):
        return  # the loaders say what is missing or damaged
    if argument == "segmenter" and kind not in (None, "segformer"):
        raise CheckpointError(f"{source} holds a model of the type {kind}; give {{segmenter}} a SegFormer.", argument)
    if argument == "captioner" and classes and all(str(name).endswith(_NO_CAPTIONERS) for name in classes):
        raise CheckpointError(
            f"{source} holds a {classes[0]}; give {{captioner}} a model that answers in words.", argument
        )
