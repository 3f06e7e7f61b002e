"""Captions by vLLM inside the run (`ray.data.llm`).

A processor of `ray.data.llm` takes one question a row, and a photo may have several garments. So `ask` makes a row for
each garment, and `Gather` puts the rows of a photo together again.
"""

from __future__ import annotations

import io
import pickle
import uuid
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pyarrow as pa
import ray
from PIL import Image
from ray.data import ActorPoolStrategy, Dataset

from temu_vtoff.builtin import resolve
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import Photo, photos_of, png_of, table_of
from temu_vtoff.bulk.stages import with_pictures
from temu_vtoff.captioning.prompt import MAX_NEW_TOKENS, TEMPERATURE, caption_prompt, clean_caption
from temu_vtoff.captioning.server import picture_and_prompt
from temu_vtoff.errors import ArgumentError
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame

_MODULE = "ray.data.llm"  # needs more than Ray Data does, so that it is imported when it is wanted
_LENGTH = 4096  # tokens: 1024 of the picture at most, the prompt, the answer
_BATCH = 32  # rows that go to the engine at once
_SEED = 0
_MEMORY = 0.9  # of an engine's share of a GPU, as vLLM's own default
_LIGHT = {"num_cpus": 0.25}
_QUESTION = pa.schema(
    {
        "key": pa.string(),  # of the photo, unique
        "number": pa.int32(),  # of the garment
        "count": pa.int32(),  # garments of the photo
        "photos": pa.large_binary(),  # pickled table of the photo, in its first row
        "prompt": pa.string(),  # empty where nothing is asked
        "picture": pa.large_binary(),
    }
)


def check_vllm() -> None:
    """
    Raises:
        ArgumentError: vLLM or what `ray.data.llm` needs is not installed.
    """
    try:
        import_module(_MODULE)
    except ImportError as error:
        missing = error.name
    else:
        missing = None if find_spec("vllm") else "vllm"
    if missing is not None:
        raise ArgumentError(
            f'{{caption_engine}} vllm needs vLLM, and {missing} is not installed: pip install "ray[data,llm]".',
            "caption_engine",
        )


def captioned_by_vllm(
    photos: Dataset, job: BulkJob, options: Options, gpus: float, ledger: ray.actor.ActorHandle
) -> Dataset:
    """The dataset with captions of the garments that have none.

    Args:
        photos: Rows of `rows.ROW`.
        job: The run; its pool of the caption stage says how many engines there are.
        options: Of try-off.
        gpus: Of each engine.
        ledger: The actor `Ledger`.
    """
    questions = photos.map_batches(
        ask, batch_size=None, batch_format="pyarrow", fn_kwargs={"options": options, "ledger": ledger}, **_LIGHT
    )
    answers = processor_of(job, options, gpus)(questions)
    return answers.map_batches(
        Gather, batch_size=None, batch_format="pyarrow", compute=ActorPoolStrategy(size=1), **_LIGHT
    )


def processor_of(job: BulkJob, options: Options, gpus: float) -> Callable[[Dataset], Dataset]:
    """The processor that answers the rows of `ask`."""
    llm = import_module(_MODULE)
    pool = job.pool("caption")
    engine: dict[str, Any] = {"max_model_len": _LENGTH, "limit_mm_per_prompt": {"image": 1}, "seed": _SEED}
    placement = None  # a whole GPU for each engine
    if gpus < 1:
        placement = {"bundles": [{"CPU": pool.cpus, "GPU": gpus}]}
        if gpus > 0:  # else vLLM's build for CPUs
            engine["gpu_memory_utilization"] = round(gpus * _MEMORY, 3)
    elif gpus > 1:
        engine["tensor_parallel_size"] = round(gpus)
    config = llm.vLLMEngineProcessorConfig(
        model_source=resolve(options.sources.captioner, "captioner"),
        engine_kwargs=engine,
        placement_group_config=placement,
        batch_size=_BATCH,
        concurrency=(pool.least, max(pool.least, pool.most)),
        should_continue_on_error=True,
        log_engine_metrics=False,
        prepare_multimodal_stage={"enabled": True, "chat_template_content_format": "openai", **_LIGHT},
        chat_template_stage={"enabled": True, **_LIGHT},
        tokenize_stage={"enabled": False},
        detokenize_stage={"enabled": False},
    )
    light = {"preprocess_map_kwargs": _LIGHT, "postprocess_map_kwargs": _LIGHT}
    return llm.build_processor(config, preprocess=request_of, postprocess=answer_of, **light)


def ask(table: pa.Table, options: Options, ledger: ray.actor.ActorHandle) -> pa.Table:
    """A row of `_QUESTION` for each garment; one for a photo without, which must pass the processor too."""
    photos = photos_of(table)
    ray.get(ledger.enter.remote([photo.id for photo in photos]))
    frame = Frame.of(options)
    rows = [row for photo in photos for row in _questions(photo, frame)]
    return pa.Table.from_pylist(rows, _QUESTION)


def _questions(photo: Photo, frame: Frame) -> list[dict[str, Any]]:
    asked: dict[int, tuple[str, bytes]] = {}
    for piece in with_pictures([photo]):
        if piece.garment.caption is None:
            try:
                picture = frame.captioned(piece.garment)
            except Exception as error:  # the garment's own
                piece.garment.error = error
                continue
            asked[photo.pieces.index(piece)] = (caption_prompt(piece.garment.category), png_of(picture))
    key, count = uuid.uuid4().hex, max(1, len(photo.pieces))
    packed = pickle.dumps(table_of([photo]))
    empty = ("", png_of(Image.new("RGB", (56, 56))))
    return [
        dict(
            zip(
                _QUESTION.names,
                (key, number, count, packed if number == 0 else None, *asked.get(number, empty)),
                strict=True,
            )
        )
        for number in range(count)
    ]


def request_of(row: dict[str, Any]) -> dict[str, Any]:
    """What the processor asks about a row."""
    with Image.open(io.BytesIO(row["picture"])) as picture:
        content = picture_and_prompt(picture, row["prompt"])
    length = MAX_NEW_TOKENS if row["prompt"] else 1
    return {
        "messages": [{"role": "user", "content": content}],
        "sampling_params": {"temperature": TEMPERATURE, "max_tokens": length, "seed": _SEED},
    }


def answer_of(row: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a row and its answer. Rows that fail come with all they have, and `__inference_error__`."""
    return {name: row[name] for name in ("key", "number", "count", "photos", "prompt")} | {
        "caption": row["generated_text"]
    }


class Gather:
    """Puts the garments of a photo together again. A single actor, because they come in any order."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[int, dict[str, Any]]] = {}

    def __call__(self, table: pa.Table) -> pa.Table:
        names = ("key", "number", "count", "photos", "prompt", "caption", "__inference_error__")
        whole = []
        for row in table.select([name for name in names if name in table.column_names]).to_pylist():
            parts = self._waiting.setdefault(row["key"], {})
            parts[row["number"]] = row
            if len(parts) == row["count"]:
                whole.append(_whole(self._waiting.pop(row["key"])))
        return table_of(whole)


def _whole(parts: dict[int, dict[str, Any]]) -> Photo:
    """A photo with the captions of its garments."""
    (photo,) = photos_of(pickle.loads(parts[0]["photos"]))
    for number, piece in enumerate(photo.pieces):
        part = parts[number]
        if not part["prompt"]:
            continue
        if part.get("__inference_error__"):
            piece.garment.error = ValueError(f"vLLM: {' '.join(part['__inference_error__'].split())}")
        else:
            piece.garment.caption = clean_caption(part["caption"])
    return photo
