"""Bulk jobs one after the other on one Ray of this machine: python -m tests.bulk_jobs FILE, a pickled list of `Task`s.

Prints what became of each as JSON: its counts, or its error as a script says it. vLLM is a stand-in, and addresses of
s3:// may lead to `tests.object_store`.
"""

import json
import os
import pickle
import sys
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from command_line import explain
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.run import run_bulk, start_ray
from temu_vtoff.stages import Options
from tests.object_store import CREDENTIALS


@dataclass
class Task:
    """A job; `remove` is a file that is deleted before it."""

    job: BulkJob
    options: Options
    remove: Path | None = None


def main() -> None:
    os.environ |= CREDENTIALS  # for the actors too
    put_in_vllm()
    tasks: list[Task] = pickle.loads(Path(sys.argv[1]).read_bytes())
    start_ray(max((task.job for task in tasks), key=lambda job: len(job.stages) + 2 * job.by_vllm), cpus=2)
    for task in tasks:
        if task.remove is not None:
            task.remove.unlink()
        try:
            counts, costs = run_bulk(task.job, task.options)
        except Exception as error:
            print(json.dumps({"error": explain(error) or repr(error)}), flush=True)
        else:
            served = {name: one.photos for name, one in costs.items()}
            print(json.dumps(asdict(counts) | {"served": served}), flush=True)


def put_in_vllm() -> None:
    """Makes `ray.data.llm` and vLLM importable, with a processor that answers by the number of the prompt's words."""
    llm = ModuleType("ray.data.llm")
    llm.vLLMEngineProcessorConfig, llm.build_processor = dict, build_processor
    sys.modules["ray.data.llm"] = llm
    sys.modules["vllm"] = ModuleType("vllm")
    sys.modules["vllm"].__spec__ = ModuleSpec("vllm", None)


def build_processor(config: dict[str, Any], preprocess: Any, postprocess: Any, **how: Any) -> Any:
    """As Ray's: one answer a row, all columns of the row with those of `preprocess` for `postprocess`."""

    def answer(row: dict[str, Any]) -> dict[str, Any]:
        row = row | preprocess(row)
        (picture, text) = row["messages"][0]["content"]
        return row | {"generated_text": f"A garment of {len(text['text'].split())} words", "messages": str(picture)}

    return lambda photos: photos.map(answer, **how["preprocess_map_kwargs"]).map(
        postprocess, **how["postprocess_map_kwargs"]
    )


if __name__ == "__main__":
    main()
