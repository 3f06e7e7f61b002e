"""What a bulk run reads, does and writes, with its defaults; light, because `--help` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from temu_vtoff.bulk import INPUT_KINDS, OUTPUT_KINDS, STAGES
from temu_vtoff.datasets import PHASES
from temu_vtoff.errors import ArgumentError, check_choice, check_least
from temu_vtoff.segmentation.categories import TRYOFF_CATEGORIES


@dataclass(frozen=True)
class Pool:
    """The actors of one stage.

    Attributes:
        least: Actors that always run.
        most: Actors while there is work for them.
        cpus: CPUs that each actor takes of its node.
        gpus: GPUs, 0.25 for a fourth of one. Left open, `GPUS` on a cluster that has GPUs.
    """

    least: int = 1
    most: int = 1
    cpus: float = 0.25
    gpus: float | None = None


GPUS = {"segment": 0.1, "caption": 0.3, "try_off": 0.6, "finish": 0.0}  # of one GPU, together one


@dataclass(frozen=True)
class BulkJob:
    """One run over a collection of photos.

    Attributes:
        input: Folder, file or address (s3://, gs://) of photos, Parquet files, WebDataset shards, or a dataset's root.
        output: Folder or address; the same one again resumes.
        input_kind: One of `INPUT_KINDS`. Left open, told from the files' names.
        output_kind: One of `OUTPUT_KINDS`.
        stages: Of `STAGES`, in their order.
        category: Of the photos that name none themselves: one that the back end makes, or "all".
        phase: "train" or "test", of a dataset.
        id_column: Column of Parquet files with the photo's unique name.
        photo_column: Column with the photo's bytes, or its path or URL.
        category_column: Column with the garment's category; files may lack it.
        seed: Random seed of the run; each photo's own seed is derived from it and the photo's id.
        rows_per_file: Least number of photos in one file of the output. A kill costs the photos of unwritten files.
        pools: The actors of the stages; `Pool()` for those that are not named.
        worker_memory: GiB of host memory that an actor may use; a photo that needs more becomes an error.
        caption_server: Address of an OpenAI-compatible server that captions, such as http://localhost:8000/v1.

    Raises:
        ArgumentError: A value that is none of the choices, out of range, or missing what it needs.
    """

    input: str
    output: str
    input_kind: str | None = None
    output_kind: str = "parquet"
    stages: Sequence[str] = STAGES[:3]
    category: str = TRYOFF_CATEGORIES[0]
    phase: str = "test"
    id_column: str = "id"
    photo_column: str = "photo"
    category_column: str = "category"
    seed: int = 0
    rows_per_file: int = 256
    pools: Mapping[str, Pool] = field(default_factory=dict)
    worker_memory: float | None = None
    caption_server: str | None = None

    def __post_init__(self) -> None:
        check_choice("input_kind", self.input_kind, (None, *INPUT_KINDS))
        check_choice("output_kind", self.output_kind, OUTPUT_KINDS)
        check_choice("phase", self.phase, PHASES)
        object.__setattr__(self, "stages", tuple(self.stages))
        self._check_stages()
        check_least("rows_per_file", self.rows_per_file)
        if self.worker_memory is not None and not self.worker_memory > 0:
            raise ArgumentError(f"{{worker_memory}} is {self.worker_memory}; give more than 0.", "worker_memory")

    def pool(self, stage: str) -> Pool:
        """The actors of a stage."""
        return self.pools.get(stage, Pool())

    def _check_stages(self) -> None:
        unknown = [stage for stage in (*self.stages, *self.pools) if stage not in STAGES]
        if unknown:
            raise ArgumentError(f"{{stages}}: {unknown[0]!r} is none of {', '.join(STAGES)}.", "stages")
        if list(self.stages) != [stage for stage in STAGES if stage in self.stages]:
            raise ArgumentError(f"{{stages}} run in this order, each once: {', '.join(STAGES)}.", "stages")
        if self.stages[:1] != STAGES[:1]:
            raise ArgumentError("{stages} begins with segment: the others need its masks.", "stages")
        if "finish" in self.stages and "try_off" not in self.stages:
            raise ArgumentError("{stages}: finish needs the pictures of try_off.", "stages")
