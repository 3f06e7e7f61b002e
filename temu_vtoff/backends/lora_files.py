"""Finds the files of LoRA adapters: on this machine, or on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import hf_hub_download, is_offline_mode, list_repo_files, snapshot_download

from temu_vtoff.backends.lora import Lora
from temu_vtoff.errors import first_few
from temu_vtoff.hub.errors import CheckpointError, explain_loading

USUAL_NAME = "pytorch_lora_weights.safetensors"  # diffusers' name


def find_file(lora: Lora, names: Sequence[str]) -> str:
    """The adapter's file among the names of a folder or a repository.

    Raises:
        CheckpointError: It is not there, or there are several to choose from.
    """
    found = [name for name in names if name.endswith(".safetensors")]
    if lora.weight_name is None and len(found) > 1 and USUAL_NAME in found:
        return USUAL_NAME
    chosen = found if lora.weight_name is None else [name for name in names if name == lora.weight_name]
    if len(chosen) == 1:
        return chosen[0]
    there = f"there are {first_few(found, 10)}" if found else "there is no .safetensors file"
    if lora.weight_name is not None:
        raise CheckpointError(
            f"The LoRA {lora.source} (argument {{lora}}) has no file {lora.weight_name}; {there}.", "lora"
        )
    raise CheckpointError(
        f"The LoRA {lora.source} needs the name of its file, {{lora}} {lora.source}:WEIGHT_NAME; {there}.", "lora"
    )


def local_file(lora: Lora) -> Path:
    """The adapter's file on this machine; downloaded when it is on the hub.

    Raises:
        CheckpointError: It can't be had, or there are several to choose from.
    """
    place = Path(lora.source)
    if place.is_file():
        return place
    with explain_loading(lora.source, "the LoRA", "lora"):
        if not place.is_dir() and is_offline_mode():
            place = Path(snapshot_download(lora.source, local_files_only=True))
        if place.is_dir():
            return place / find_file(lora, sorted(str(file.relative_to(place)) for file in place.rglob("*.*")))
        return Path(hf_hub_download(lora.source, find_file(lora, list_repo_files(lora.source))))
