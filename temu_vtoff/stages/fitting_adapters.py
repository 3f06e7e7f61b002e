"""Whether the options' adapters fit the model that makes the pictures, by its configuration alone."""

from __future__ import annotations

import diffusers

from temu_vtoff.backends.adapters import check_loras
from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.lora_files import local_file
from temu_vtoff.backends.registry import EDITORS, read_editor_index
from temu_vtoff.builtin import resolve
from temu_vtoff.hub.sources import TRYOFF
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.stages.options import Options
from temu_vtoff.tryoff.pipeline import TryOffPipeline


def check_adapters(options: Options) -> None:
    """
    Raises:
        CheckpointError: An adapter can't be had or doesn't fit.
    """
    for lora in options.lora:
        local_file(Lora.parse(lora))  # one that is not there is named before the model is
    sources = options.sources
    place = {"subfolder": TRYOFF[0]}
    if options.backend not in EDITORS:
        check_loras(options.lora, TryOffPipeline, TryOffTransformer, resolve(sources.tryoff, "tryoff"), **place)
        return
    index = read_editor_index(options.backend, sources.base, options.revision)
    kind = getattr(diffusers, index["transformer"][1])
    if options.revision is not None:
        place["revision"] = options.revision
    check_loras(options.lora, getattr(diffusers, EDITORS[options.backend].pipeline), kind, sources.base, **place)
