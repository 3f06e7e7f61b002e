"""A bulk run: source, pools of actors, sink; a killed one resumes."""

from __future__ import annotations

import errno
import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.checkpoint import CheckpointConfig

from temu_vtoff.backends.registry import check_category
from temu_vtoff.bulk.job import BulkJob, default_gpus
from temu_vtoff.bulk.ledger import Ledger, StageCosts
from temu_vtoff.bulk.reading import PhotoSource, rows_of_block
from temu_vtoff.bulk.stages import ACTORS
from temu_vtoff.bulk.storage import Storage
from temu_vtoff.bulk.vllm_captions import captioned_by_vllm, check_vllm
from temu_vtoff.bulk.writing import Counts, GarmentSink, count_results, job_settings
from temu_vtoff.captioning.server import ApiCaptioner
from temu_vtoff.errors import ArgumentError
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryon_options import of_tryoff

_TASK = {"num_cpus": 0.25}  # reading and writing wait for disks
_OWN_CPUS = 3  # Ray's cutting of blocks and its filter of finished ids take one each, reading and writing the third
_VLLM_CPUS = 2  # the steps before and behind the engine
_CPUS_A_READER = 8  # photos are read much faster than they are served, and each reader is a process that starts
_AHEAD = 1.0  # bytes that a stage may have ready for each byte that the next one holds: a kill costs what is ready
_FILTER_MEMORY = 2**26  # bytes; the ids of a million photos


def needed_cpus(job: BulkJob) -> int:
    """CPUs, as Ray counts them, below which a job would wait for ever."""
    return (
        _OWN_CPUS
        + _VLLM_CPUS * job.by_vllm
        + math.ceil(sum(job.pool(stage).least * job.pool(stage).cpus for stage in job.stages))
    )


def start_ray(job: BulkJob, address: str | None = None, cpus: int | None = None) -> None:
    """Joins the cluster at the address, or starts one on this machine; without Ray's own output and reports.

    Args:
        job: What will run. On this machine Ray is given CPUs enough for it: they are only counted, not reserved.
        address: Of a running cluster.
        cpus: Of this machine, by default all.

    Raises:
        ValueError: No cluster answers.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    os.environ.setdefault("RAY_worker_niceness", "0")  # else its workers give way to all other programs
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    cpus = (os.cpu_count() if cpus is None else cpus) or 1
    local: dict[str, Any] = (
        {} if address is not None else {"num_cpus": max(cpus, needed_cpus(job)), "include_dashboard": False}
    )
    try:
        with _silence():
            ray.init(address or "local", logging_level=logging.CRITICAL, log_to_driver=False, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(f"no Ray cluster answers at {address}: {' '.join(str(error).split())}") from error


@contextmanager
def _silence() -> Iterator[None]:
    """Hides what Ray's core writes to standard error when it starts, past Python's logging."""
    shown = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nothing)


def run_bulk(job: BulkJob, options: Options) -> tuple[Counts, dict[str, StageCosts]]:
    """Runs a job on the cluster that was started.

    Returns:
        What lies in the output, also of earlier runs, and what each stage of this run has served.

    Raises:
        ArgumentError: The input holds nothing, the output can't be opened or was begun with other settings, or the
            back end doesn't make the category.
        CheckpointError: A model can't be loaded.
        ValueError: Photos were lost together with a worker.
    """
    _check_models(job, options)
    _check_cluster(job)
    source = PhotoSource(job, rows_of_block(options.batch_size))
    output = Storage.at(job.output, "output")
    job_settings(job, options, output)
    _keep_finished_ids(output)
    readers = max(2, int(ray.cluster_resources()["CPU"]) // _CPUS_A_READER)
    photos = ray.data.read_datasource(source, concurrency=readers, override_num_blocks=len(source.tasks), **_TASK)
    suffix = ".png" if options.finish is None or "finish" not in job.stages else options.finish.suffix
    sink = GarmentSink(output, job.output_kind, suffix, job.rows_per_file)
    ledger, before = Ledger.remote(), count_results(output) if job.by_vllm else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            through_stages(photos, job, options, ledger).write_datasink(sink, ray_remote_args=_TASK)
    except Exception as error:
        raise _of_this_run(cause_of(error), output.address) from error
    counts = count_results(output)
    if before is not None and (lost := before.photos + ray.get(ledger.entered.remote()) - counts.photos) > 0:
        raise ValueError(f"{lost} photos were lost together with a worker; the same command again finishes them.")
    return counts, ray.get(ledger.costs.remote())


def _keep_finished_ids(output: Storage) -> None:
    """Makes Ray leave out what is finished, and keep the ids of what it finishes."""
    context = DataContext.get_current()
    config = CheckpointConfig(
        "id",
        output.path("checkpoint"),
        override_filesystem=output.filesystem,
        delete_checkpoint_on_success=False,
    )
    config.checkpoint_actor_memory_bytes = _FILTER_MEMORY
    context.checkpoint_config = config
    context.enable_progress_bars = False
    context.downstream_capacity_backpressure_ratio = _AHEAD
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def cause_of(error: BaseException) -> BaseException:
    """The error of a worker inside those that Ray wraps around it."""
    while isinstance(inner := getattr(error, "cause", None) or error.__cause__, BaseException):
        error = inner
    return error


def _of_this_run(error: BaseException, output: str) -> BaseException:
    """The error, with the job's name for the address of the captioning server, and with the place of a full disk."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(error.errno, error.strerror, output)  # Ray puts a text of its own where the file's name stands
    if isinstance(error, ArgumentError) and "api_base" in error.arguments:
        return ArgumentError(error.sentence.replace("{api_base}", "{caption_server}"), "caption_server")
    return error


def _check_models(job: BulkJob, options: Options) -> None:
    """Raises before anything starts: a category that the back end doesn't make, a model that can't be had."""
    check_category(job.category, options.backend)
    if "try_off" in job.stages or not job.dresses:
        of_tryoff(options).size()
    if job.dresses:
        options.size()
    if job.by_vllm:
        check_vllm()
    if job.caption_server is not None:
        try:
            ApiCaptioner(job.caption_server, options.sources.captioner)
        except ArgumentError as error:
            raise _of_this_run(error, job.output) from None


def _check_cluster(job: BulkJob) -> None:
    """
    Raises:
        ArgumentError: The actors would never find a place.
    """
    needed, there = needed_cpus(job), ray.cluster_resources().get("CPU", 0)
    if there < needed:
        raise ArgumentError(f"the cluster has {there:g} CPUs and the stages need {needed}: lower {{cpus}}.", "cpus")
    needed, there = sum(job.pool(stage).least * _gpus(job, stage) for stage in job.stages), _cluster_gpus()
    if there < needed:
        raise ArgumentError(f"the cluster has {there:g} GPUs and the stages need {needed:g}: lower {{gpus}}.", "gpus")


def _cluster_gpus() -> float:
    return ray.cluster_resources().get("GPU", 0)


def _gpus(job: BulkJob, stage: str) -> float:
    """GPUs of each actor of a stage."""
    given = job.pool(stage).gpus
    if given is not None:
        return given
    return default_gpus(job.stages)[stage] if _cluster_gpus() else 0


def through_stages(photos: Dataset, job: BulkJob, options: Options, ledger: ray.actor.ActorHandle) -> Dataset:
    """The dataset behind all stages of the job."""
    photos = photos.repartition(target_num_rows_per_block=rows_of_block(options.batch_size))
    for name in job.stages:
        pool = job.pool(name)
        if name == "caption" and job.by_vllm:
            photos = captioned_by_vllm(photos, job, of_tryoff(options), gpus=_gpus(job, name), ledger=ledger)
            continue
        photos = photos.map_batches(
            ACTORS[name],
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=pool.least, max_size=max(pool.least, pool.most)),
            num_cpus=pool.cpus,
            num_gpus=_gpus(job, name),
            fn_constructor_args=(job, options if name == "finish" else replace(options, finish=None), ledger),
        )
    return photos
