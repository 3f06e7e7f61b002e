"""What a bulk run reads, does and writes, with its defaults; light, because `--help` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from temu_vtoff.bulk import CAPTION_ENGINES, INPUT_KINDS, OUTPUT_KINDS, STAGES
from temu_vtoff.datasets import ORDERS, PHASES
from temu_vtoff.errors import ArgumentError, check_choice, check_least
from temu_vtoff.segmentation.categories import ALL, TRYOFF_CATEGORIES


@dataclass(frozen=True)
class Pool:
    """The actors of one stage.

    Attributes:
        least: Actors that always run.
        most: Actors while there is work for them.
        cpus: CPUs that each actor takes of its node.
        gpus: GPUs, 0.25 for a fourth of one. Left open, `default_gpus` on a cluster that has GPUs.
    """

    least: int = 1
    most: int = 1
    cpus: float = 0.25
    gpus: float | None = None


_SHARES = {"segment": 1, "caption": 3, "try_off": 6, "try_on": 6, "finish": 0}


def default_gpus(stages: Sequence[str]) -> dict[str, float]:
    """The share of a GPU of one actor of each stage; together at most one GPU."""
    whole = max(1, sum(_SHARES[stage] for stage in stages))
    return {stage: 100 * _SHARES[stage] // whole / 100 for stage in stages}


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
        order: "paired" or "unpaired", of a dataset: the list of the garments to try on.
        id_column: Column of Parquet files with the photo's unique name.
        photo_column: Column with the photo's bytes, or its path or URL.
        category_column: Column with the garment's category; files may lack it.
        garment_column: Column with the product picture to put on, as `photo_column`; for try-on.
        garment_from_column: Column with a photo of somebody whose garment is taken off first; where a row has no
            product picture.
        any_garment: Put on pictures, too, that look like photos of somebody.
        paste: Put what was repainted back into the photo, at the photo's size.
        seed: Random seed of the run; each photo's own seed is derived from it and the photo's id.
        score: Score the product pictures.
        rows_per_file: Least number of photos in one file of the output. A kill costs the photos of unwritten files.
        pools: The actors of the stages; `Pool()` for those that are not named.
        worker_memory: GiB of host memory that an actor may use; a photo that needs more becomes an error.
        caption_engine: What captions: "transformers", or "vllm", which takes many pictures at once.
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
    order: str = "paired"
    id_column: str = "id"
    photo_column: str = "photo"
    category_column: str = "category"
    garment_column: str = "garment"
    garment_from_column: str = "garment_from"
    any_garment: bool = False
    paste: bool = True
    seed: int = 0
    score: bool = True
    rows_per_file: int = 256
    pools: Mapping[str, Pool] = field(default_factory=dict)
    worker_memory: float | None = None
    caption_engine: str = CAPTION_ENGINES[0]
    caption_server: str | None = None

    def __post_init__(self) -> None:
        check_choice("input_kind", self.input_kind, (None, *INPUT_KINDS))
        check_choice("output_kind", self.output_kind, OUTPUT_KINDS)
        check_choice("phase", self.phase, PHASES)
        check_choice("order", self.order, ORDERS)
        check_choice("caption_engine", self.caption_engine, CAPTION_ENGINES)
        object.__setattr__(self, "stages", tuple(self.stages))
        self._check_stages()
        self._check_captions()
        check_least("rows_per_file", self.rows_per_file)
        if self.worker_memory is not None and not self.worker_memory > 0:
            raise ArgumentError(f"{{worker_memory}} is {self.worker_memory}; give more than 0.", "worker_memory")

    @property
    def by_vllm(self) -> bool:
        """Whether vLLM captions, inside the run."""
        return self.caption_engine == "vllm"

    @property
    def dresses(self) -> bool:
        """Whether garments are put on persons."""
        return "try_on" in self.stages

    def pool(self, stage: str) -> Pool:
        """The actors of a stage."""
        return self.pools.get(stage, Pool())

    def _check_captions(self) -> None:
        if self.caption_server is not None and self.caption_engine != CAPTION_ENGINES[0]:
            raise ArgumentError(
                "{caption_server} captions already: leave out {caption_engine}.", "caption_server", "caption_engine"
            )
        for name, given in (("caption_server", self.caption_server is not None), ("caption_engine", self.by_vllm)):
            if given and "caption" not in self.stages:
                raise ArgumentError(f"{{{name}}} is for {{stages}} caption.", name, "stages")

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
        if self.dresses and self.category == ALL:
            raise ArgumentError("{category} all is for try-off; {stages} try_on needs one.", "category", "stages")
