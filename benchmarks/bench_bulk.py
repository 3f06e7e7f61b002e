"""A bulk run over WebDataset shards, killed half-way and resumed, beside inference_dataset.py on the same photos.

    python -m benchmarks.bench_bulk --dataset_root outputs/bulk-demo/people --output_dir outputs/bulk-demo

Both segment, caption and make product pictures of DressCode's test photos with the built-in models. Ends with the
counts, and with photos per second of wall time and per CPU second. Writes OUTPUT_DIR/bench_bulk.json.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

import command_line
from temu_vtoff.files import write_text

ROOT = Path(__file__).parent.parent
BULK, DATASET = "inference_bulk.py", "inference_dataset.py"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = parser.add_argument_group("benchmark")
    group.add_argument("--dataset_root", required=True, type=Path, help="photos in DressCode's layout")
    group.add_argument("--output_dir", required=True, type=Path, help="folder for shards and results; emptied")
    group.add_argument("--shards", type=command_line.positive, default=6, help="number of shards")
    group.add_argument("--no_comparison", action="store_true", help="leave inference_dataset.py out")
    return parser.parse_args(argv)


class Costs:
    """Wall time of a process, and CPU time of it and all its descendants, sampled while it runs."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.started, self.wall = time.time(), 0.0
        self._seconds: dict[int, float] = {}
        self._process = process
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._process.poll() is None:
            self._sample()
            time.sleep(0.5)
        self.wall = time.time() - self.started

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
    from temu_vtoff.bulk.storage import Storage
    from temu_vtoff.bulk.writing import count_results

    shards, output, pictures = (args.output_dir / name for name in ("shards", "garments", "pictures"))
    for folder in (shards, output, pictures):
        shutil.rmtree(folder, ignore_errors=True)
    photos = write_shards(args.dataset_root, shards, args.shards)
    command = [BULK, "--input", shards, "--output", output, "--output_kind", "webdataset"]
    command += ["--stages", "segment", "caption", "try_off", "finish", "--background", "white"]
    command += ["--num_cpus", "2", "--actors", "try_off=2", "--rows_per_file", "16"]

    process = start(command)
    costs = Costs(process)
    while count_results(Storage.at(str(output), "output")).photos < photos // 2 and process.poll() is None:
        time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = costs.end()
    found = count_results(Storage.at(str(output), "output"))
    print(f"killed after {found.photos} of {photos} photos; the same command again:", flush=True)
    process = start(command)
    costs = Costs(process)
    status = process.wait()
    second = costs.end()
    found = count_results(Storage.at(str(output), "output"))
    whole = status in (0, 1) and found.photos == photos and not found.repeated
    row = rates("bulk", photos, first[0] + second[0], first[1] + second[1])
    if not args.no_comparison:
        row |= compare(args, pictures, photos)
        row["ratio_cpu"] = round(row["bulk_per_cpu_second"] / row["dataset_per_cpu_second"], 3)
        row["ratio_wall"] = round(row["bulk_per_second"] / row["dataset_per_second"], 3)
    write_text(args.output_dir / "bench_bulk.json", json.dumps(row, indent=1) + "\n")
    print(json.dumps(row))
    print(
        f"{found.photos} of {photos} photos, {found.pictures} pictures, {len(found.failures)} failed; "
        f"each id once: {whole}"
    )
    return 0 if whole else 1


def compare(args: argparse.Namespace, pictures: Path, photos: int) -> dict[str, float]:
    """The rates of inference_dataset.py with two processes."""
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", DATASET, "--dataset_name", "dresscode"]
    command += ["--dataset_root", args.dataset_root, "--output_dir", pictures, "--segment", "all", "--caption", "all"]
    process = start([*command, "--background", "white"])
    costs = Costs(process)
    process.wait()
    return rates("dataset", photos, *costs.end())


def start(command: list[object]) -> subprocess.Popen:
    """One of the scripts, with one thread for each process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, env=environment)


def rates(name: str, photos: int, wall: float, cpu: float) -> dict[str, float]:
    """Seconds, and photos per second, of wall and of CPU time."""
    return {
        f"{name}_seconds": round(wall, 1),
        f"{name}_cpu_seconds": round(cpu, 1),
        f"{name}_per_second": round(photos / wall, 3),
        f"{name}_per_cpu_second": round(photos / cpu, 3),
    }


def write_shards(root: Path, folder: Path, count: int) -> int:
    """DressCode's test photos as WebDataset shards; returns their number."""
    from webdataset import TarWriter

    from temu_vtoff.datasets import open_dataset

    items = open_dataset("dresscode", root).items
    folder.mkdir(parents=True)
    for number in range(count):
        with TarWriter(str(folder / f"{number:05}.tar"), encoder=False, mtime=0) as shard:
            for item in items[number::count]:
                facts = json.dumps({"category": item.category}).encode()
                shard.write({"__key__": item.key, item.person.suffix[1:]: item.person.read_bytes(), "json": facts})
    return len(items)


if __name__ == "__main__":
    command_line.run(main, parse_args())
