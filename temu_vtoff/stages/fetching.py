"""Downloads what a run needs from the hub, and nothing else of the repositories: one format of the weights, no samples.

huggingface_hub resumes interrupted downloads and keeps the files in its cache, where a later run finds them offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError

from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.lora_files import find_file
from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.hub.errors import explain_loading
from temu_vtoff.hub.licences import LICENCES
from temu_vtoff.hub.model_files import read_json
from temu_vtoff.hub.sources import listed_components, read_index
from temu_vtoff.stages.options import Options
from temu_vtoff.tryoff.components import component_sources

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_CONFIGURATIONS = (".json", ".txt", ".model", ".jinja")
_ROOT = ""  # subfolder of a repository that holds a single model


@dataclass(frozen=True)
class Wanted:
    """A repository of which a run needs some folders.

    Attributes:
        source: Hub id.
        folders: Subfolders; "" for the files beside the model card.
        revision: Left open, the main one.
        variant: Of the weights, where there is one.
        lora: The adapter of which only the file is needed.
    """

    source: str
    folders: tuple[str, ...] = (_ROOT,)
    revision: str | None = None
    variant: str | None = None
    lora: Lora | None = None


@dataclass(frozen=True)
class Fetch:
    """The files of a repository that a run needs.

    Attributes:
        wanted: The repository.
        sizes: Bytes by file.
        licence: What its card says, else what is known of it; None if neither.
        here: Bytes that are on this machine already.
    """

    wanted: Wanted
    sizes: dict[str, int]
    licence: str | None
    here: int

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    def download(self) -> Iterator[str]:
        """Downloads the missing files, yielding the name of each file when it is here.

        Raises:
            CheckpointError: The hub refuses or can't be reached.
        """
        for name in self.sizes:
            with explain_loading(self.wanted.source, "the model"):
                hf_hub_download(self.wanted.source, name, revision=self.wanted.revision)
            yield name
        self._note_absent()

    def _note_absent(self) -> None:
        """Lets the cache note that folders have no config.json: transformers asks for a tokenizer's, offline too."""
        for folder in self.wanted.folders if self.wanted.lora is None else ():
            name = f"{folder}/config.json".lstrip("/")
            if name not in self.sizes:
                with explain_loading(self.wanted.source, "the model"), suppress(RemoteEntryNotFoundError):
                    hf_hub_download(self.wanted.source, name, revision=self.wanted.revision)


def needs_of(options: Options, *, segmenter: bool = True, captioner: bool = True) -> list[Wanted]:
    """The repositories of a run; folders on this machine and the built-in model need none.

    Args:
        segmenter: Whether the run segments.
        captioner: Whether it captions.

    Raises:
        CheckpointError: A source can't be had.
    """
    sources, folders = options.sources, _pipeline_folders(options)
    stages = ((sources.segmenter, segmenter), (sources.captioner, captioner))
    folders |= {(source, _ROOT) for source, is_used in stages if is_used}
    if options.finish is not None and options.finish.upscaler is not None:
        folders |= {(options.finish.upscaler, folder) for folder in _upscaler_folders(options.finish.upscaler)}
    by_source: dict[str, list[str]] = {}
    for where, folder in sorted(folders):
        if _is_remote(where):
            by_source.setdefault(where, []).append(folder)
    wanted = [
        Wanted(where, tuple(names), *((options.revision, options.variant) if where == sources.base else ()))
        for where, names in by_source.items()
    ]
    loras = [Lora.parse(lora) for lora in options.lora]
    return wanted + [Wanted(lora.source, lora=lora) for lora in loras if _is_remote(lora.source)]


def _pipeline_folders(options: Options) -> set[tuple[str, str]]:
    """Source and subfolder of each of the pipeline's components."""
    sources = options.sources
    if sources.base == sources.tryoff == BUILTIN:
        return set()
    index = {} if sources.base == BUILTIN else read_index(sources.base, options.revision)
    if options.backend in EDITORS:
        return {(sources.base, name) for name in listed_components(index)}
    components = component_sources(sources.base, sources.tryoff, index)
    components |= {name: (where, None) for name, where in options.image_encoders.items()}
    return {(where, subfolder or _ROOT) for where, subfolder in components.values()}


def _upscaler_folders(source: str) -> list[str]:
    """The folders of a diffusers pipeline, or the repository's own for a model of transformers."""
    if not _is_remote(source):
        return []
    with explain_loading(source, "the upscaler", "upscaler"):
        try:
            index = read_json(Path(hf_hub_download(source, "model_index.json")), "the upscaler")
        except RemoteEntryNotFoundError:
            return [_ROOT]
    return [*listed_components(index)]


def look_up(wanted: Wanted) -> Fetch:
    """The files that are needed of a repository, their sizes and its licence, as the hub says.

    Raises:
        CheckpointError: The hub refuses or can't be reached.
    """
    with explain_loading(wanted.source, "the model"):
        info = HfApi().model_info(wanted.source, revision=wanted.revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if wanted.lora is not None:
        names = [find_file(wanted.lora, list(sizes))]
    else:
        names = [name for folder in wanted.folders for name in files_of(list(sizes), folder, wanted.variant)]
        names += ["model_index.json"] if "model_index.json" in sizes and _ROOT not in wanted.folders else []
    card = info.card_data or {}
    licence = card.get("license_name") or card.get("license")
    licence = LICENCES.get(wanted.source) if licence in (None, "other") else licence
    here = sum(sizes[name] for name in names if _is_here(wanted, name))
    return Fetch(wanted, {name: sizes[name] for name in dict.fromkeys(names)}, licence, here)


def files_of(names: Sequence[str], folder: str, variant: str | None = None) -> list[str]:
    """The files of a model in a folder of a repository: configurations, and the weights in one format.

    Weights in the variant are taken where there are such; safetensors rather than pickles.
    """
    inside = [PurePosixPath(name).name for name in names if str(PurePosixPath(name).parent) == (folder or ".")]
    found = [
        name for name in inside if name.endswith(_CONFIGURATIONS) and ".index." not in name and name != "README.txt"
    ]
    found += next(filter(None, (_weights(inside, *kind) for kind in _kinds(variant))), [])
    return [f"{folder}/{name}" if folder else name for name in found]


def _kinds(variant: str | None) -> Iterator[tuple[str, str, str]]:
    """Stem, variant and ending of weights' files, the best first."""
    for part in (f".{variant}", "") if variant is not None else ("",):
        for ending in ("safetensors", "bin"):
            for stem in _STEMS:
                yield stem, part, ending


def _weights(names: Sequence[str], stem: str, variant: str, ending: str) -> list[str]:
    """A file of weights, or several with their index; empty if there are none of this kind."""
    single = f"{stem}{variant}.{ending}"
    if single in names:
        return [single]
    part = re.compile(rf"{re.escape(stem + variant)}-\d+-of-\d+(?:{re.escape(variant)})?\.{ending}")
    parts = [name for name in names if part.fullmatch(name)]
    return [*parts, f"{stem}.{ending}.index{variant}.json"] if parts else []


def _is_remote(source: str) -> bool:
    return source != BUILTIN and not Path(source).exists()


def _is_here(wanted: Wanted, name: str) -> bool:
    return isinstance(try_to_load_from_cache(wanted.source, name, revision=wanted.revision), str)
