"""Checks a model's files before anything is loaded, so that damaged ones are named and no absurd size is allocated.

Reads configurations and the headers of weights only, without torch.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from temu_vtoff.errors import first_few
from temu_vtoff.hub.configuration_values import find_problem
from temu_vtoff.hub.errors import CheckpointError

_CONFIGURATIONS = (
    "config.json",
    "scheduler_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
)
_MAY_BE_EMPTY = ("generation_config.json", "special_tokens_map.json")
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")  # one is enough
_OTHERS = (*VOCABULARIES, "merges.txt", "chat_template.jinja")
_WEIGHTS = (  # the first of these in a folder is loaded; an index names the files of weights in several files
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_LFS = b"version https://git-lfs"
_LARGEST_HEADER = 100_000_000  # bytes; limit of the safetensors library


@dataclass(frozen=True)
class HeldWeights:
    """Amount of weights in a checkpoint's files.

    Attributes:
        elements: Numbers in all tensors; for pickled weights, bytes of the files.
        tensors: Number of tensors; None for pickled weights, which are not opened.
    """

    elements: int
    tensors: int | None


def local_folder(name_or_path: str | Path, subfolder: str | None = None, **options: Any) -> Path | None:
    """Folder of a model's files: below `name_or_path`, or in the hub's local cache; None if they are not downloaded.

    Args:
        options: Arguments of `from_pretrained`; `revision` and `cache_dir` are used.
    """
    subfolder = subfolder or ""
    if Path(name_or_path).is_dir():
        return Path(name_or_path) / subfolder
    where = {name: options[name] for name in ("revision", "cache_dir") if options.get(name) is not None}
    for name in _CONFIGURATIONS:
        try:
            found = try_to_load_from_cache(str(name_or_path), f"{subfolder}/{name}".lstrip("/"), **where)
        except ValueError:  # no hub id
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None


def check_model_files(
    folder: Path, what: str, needs: Sequence[str] = (), variant: str | None = None, complete: bool = True
) -> HeldWeights | None:
    """Checks the files of one component of a model.

    Args:
        folder: Folder of the component.
        what: Name of the component in messages: "the segmenter".
        needs: Names of files; at least one of them must exist.
        variant: Variant of the weights: "fp16".
        complete: Whether absent files are a mistake; in the hub's cache they may be downloaded later.

    Returns:
        The amount of weights, or None without weights.

    Raises:
        CheckpointError: A file is a git LFS pointer, empty, truncated, absent or in another format than its name
            suggests; or a value of a configuration is impossible.
    """
    if complete and needs and not any((folder / name).is_file() for name in needs):
        raise CheckpointError(f"{what} can't be loaded: {folder} has no {' or '.join(needs)}.")
    for name in _OTHERS:
        if (folder / name).is_file():
            _check_start(folder / name, what)
    configurations = {name: read_json(folder / name, what) for name in _CONFIGURATIONS if (folder / name).is_file()}
    held = _check_weights(folder, what, needs=needs, variant=variant, complete=complete)
    for name, configuration in configurations.items():
        _check_values(configuration, folder / name, what, held)
    return held


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: It can't be read, or holds something else.
    """
    _check_start(path, what)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise _damaged(path, what, f"is not valid JSON ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise _damaged(path, what, "does not hold a JSON object")
    return value


def read_configuration(path: Path, what: str, required: Sequence[str] = ()) -> dict[str, Any]:
    """A configuration whose values are possible.

    Raises:
        CheckpointError: It can't be read, lacks a required value, or holds an impossible one.
    """
    configuration = read_json(path, what)
    _check_values(configuration, path, what, required=required)
    return configuration


def _check_start(path: Path, what: str) -> None:
    """Refuses files that were not downloaded (git LFS pointers), empty and unreadable ones."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError as error:
        raise _damaged(path, what, f"can't be read ({error.strerror})") from error
    if start.startswith(_LFS):
        raise _damaged(
            path, what, "is a git LFS pointer, not the file itself: run `git lfs pull` in its folder or download it"
        )
    if not start.strip():
        raise _damaged(path, what, "is empty")


def _damaged(path: Path, what: str, problem: str) -> CheckpointError:
    return CheckpointError(f"{what} can't be loaded: {path} {problem}.")


def _check_weights(
    folder: Path, what: str, needs: Sequence[str], variant: str | None, complete: bool
) -> HeldWeights | None:
    path = next((path for name in _WEIGHTS for path in _with_variant(folder / name, variant) if path.is_file()), None)
    if path is None:
        if complete and "config.json" in needs:
            found = ", ".join(sorted(file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin")))
            raise CheckpointError(
                f"{what} can't be loaded: {folder} has no weights, such as model.safetensors"
                + (f"; it has {found}, which needs a variant." if found else ".")
            )
        return None
    files = _shards(path, what, complete) if path.name.endswith(".index.json") else [path]
    if path.suffix == ".bin" or ".bin." in path.name:
        for file in files:
            _check_pickle(file, what)
        return HeldWeights(sum(file.stat().st_size for file in files), None)
    shapes = [shape for file in files for shape in _tensor_shapes(file, what)]
    return HeldWeights(sum(map(math.prod, shapes)), len(shapes))


def _with_variant(path: Path, variant: str | None) -> list[Path]:
    """The path with the variant in its name, as diffusers and transformers write it, and the path without."""
    if variant is None:
        return [path]
    stem, _, rest = path.name.partition(".")
    ending, _, index = rest.partition(".")
    before = f"{stem}.{variant}.{rest}"  # model.fp16.safetensors
    after = f"{stem}.{ending}.index.{variant}.json"  # diffusers' older name
    return [path.with_name(name) for name in (before, *([after] if index else []), path.name)]


def _shards(index: Path, what: str, complete: bool) -> list[Path]:
    names = read_json(index, what).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise _damaged(index, what, "does not say which file holds which weights")
    files = [index.parent / name for name in sorted(set(names.values()))]
    absent = [file.name for file in files if not file.is_file()]
    if absent and complete:
        raise _damaged(index, what, f"names {len(absent)} files that are not there ({first_few(absent)})")
    return [file for file in files if file.is_file()]


def _check_pickle(path: Path, what: str) -> None:
    """Checks weights pickled by torch: a ZIP archive, which must have its end, or the older format."""
    _check_start(path, what)
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        if not zipfile.is_zipfile(path):
            raise _damaged(path, what, "is cut off: download it again")
    elif start[:1] != b"\x80":
        raise _damaged(path, what, "does not hold weights that torch wrote")


def _tensor_shapes(path: Path, what: str) -> Iterator[list[int]]:
    """The shapes in the header of a safetensors file: 8 bytes for the header's length, the header as JSON, the data."""
    _check_start(path, what)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _LARGEST_HEADER):
            raise _damaged(path, what, "is cut off or not a safetensors file: download it again")
        try:
            header = json.loads(file.read(length))
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            shapes = [[int(side) for side in entry["shape"]] for entry in tensors]
            end = 8 + length + max((entry["data_offsets"][1] for entry in tensors), default=0)
        except (ValueError, RecursionError, AttributeError, KeyError, IndexError, TypeError) as error:
            raise _damaged(path, what, "has no readable header: download it again") from error
    if not tensors:
        raise _damaged(path, what, "holds no weights")
    if end != size:
        raise _damaged(path, what, f"has {size} bytes where its header says {end}: download it again")
    yield from shapes


def _check_values(
    configuration: Mapping[str, Any],
    path: Path,
    what: str,
    held: HeldWeights | None = None,
    required: Sequence[str] = (),
) -> None:
    if not configuration and path.name not in _MAY_BE_EMPTY:
        raise _damaged(path, what, "holds no values")
    problem = find_problem(configuration, required, None if held is None else held.tensors)
    if problem is not None:
        raise _damaged(path, what, problem)
