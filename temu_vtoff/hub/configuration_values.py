"""The values that a model's configuration may hold, wherever they stand in it, alone or in lists."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
_LISTS_OF = {"AutoencoderKLFlux2": ("patch_size",)}  # further ones, by class
_WHOLE_NUMBERS: dict[str, tuple[int, int]] = {  # smallest and largest
    **dict.fromkeys((*_LAYERS, "depths"), (1, 1000)),
    **dict.fromkeys(_SIZES, (1, 2**20)),
    **dict.fromkeys(("sample_size", "pos_embed_max_size"), (1, 2048)),  # sides of tables
    **dict.fromkeys(("height", "width", "size", "crop_size"), (1, 4096)),  # sides of pictures
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), (1, 2**24)),
    **dict.fromkeys(("shortest_edge", "longest_edge", "min_pixels", "max_pixels"), (1, 2**31)),
    "num_train_timesteps": (1, 100_000),
    "extra_ids": (0, 10_000),  # tokens that T5's tokenizers reserve
}
_NUMBERS = {  # smallest and largest, both excluded
    **dict.fromkeys(("shift", "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "rope_theta"), (0, math.inf)),
    **dict.fromkeys(("rescale_factor", "image_std"), (0, math.inf)),
    "model_max_length": (0, math.inf),  # 1e30 where there is no limit
    "image_mean": (-math.inf, math.inf),
    "scaling_factor": (0, 1000),
    "shift_factor": (-1000, 1000),
}
_CHANNELS = ("image_mean", "image_std")  # three numbers each
_TRANSFORMER = ("sample_size", "patch_size", "pos_embed_max_size", "num_layers", "num_attention_heads")
_REQUIRED = {  # by class: values for which diffusers would use another model's defaults
    "AutoencoderKL": ("block_out_channels", "latent_channels", "scaling_factor", "shift_factor"),
    "FlowMatchEulerDiscreteScheduler": ("num_train_timesteps", "shift"),
    **dict.fromkeys(("SD3Transformer2DModel", "TryOffTransformer", "FeatureExtractor"), _TRANSFORMER),
}


def find_problem(
    configuration: Mapping[str, Any], required: Sequence[str] = (), tensors: int | None = None
) -> str | None:
    """The first missing or impossible value, as the end of a sentence about the file; None if there is none.

    Args:
        configuration: Content of the file.
        required: Names that must be there, besides those that the configuration's class needs.
        tensors: Number of tensors that hold the model's weights, if known; a model has no more layers.
    """
    kind = configuration.get("_class_name")
    required = (*required, *(_REQUIRED.get(kind, ()) if isinstance(kind, str) else ()))
    if absent := [name for name in required if configuration.get(name) is None]:
        return f"lacks {', '.join(absent)}"
    lists = (*_LISTS, *_PERHAPS_LISTS, *(_LISTS_OF.get(kind, ()) if isinstance(kind, str) else ()))
    problems = (_problem_of(*entry, tensors, lists) for entry in _entries(configuration))
    return next((problem for problem in problems if problem is not None), None)


def _problem_of(name: str, value: Any, is_listed: bool, tensors: int | None, lists: Sequence[str]) -> str | None:
    problem = f"says {name} is {_short(value)}"
    if name in _LISTS and not is_listed:
        return f"{problem}, not a list"
    if name in _CHANNELS and isinstance(value, list):
        return f"{problem}, not three numbers"
    if value is None:
        return None
    if name in _WHOLE_NUMBERS:
        smallest, largest = _WHOLE_NUMBERS[name]
        if is_listed and name not in lists:
            return f"says {name} is a list, not a number"
        if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
            return f"{problem}, not a whole number from {smallest} to {largest}"
        if name in _LAYERS and tensors is not None and value > tensors:
            return f"{problem}, but the weights are {tensors} tensors"
    elif name in _NUMBERS:
        smallest, largest = _NUMBERS[name]
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not smallest < value < largest:
            return f"{problem}, which is no sound value"
    return None


def _entries(configuration: Any, name: str = "", is_listed: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Name and value of each entry, nested ones too, and whether the value stands in a list."""
    if isinstance(configuration, Mapping) and configuration:
        for key, value in configuration.items():
            yield from _entries(value, key)
    elif name in _CHANNELS and isinstance(configuration, list) and len(configuration) != 3:
        yield name, configuration, False
    elif isinstance(configuration, list) and configuration:
        for value in configuration:
            yield from _entries(value, name, is_listed=True)
    else:
        yield name, configuration, is_listed


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
