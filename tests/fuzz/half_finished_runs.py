"""Half-finished runs over a dataset: files of a finished run are damaged, and the same command runs again.

It must write the same bytes, or say in one sentence which file is damaged.
"""

import contextlib
import importlib
import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import command_line
from tests.fuzz import kind
from tests.script_processes import contents
from tests.tiny_datasets import write_dresscode
from tests.tiny_stages import save_stages

RESULTS = ("*.png", "*.pt", "captions_*.json", "captions.json")


@dataclass(frozen=True)
class Run:
    """A script's finished run.

    Attributes:
        folder: All that it wrote.
        call: Runs the script again, into a folder.
        goal: Its results.
    """

    folder: Path
    call: Callable[[Path], int]
    goal: dict[str, bytes]


@cache
def base() -> Path:
    """Tiny models and a tiny dataset, for all cases; deleted at the end of the process."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz")
    base.keep = folder
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars of saving
        save_stages(Path(folder.name))
    write_dresscode(Path(folder.name) / "data", test=2, train=0)
    return Path(folder.name)


@cache
def finished(script: str) -> Run:
    """
    Args:
        script: A module with `parse_args` and `main`.
    """
    models, data = base(), base() / "data"
    flags: list[object] = ["--dataset_name", "dresscode", "--dataset_root", data, "--device", "cpu", "--batch_size", 2]
    pipe = ["--pretrained_model_name_or_path", models / "pipe"]
    qwen = ["--caption_model", models / "qwen"]
    captions = models / "made_captions" / "captions_person_0_2.json"
    own, where = {
        "inference_dataset": (
            [
                *(*pipe, *qwen, "--segmentation_model", models / "segformer", "--segment", "all", "--caption", "all"),
                *("--num_inference_steps", 1, "--no-compile", "--num_workers", 0),
            ],
            lambda out: ["--output_dir", out],
        ),
        "SegCloth": (["--model", models / "segformer", "--num_workers", 1], lambda out: ["--output_dir", out]),
        "precompute_utils.captioning_qwen": (
            [*qwen, "--max_new_tokens", 6, "--num_workers", 0],
            lambda out: ["--output_path", out / "captions"],
        ),
        "precompute_utils.precompute_text_features": (
            [*pipe, "--caption_file", captions],
            lambda out: ["--output_dir", out],
        ),
        "precompute_utils.precompute_image_features": ([*pipe, "--num_workers", 0], lambda out: ["--output_dir", out]),
    }[script]
    if captions in own and not captions.exists():
        shutil.copytree(finished("precompute_utils.captioning_qwen").folder, captions.parent)
    if script != "inference_dataset":
        own = [*own, "--phase", "test"]

    def call(out: Path) -> int:
        module = importlib.import_module(script)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return module.main(module.parse_args([str(word) for word in (*flags, *own, *where(out))]))

    folder = models / f"finished_{script}"
    assert call(folder) == 0
    return Run(folder, call, contents(folder, *RESULTS))


def damage(path: Path, rng: np.random.Generator) -> str:
    """Does to a file what kills and power failures do: it is gone, empty, cut, or zeroed; of a text, a part as well."""
    data = path.read_bytes()
    kinds = ["gone", "empty", "cut", "end zeroed"]
    if path.suffix not in (".png", ".pt"):
        kinds += ["part zeroed", "part garbled"]
    done = str(rng.choice(kinds))
    start = int(rng.integers(max(1, len(data) - 16)))
    length = int(rng.integers(1, 40))
    if done == "gone":
        path.unlink()
    elif done == "empty":
        path.write_bytes(b"")
    elif done == "cut":
        path.write_bytes(data[:start])
    elif done == "end zeroed":
        path.write_bytes(data[:start] + bytes(len(data) - start))
    else:
        filling = b"\0" if done == "part zeroed" else b"\xff"
        path.write_bytes(data[:start] + filling * len(data[start : start + length]) + data[start + length :])
    return f"{path.name} {done}"


@kind("half_finished_runs")
def half_finished_runs(rng: np.random.Generator, folder: Path) -> None:
    scripts = ["inference_dataset", "inference_dataset", "SegCloth", "precompute_utils.captioning_qwen"]
    scripts += ["precompute_utils.precompute_text_features", "precompute_utils.precompute_image_features"]
    run = finished(str(rng.choice(scripts)))
    out = folder / "out"
    shutil.copytree(run.folder, out)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    chosen = rng.choice(len(files), min(len(files), int(rng.integers(1, 6))), replace=False)
    done = [damage(files[i], rng) for i in chosen]
    try:
        status = run.call(out)
    except Exception as error:
        sentence = command_line.explain(error)
        assert sentence is not None and "\n" not in sentence, f"{done}: {error!r}"
        assert any(str(files[i]) in sentence or files[i].name in sentence for i in chosen), f"{done}: {sentence}"
        assert not list(out.rglob(".temu-*")), f"{done}: a temporary file stays"
        return
    made = contents(out, *RESULTS)
    whole = {name for name in run.goal if "masks/" not in name and name != "captions.json"}
    assert status == 0 and whole <= set(made), f"{done}: status {status}, missing {whole - set(made)}"
    changed = [name for name in whole if made[name] != run.goal[name]]
    assert not changed, f"{done}: {changed} changed"
