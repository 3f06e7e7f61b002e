"""A model's files, checked before anything is loaded: a damaged one is named, and no absurd size is allocated.

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
_WEIGHTS = (  # the first that a folder holds is loaded; an index names the files of weights that are split
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
_LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit

# The values that a configuration's entries may have, wherever they stand in it, alone or in lists.
_LAYERS = ("num_layers", "num_hidden_layers", "num_decoder_layers", "num_encoder_blocks", "layers_per_block", "depth")
_SIZES = (
    *("hidden_size", "hidden_sizes", "decoder_hidden_size", "intermediate_size", "out_hidden_size", "head_dim"),
    *("d_model", "d_ff", "d_kv", "num_heads", "num_attention_heads", "num_key_value_heads", "attention_head_dim"),
    *("joint_attention_dim", "caption_projection_dim", "pooled_projection_dim", "projection_dim", "in_channels"),
    *("out_channels", "latent_channels", "block_out_channels", "num_channels", "norm_num_groups", "image_size"),
    *("patch_size", "patch_sizes", "strides", "sr_ratios", "merge_size", "spatial_merge_size", "temporal_patch_size"),
    *("relative_attention_num_buckets", "relative_attention_max_distance"),
)
_LISTS = ("depths", "hidden_sizes", "patch_sizes", "strides", "sr_ratios", "block_out_channels")
_PERHAPS_LISTS = ("num_attention_heads", "attention_head_dim", "size", "crop_size")
_WHOLE_NUMBERS: dict[str, tuple[int, int]] = {  # smallest and largest
    **dict.fromkeys((*_LAYERS, "depths"), (1, 1000)),
    **dict.fromkeys(_SIZES, (1, 2**20)),
    **dict.fromkeys(("sample_size", "pos_embed_max_size"), (1, 2048)),  # sides of tables
    **dict.fromkeys(("height", "width", "size", "crop_size"), (1, 4096)),  # of pictures
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), (1, 2**24)),
    **dict.fromkeys(("shortest_edge", "longest_edge", "min_pixels", "max_pixels"), (1, 2**31)),
    "num_train_timesteps": (1, 100_000),
    "extra_ids": (0, 10_000),  # of T5's tokenizers
}
_NUMBERS = {  # smallest and largest, both excluded
    **dict.fromkeys(("shift", "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "rope_theta"), (0, math.inf)),
    **dict.fromkeys(("rescale_factor", "image_std"), (0, math.inf)),
    "model_max_length": (0, math.inf),  # 1e30 where there is no limit
    "image_mean": (-math.inf, math.inf),
    "scaling_factor": (0, 1000),
    "shift_factor": (-1000, 1000),
}
_TRANSFORMER = ("sample_size", "patch_size", "pos_embed_max_size", "num_layers", "num_attention_heads")
_REQUIRED = {  # entries of which diffusers would take other models' values when they are absent, by class
    "AutoencoderKL": ("block_out_channels", "latent_channels", "scaling_factor", "shift_factor"),
    "FlowMatchEulerDiscreteScheduler": ("num_train_timesteps", "shift"),
    **dict.fromkeys(("SD3Transformer2DModel", "TryOffTransformer", "FeatureExtractor"), _TRANSFORMER),
}


@dataclass(frozen=True)
class HeldWeights:
    """How much a checkpoint's files hold.

    Attributes:
        elements: Numbers in all tensors; for pickled weights, the bytes of the files.
        tensors: How many; None for pickled weights, which are not opened.
    """

    elements: int
    tensors: int | None


def local_folder(name_or_path: str | Path, subfolder: str | None = None, **options: Any) -> Path | None:
    """Where a model's files lie: below a folder, or in the hub's local cache; None when not on this machine yet.

    Args:
        options: Of `from_pretrained`; `revision` and `cache_dir` count.
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
    """
    Args:
        folder: Holds one component of a model.
        what: The component, for messages: "the segmenter".
        needs: Names of files of which one must be there.
        variant: Of the weights: "fp16".
        complete: Whether absent files are a mistake; in the hub's cache they may be downloaded later.

    Returns:
        What the weights hold, or None where there are none.

    Raises:
        CheckpointError: A file is a git LFS pointer, empty, cut, not what its name says, or absent; or a value of a
            configuration is impossible.
    """
    if complete and needs and not any((folder / name).is_file() for name in needs):
        raise CheckpointError(f"{what} can't be loaded: {folder} has no {' or '.join(needs)}.")
    for name in _OTHERS:
        if (folder / name).is_file():
            _check_start(folder / name, what)
    configurations = {name: read_json(folder / name, what) for name in _CONFIGURATIONS if (folder / name).is_file()}
    held = _check_weights(folder, what, needs, variant, complete)
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
    except (ValueError, RecursionError) as error:  # of the decoding too
        raise _damaged(path, what, f"is not valid JSON ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise _damaged(path, what, "does not hold a JSON object")
    return value


def read_configuration(path: Path, what: str, required: Sequence[str] = ()) -> dict[str, Any]:
    """A configuration with values that are possible.

    Raises:
        CheckpointError: It can't be read, lacks a required entry, or holds an impossible value.
    """
    configuration = read_json(path, what)
    _check_values(configuration, path, what, required=required)
    return configuration


def _check_start(path: Path, what: str) -> None:
    """Raises for what a file that was not downloaded begins with, or for a file without contents."""
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
    """The path with the variant in its name, where diffusers and transformers put it, and without."""
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
        some = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
        raise _damaged(index, what, f"names {len(absent)} files that are not there ({some})")
    return [file for file in files if file.is_file()]


def _check_pickle(path: Path, what: str) -> None:
    """Weights pickled by torch: a ZIP archive whose end must be there, or the format before it."""
    _check_start(path, what)
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        if not zipfile.is_zipfile(path):
            raise _damaged(path, what, "is cut off: download it again")
    elif start[:1] != b"\x80":
        raise _damaged(path, what, "does not hold weights that torch wrote")


def _tensor_shapes(path: Path, what: str) -> Iterator[list[int]]:
    """The shapes in a safetensors file, by its header: 8 bytes for its length, then JSON, then the data."""
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
    kind = configuration.get("_class_name")
    required = (*required, *(_REQUIRED.get(kind, ()) if isinstance(kind, str) else ()))
    if absent := [name for name in required if configuration.get(name) is None]:
        raise _damaged(path, what, f"lacks {', '.join(absent)}")
    for name, value, is_listed in _entries(configuration):
        problem = f"says {name} is {_short(value)}"
        if name in _LISTS and not is_listed:
            raise _damaged(path, what, f"{problem}, not a list")
        if value is None:
            continue
        if name in _WHOLE_NUMBERS:
            smallest, largest = _WHOLE_NUMBERS[name]
            if is_listed and name not in (*_LISTS, *_PERHAPS_LISTS):
                raise _damaged(path, what, f"says {name} is a list, not a number")
            if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
                raise _damaged(path, what, f"{problem}, not a whole number from {smallest} to {largest}")
            if name in _LAYERS and held is not None and held.tensors is not None and value > held.tensors:
                raise _damaged(path, what, f"{problem}, but the weights are {held.tensors} tensors")
        elif name in _NUMBERS:
            smallest, largest = _NUMBERS[name]
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not smallest < value < largest:
                raise _damaged(path, what, f"{problem}, which is no sound value")


def _entries(configuration: Any, name: str = "", is_listed: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """The names and values, those of nested objects and lists too; and whether the value stands in a list."""
    if isinstance(configuration, Mapping) and configuration:
        for key, value in configuration.items():
            yield from _entries(value, key)
    elif isinstance(configuration, list) and configuration:
        for value in configuration:
            yield from _entries(value, name, is_listed=True)
    else:
        yield name, configuration, is_listed


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
