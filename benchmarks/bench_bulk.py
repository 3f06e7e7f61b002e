"""A bulk run over WebDataset shards, killed half-way and resumed, beside inference_dataset.py on the same photos.

    python -m benchmarks.bench_bulk --dataset_root outputs/bulk-demo/people --output_dir outputs/bulk-demo

Both segment, caption, make and finish product pictures of DressCode's test photos with the built-in models. A run of
each with few photos tells how long a start takes. Ends with the counts, and with photos per second and per CPU second
without the starts; what the kill costs counts. Writes OUTPUT_DIR/bench_bulk.json.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import command_line
from temu_vtoff.files import write_text

if TYPE_CHECKING:
    from temu_vtoff.bulk.writing import Counts

ROOT = Path(__file__).parent.parent
BULK, DATASET = "inference_bulk.py", "inference_dataset.py"
FEW = 2  # photos of each category in a run that measures the start


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = parser.add_argument_group("benchmark")
    group.add_argument("--dataset_root", required=True, type=Path, help="photos in DressCode's layout")
    group.add_argument("--output_dir", required=True, type=Path, help="folder for shards and results; emptied")
    group.add_argument("--shards", type=command_line.positive, default=6, help="number of shards")
    group.add_argument("--limit", type=command_line.positive, help="photos of each category; default: all")
    group.add_argument("--no_comparison", action="store_true", help="leave inference_dataset.py out")
    return parser.parse_args(argv)


class Costs:
    """Wall time of a process, and CPU time of it and all its descendants, sampled while it runs."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.started, self.wall = time.perf_counter(), 0.0
        self._seconds: dict[int, float] = {}
        self._process = process
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._process.poll() is None:
            self._sample()
            time.sleep(0.5)
        self.wall = time.perf_counter() - self.started

    def _sample(self) -> None:
        try:
            parent = psutil.Process(self._process.pid)
            for process in (parent, *parent.children(recursive=True)):
                times = process.cpu_times()
                self._seconds[process.pid] = times.user + times.system
        except psutil.Error:  # a process has just ended
            pass

    def end(self) -> tuple[float, float]:
        """Wall and CPU seconds, once the process has ended."""
        self._thread.join()
        return self.wall, sum(self._seconds.values())


def main(args: argparse.Namespace) -> int:
    few, shards, output, pictures = (args.output_dir / name for name in ("few", "shards", "garments", "pictures"))
    for folder in (few, shards, output, pictures):
        shutil.rmtree(folder, ignore_errors=True)
    photos = write_shards(args.dataset_root, shards, args.shards, limit=args.limit)
    write_shards(args.dataset_root, few / "shards", args.shards, limit=FEW)
    starts = {} if args.no_comparison else {"dataset": dataset_run(args, few / "pictures", limit=FEW)}
    starts["bulk"] = Costs(start(bulk_command(few / "shards", few / "garments"))).end()

    command = bulk_command(shards, output)
    process = start(command)
    costs = Costs(process)
    while found_in(output).photos < photos // 2 and process.poll() is None:
        time.sleep(5)  # counting reads tables, which takes CPU time from the run
    process.send_signal(signal.SIGKILL)
    runs = [costs.end()]
    print(f"killed after {found_in(output).photos} of {photos} photos; the same command again:", flush=True)
    process = start(command)
    runs.append(Costs(process).end())
    found = found_in(output)
    whole = process.returncode in (0, 1) and found.photos == photos and not found.repeated
    row = rates("bulk", photos, runs, starts["bulk"])
    row["seconds_by_stage"] = seconds_by_stage(output) if whole else None
    row["bytes_by_kind"] = bytes_by_kind(output, photos)
    if not args.no_comparison:
        row |= rates("dataset", photos, [dataset_run(args, pictures, limit=args.limit)], starts["dataset"])
        for kind in ("per_second", "per_cpu_second"):
            row[f"ratio_{kind}"] = round(row[f"bulk_{kind}"] / row[f"dataset_{kind}"], 3)
    write_text(args.output_dir / "bench_bulk.json", json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))
    print(
        f"{found.photos} of {photos} photos, {found.pictures} pictures, {len(found.failures)} failed; "
        f"each id once: {whole}"
    )
    return 0 if whole else 1


def bulk_command(shards: Path, output: Path) -> list[object]:
    """All stages over the shards."""
    command = [BULK, "--input", shards, "--output", output, "--output_kind", "webdataset"]
    command += ["--stages", "segment", "caption", "try_off", "finish", "--background", "white", "--no_score"]
    return [*command, "--num_cpus", "2", "--actors", "try_off=2", "--rows_per_file", "4"]


def found_in(output: Path) -> "Counts":
    """What the bulk runs have written so far."""
    from temu_vtoff.bulk.storage import Storage
    from temu_vtoff.bulk.writing import count_results

    return count_results(Storage.at(str(output), "output"))


def seconds_by_stage(output: Path) -> dict[str, float]:
    """Seconds that the actors of each stage worked on a photo, from the record of the last run."""
    stages = json.loads((output / "run.json").read_text())["stages"]
    return {name: round(costs["seconds"] / costs["photos"], 3) for name, costs in stages.items()}


def bytes_by_kind(output: Path, photos: int) -> dict[str, int]:
    """Bytes that the results of a photo take: masks, pictures, and the tables with the facts."""
    sizes = Counter(tables=sum(path.stat().st_size for path in output.glob("data/*.parquet")))
    for path in output.glob("data/*.tar"):
        with tarfile.open(path) as shard:
            for member in shard:
                if member.name.endswith(".png"):
                    sizes["masks" if member.name.endswith(".mask.png") else "pictures"] += member.size
    return {kind: size // photos for kind, size in sizes.items()}


def dataset_run(args: argparse.Namespace, pictures: Path, limit: int | None) -> tuple[float, float]:
    """The costs of inference_dataset.py with two processes."""
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", DATASET, "--dataset_name", "dresscode"]
    command += ["--dataset_root", args.dataset_root, "--output_dir", pictures, "--segment", "all", "--caption", "all"]
    command += ["--background", "white", *([] if limit is None else ["--limit", limit])]
    return Costs(start(command)).end()


def start(command: list[object]) -> subprocess.Popen:
    """One of the scripts, with one thread for each process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, env=environment)


def rates(name: str, photos: int, runs: list[tuple[float, float]], few: tuple[float, float]) -> dict[str, float]:
    """Seconds of the runs, and photos per second without their starts, of wall and of CPU time.

    Args:
        name: Prefix of the entries.
        photos: That the runs made together.
        runs: Wall and CPU seconds of each.
        few: Wall and CPU seconds of a run with `3 * FEW` photos; so long does a start take.
    """
    wall, cpu = (sum(run[kind] for run in runs) for kind in (0, 1))
    made = photos - 3 * FEW * len(runs)
    starts = {"wall": few[0] * len(runs), "cpu": few[1] * len(runs)}
    return {
        f"{name}_seconds": round(wall, 1),
        f"{name}_cpu_seconds": round(cpu, 1),
        f"{name}_start_seconds": round(few[0], 1),
        f"{name}_start_cpu_seconds": round(few[1], 1),
        f"{name}_per_second": round(made / (wall - starts["wall"]), 3),
        f"{name}_per_cpu_second": round(made / (cpu - starts["cpu"]), 3),
    }


def write_shards(root: Path, folder: Path, count: int, limit: int | None = None) -> int:
    """DressCode's test photos as WebDataset shards; returns their number.

    Args:
        root: The dataset.
        folder: Of the shards.
        count: Number of shards.
        limit: Of the photos of each category.
    """
    from webdataset import TarWriter

    from temu_vtoff.datasets import open_dataset
    from temu_vtoff.segmentation.categories import DATASET_CATEGORIES

    every = open_dataset("dresscode", root).items
    items = [item for name in DATASET_CATEGORIES for item in [one for one in every if one.category == name][:limit]]
    folder.mkdir(parents=True)
    for number in range(count):
        with TarWriter(str(folder / f"{number:05}.tar"), encoder=False, mtime=0) as shard:
            for item in items[number::count]:
                facts = json.dumps({"category": item.category}).encode()
                shard.write({"__key__": item.key, item.person.suffix[1:]: item.person.read_bytes(), "json": facts})
    return len(items)


if __name__ == "__main__":
    command_line.run(main, parse_args())
