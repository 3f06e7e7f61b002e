"""Folders of tiny models with one damaged file: the model loads, or one sentence names the component's folder."""

import json
import math
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.hub.sizes import read_working_size
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.tryoff.loading import load_components
from tests.fuzz import damaged, kind, only_ours
from tests.fuzz.half_finished_runs import base

MOST_MEMORY = 500_000  # KB that a damaged folder may take
VALUES = (
    10**12,
    10**6,
    4096,
    97,
    2,
    1,
    0,
    -1,
    0.5,
    -0.5,
    math.inf,
    math.nan,
    True,
    None,
    "",
    "many",
    [],
    [1],
    {},
    {"a": 1},
)


def change(contents: Any, rng: np.random.Generator) -> Any:
    """JSON of which one entry, at any depth, is another value or left out."""
    if not isinstance(contents, dict | list) or not contents:
        return VALUES[rng.integers(len(VALUES))]
    key = rng.choice(list(contents)) if isinstance(contents, dict) else int(rng.integers(len(contents)))
    if rng.random() < 0.1:
        del contents[key]
    elif isinstance(contents[key], dict | list) and rng.random() < 0.8:
        contents[key] = change(contents[key], rng)
    else:
        contents[key] = VALUES[rng.integers(len(VALUES))]
    return contents


def damage(file: Path, rng: np.random.Generator) -> None:
    data = file.read_bytes()
    file.unlink()
    if rng.random() < 0.05:
        return
    if file.suffix == ".json" and rng.random() < 0.7:
        file.write_text(json.dumps(change(json.loads(data), rng)), "utf-8")
    else:
        file.write_bytes(damaged(data, rng))


@kind("model_folders")
def model_folders(rng: np.random.Generator, folder: Path) -> None:
    parts = [
        *sorted(path for path in (base() / "pipe").iterdir() if path.is_dir()),
        base() / "segformer",
        base() / "qwen",
    ]
    part = parts[rng.integers(len(parts))]
    chosen = folder / part.name
    shutil.copytree(part, chosen, copy_function=os.link if hasattr(os, "link") else shutil.copy)
    files = sorted(path for path in chosen.rglob("*") if path.is_file())
    damage(files[rng.integers(len(files))], rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with only_ours(chosen):
        if part.name == "segformer":
            ClothSegmenter.from_pretrained(chosen)
        elif part.name == "qwen":
            Captioner.from_pretrained(chosen)
        else:
            load_components(folder, given=dict.fromkeys({path.name for path in parts[:-2]} - {part.name}))
    if part.name in ("vae", "transformer", "transformer_vton"):
        others = {"vae", "transformer", "transformer_vton"} - {part.name}
        for name in others:
            (folder / name).symlink_to(base() / "pipe" / name)
        with only_ours(chosen):
            read_working_size(str(folder), str(folder))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
