"""Gathers trained parts into the built-in model's folder, in half precision, and checks their sizes.

    python -m builtin_training.assemble --runs runs --output_dir temu_vtoff/builtin

Several folders of transformers are averaged, weight by weight: the weights of a run and of its continuation are close
enough (model soups, arXiv 2203.05482). Parts that were not trained stay as they are in the output folder.
`tryoff/` gets its `model_index.json` once it has all components.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.tryoff.components import IMAGE_PARTS, TEXT_ENCODERS, TEXT_PARTS

if TYPE_CHECKING:
    from diffusers import ModelMixin

MAX_FILE = 16 * 10**6  # bytes
MAX_TOTAL = 72 * 10**6
ENCODERS = (*TEXT_ENCODERS, *IMAGE_ENCODERS)
OTHERS = tuple(part for part in (*TEXT_PARTS, *IMAGE_PARTS) if part not in ENCODERS)
TRAINED = ("transformer", "transformer_vton", "scheduler")
TRANSFORMERS = [Path("runs/joint_last")]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--runs", type=Path, default=Path("runs"), help="folder with vae/, encoders/, segmenter/ and captioner/")
    add(
        "--transformers",
        nargs="+",
        type=Path,
        default=TRANSFORMERS,
        help="folders that train_transformers wrote; their weights are averaged",
    )
    add("--output_dir", type=Path, default=Path("temu_vtoff/builtin"), help="gets tryoff/, segmenter/ and captioner/")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    components = {"vae": args.runs / "vae" / "vae"}
    components |= {name: args.runs / "encoders" / name for name in (*ENCODERS, *OTHERS)}
    components |= {name: args.transformers[0] / name for name in TRAINED}
    parts = {name: args.runs / name / name for name in ("segmenter", "captioner")}
    for name, source in parts.items():
        if source.is_dir():
            replace_folder(source, args.output_dir / name)
    gather_pipeline(components, args.transformers[1:], args.output_dir / "tryoff")
    missing = [str(source) for source in [*components.values(), *parts.values()] if not source.is_dir()]
    if missing:
        command_line.say(f"Missing, and left unchanged: {', '.join(missing)}.")
    check_sizes(args.output_dir)


def gather_pipeline(components: dict[str, Path], averaged: list[Path], folder: Path) -> None:
    """Puts the components that exist into a folder, as a whole pipeline if all exist.

    Args:
        components: Their folders by name.
        averaged: Folders of further transformers to average with the components'.
        folder: Replaced as a whole.
    """
    import torch

    from temu_vtoff import TryOffPipeline

    with tempfile.TemporaryDirectory(dir=folder.parent) as gathered:
        for name, source in components.items():
            if source.is_dir():
                shutil.copytree(source, Path(gathered) / name)
            elif (folder / name).is_dir():
                shutil.copytree(folder / name, Path(gathered) / name)
        whole = Path(gathered)
        if all((whole / name).is_dir() for name in components):
            pipeline = TryOffPipeline.from_pretrained(
                whole, torch_dtype=torch.float16, rescale_clip_input_twice=False, negative_reference=False
            )
            for name in ("transformer", "transformer_vton"):
                average(getattr(pipeline, name), [trained / name for trained in averaged])
            whole = whole / "pipeline"
            pipeline.save_pretrained(whole)
        replace_folder(whole, folder)


def average(model: ModelMixin, others: list[Path]) -> None:
    """Makes a model's weights the mean of its own and those in the folders, in float32."""
    import torch

    models = [model, *(type(model).from_pretrained(folder) for folder in others)]
    with torch.no_grad():
        for weights in zip(*(model.parameters() for model in models), strict=True):
            weights[0].copy_(torch.stack([weight.float() for weight in weights]).mean(0))


def replace_folder(source: Path, target: Path) -> None:
    """Replaces a folder by a copy of another."""
    if target.is_dir():
        shutil.rmtree(target)
    shutil.copytree(source, target)


def check_sizes(folder: Path) -> None:
    """
    Raises:
        ValueError: A file, or everything together, is too large to be shipped.
    """
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    for path, size in sizes.items():
        if path.suffix == ".safetensors":
            print(f"{size / 1e6:6.2f} MB  {path.relative_to(folder)}")
        if size > MAX_FILE:
            raise ValueError(f"{path} has {size / 1e6:.1f} MB; at most {MAX_FILE / 1e6:.0f} are allowed in a file.")
    total = sum(sizes.values())
    print(f"{total / 1e6:6.2f} MB  in all")
    if total > MAX_TOTAL:
        raise ValueError(f"{folder} has {total / 1e6:.1f} MB; at most {MAX_TOTAL / 1e6:.0f} are allowed.")


if __name__ == "__main__":
    command_line.run(main, parse_args())
