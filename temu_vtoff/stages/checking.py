"""Checks that the models of a run can be had, by their small files alone, before anything is written."""

from __future__ import annotations

from contextlib import suppress

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.lora_files import local_file
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.hub.errors import explain_loading
from temu_vtoff.hub.model_files import local_folder
from temu_vtoff.stages.options import Options


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
    for lora in options.lora:
        local_file(Lora.parse(lora))
