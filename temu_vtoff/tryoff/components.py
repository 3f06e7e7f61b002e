"""Names of the pipeline's components and of its configuration values, stated once, and where each comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from temu_vtoff.hub.sources import IMAGE_ENCODERS, REQUIRED, TRYOFF

TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
TEXT_PARTS = (*TEXT_ENCODERS, "tokenizer", "tokenizer_2", "tokenizer_3")
IMAGE_PARTS = (*IMAGE_ENCODERS, "feature_extractor")
BASE = ("vae", "scheduler", *TEXT_PARTS)  # components of the published base model
COMPONENTS = (*BASE, *TRYOFF, *IMAGE_PARTS)
CONFIG = {"rescale_clip_input_twice": True, "negative_reference": True}  # the published model's values


def component_sources(base: str, tryoff: str, index: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Folder or hub id, and subfolder, of each component.

    Args:
        base: Base model, or a whole pipeline.
        tryoff: Source of the two transformers; the same as `base` for a whole pipeline.
        index: The base's model_index.json; empty without one.
    """
    own = {*listed(base, index, COMPONENTS)}
    if tryoff == base:
        return {name: (base, name) for name in own | {*REQUIRED}}
    # A whole pipeline as base has its own image encoders and their configuration.
    sources: dict[str, tuple[str, str | None]] = {name: (base, name) for name in BASE}
    sources |= {name: (tryoff, name) for name in TRYOFF}
    sources |= {name: (where, None) for name, where in IMAGE_ENCODERS.items()}
    return sources | {name: (base, name) for name in (*IMAGE_ENCODERS, "feature_extractor") if name in own}


def listed(where: str, index: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of the components that a source holds: those in its index, else those with a folder."""
    if index:
        return [name for name in names if isinstance(index.get(name), list) and index[name][1] is not None]
    return [name for name in names if (Path(where) / name).is_dir()]
