"""A run over thousands of items takes no more memory at its end than at its beginning."""

import json
import time
from pathlib import Path

import numpy as np
import psutil

from tests.script_processes import start
from tests.tiny_datasets import write_dresscode
from tests.tiny_pipeline import save_tiny_pipeline

ITEMS = 1024
GROWTH = 4  # MB allowed from the first third to the last: 6 KB an item, less than its picture as a tensor


def memory(process: psutil.Process) -> float:
    """Resident MB of a process and those that read for it."""
    try:
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)]) / 2**20
    except psutil.NoSuchProcess:  # one of them has just ended
        return np.nan


def test_memory_does_not_grow_with_the_number_of_items(tmp_path: Path) -> None:
    root = write_dresscode(tmp_path / "data", test=ITEMS, train=0, categories=["upper_body"], size=(32, 32))
    (tmp_path / "captions.json").write_text(json.dumps({f"0{i:05d}": ["a garment"] for i in range(ITEMS)}))
    pipe = save_tiny_pipeline(tmp_path / "pipe")
    flags = ["--dataset_name", "dresscode", "--dataset_root", root, "--category", "upper_body", "--batch_size", 32]
    flags += ["--pretrained_model_name_or_path", pipe, "--device", "cpu", "--output_dir", tmp_path / "out"]
    flags += ["--coarse_caption_file", tmp_path / "captions.json", "--num_workers", 1]
    flags += ["--width", 32, "--height", 32, "--num_inference_steps", 1, "--guidance_scale", 1, "--no-compile"]

    process = start("inference_dataset", flags)
    watched, journal = psutil.Process(process.pid), tmp_path / "out" / "journal" / "manifest.0.jsonl"
    done, used = [], []
    while process.is_alive():
        done.append(journal.read_bytes().count(b"\n") if journal.exists() else 0)
        used.append(memory(watched))
        time.sleep(0.2)
    process.join()
    assert process.exitcode == 0 and len(list((tmp_path / "out" / "upper_body").glob("*.png"))) == ITEMS

    done, used = np.array(done) / ITEMS, np.array(used)
    early, late = (np.nanmedian(used[(low < done) & (done < high)]) for low, high in ((0.1, 0.35), (0.75, 1)))
    assert late - early < GROWTH, f"{early:.0f} MB early, {late:.0f} MB late"
