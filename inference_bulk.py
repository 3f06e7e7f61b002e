"""Millions of photos from storage to storage, by actors on a Ray cluster or on this machine; see docs/scale.md.

    python inference_bulk.py --input photos/ --output outputs/bulk
    python inference_bulk.py --input s3://bucket/shards/ --output s3://bucket/garments/ --address auto \\
        --output_kind webdataset --category all --actors caption=2 try_off=8 --gpus caption=0.5 try_off=1 \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF
    python inference_bulk.py --input catalogue.parquet --id_column sku --photo_column url --output outputs/bulk \\
        --stages segment caption try_off finish --background white --caption_server http://localhost:8000/v1

    python inference_bulk.py --input pairs.parquet --output outputs/worn --stages segment try_on \\
        --tryon_model BoyuanJiang/FitDiT

Needs Ray: pip install "ray[data]" webdataset. Writes OUTPUT/data/*.parquet, one row for each garment with its error if
it has one. After a kill of the driver or of a worker, the same command finishes the rest, each photo exactly once.
"""

import argparse
import math
import signal
import time
from dataclasses import asdict, replace

import command_line
from temu_vtoff.builtin import NOTICE
from temu_vtoff.bulk import CAPTION_ENGINES, INPUT_KINDS, OUTPUT_KINDS, STAGES
from temu_vtoff.bulk.job import BulkJob, Pool, default_gpus
from temu_vtoff.datasets import ORDERS, PHASES
from temu_vtoff.errors import ArgumentError
from temu_vtoff.runs.record import run_record
from temu_vtoff.segmentation.categories import ALL, CATEGORIES
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryon_options import TryOnOptions

SHOWN = 5  # failures
EXTRA = 'Ray is not installed: pip install "ray[data]" webdataset.'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group(
        "photos and results", "folders, or addresses such as s3://bucket/photos"
    ).add_argument
    add("--input", required=True, help="photos, Parquet files, WebDataset shards, or the root of a dataset")
    add("--input_kind", choices=INPUT_KINDS, help="default: as the files' names say; datasets must be named")
    add("--output", required=True, help="folder of the results; the same one again resumes")
    add("--output_kind", default=BulkJob.output_kind, choices=OUTPUT_KINDS, help="where the pictures are written")
    add("--id_column", default=BulkJob.id_column, help="of Parquet files: the photo's unique name")
    add("--photo_column", default=BulkJob.photo_column, help="of Parquet files: the photo's bytes, path or URL")
    add("--category_column", default=BulkJob.category_column, help="of Parquet files: the garment's category, if any")
    add("--phase", default=BulkJob.phase, choices=PHASES, help="split of a dataset")
    add = parser.add_argument_group("work").add_argument
    add("--stages", nargs="+", default=list(BulkJob.stages), choices=STAGES, help="what is done, in this order")
    add(
        "--category",
        default=BulkJob.category,
        choices=(*CATEGORIES, ALL),
        help="of photos that name none themselves; shoes and smaller things only with another --backend",
    )
    add("--seed", type=int, default=BulkJob.seed, help="random seed")
    add("--batch_size", type=command_line.positive, default=4, help="photos that go through a model at once")
    add("--no_score", action="store_true", help="leave out the quality of the product pictures")
    add("--caption_engine", default=BulkJob.caption_engine, choices=CAPTION_ENGINES, help="vllm needs ray[llm]")
    add("--caption_server", metavar="URL", help="caption by an OpenAI-compatible server, http://localhost:8000/v1")
    _add_cluster_flags(parser)
    _add_garment_flags(parser)
    command_line.add_tryon_flags(parser)
    command_line.add_finishing_flags(parser)
    command_line.add_option_flags(parser)
    return parser.parse_args(argv)


def _add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("cluster", "of a stage, as STAGE=NUMBER").add_argument
    add("--address", help='a running cluster, such as "auto" or ray://host:10001; default: this machine')
    add("--num_cpus", type=command_line.positive, help="CPUs of this machine that Ray uses; default: all")
    add("--actors", nargs="+", default=[], metavar="STAGE=N", help="actors, or STAGE=LEAST:MOST (default: 1 each)")
    add("--cpus", nargs="+", default=[], metavar="STAGE=N", help=f"CPUs of each actor (default: {Pool.cpus} each)")
    shares = " ".join(f"{stage}={share:g}" for stage, share in default_gpus(BulkJob.stages).items())
    add("--gpus", nargs="+", default=[], metavar="STAGE=N", help=f"GPUs of each actor (default, with GPUs: {shares})")
    add(
        "--rows_per_file",
        type=command_line.positive,
        default=BulkJob.rows_per_file,
        help="least photos in a file; a kill costs those of unfinished files",
    )
    add("--worker_memory", type=float, metavar="GIB", help="memory of an actor; a photo that needs more is an error")


def _add_garment_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("garments to put on", "with --stages try_on").add_argument
    what = "of Parquet files: a product picture: bytes, path or URL"
    add("--garment_column", default=BulkJob.garment_column, help=what)
    what = "of Parquet files: a photo of somebody whose garment is taken off first"
    add("--garment_from_column", default=BulkJob.garment_from_column, help=what)
    add("--order", default=BulkJob.order, choices=ORDERS, help="list of a dataset's garments")
    add("--any_garment", action="store_true", help="put on pictures, too, that look like photos of somebody")


def main(args: argparse.Namespace) -> int:
    started = time.time()
    job = make_job(args)
    options = make_options(args, job)
    try:
        from temu_vtoff.bulk.run import run_bulk, start_ray
        from temu_vtoff.bulk.storage import Storage
    except ModuleNotFoundError as error:
        if error.name not in ("ray", "pyarrow", "webdataset"):
            raise
        raise ValueError(EXTRA) from error

    if options.sources.is_builtin:
        command_line.say(NOTICE)
    command_line.quiet_libraries()
    start_ray(job, args.address, args.num_cpus)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of which Ray makes a stack on the screen
    counts, costs = run_bulk(job, options)
    for name, error in list(counts.failures.items())[:SHOWN]:
        command_line.say(f"{name}: {error}")
    if len(counts.failures) > SHOWN:
        command_line.say(f"... and {len(counts.failures) - SHOWN} more; the column error has them all.")
    if counts.repeated:
        command_line.say(
            f"warning: {len(counts.repeated)} names stand twice in the input, such as {counts.repeated[0]}"
        )
    stages = {name: asdict(one) for name, one in costs.items()}
    found = asdict(counts) | {"failures": len(counts.failures)}
    facts = {"models": asdict(options.sources), "stages": stages, "found": found}
    Storage.at(args.output, "output").write_bytes("run.json", run_record(vars(args), started, **facts).encode())
    print(
        f"{args.output}: {counts.photos} photos, {counts.garments} garments, {counts.pictures} pictures, "
        f"{len(counts.failures)} failed"
    )
    return 1 if counts.failures else 0


def make_job(args: argparse.Namespace) -> BulkJob:
    """The job of the flags.

    Raises:
        ArgumentError: A value out of range.
    """
    pools: dict[str, Pool] = {}
    for argument in ("actors", "cpus", "gpus"):
        for text in getattr(args, argument):
            stage, equals, value = text.partition("=")
            try:
                are_actors = argument == "actors"  # whole numbers, of which two are a range
                numbers = [(int if are_actors else float)(number) for number in value.split(":")]
                if stage not in STAGES or not equals or len(numbers) > 1 + are_actors or numbers != sorted(numbers):
                    raise ValueError
                if numbers[0] < are_actors or not math.isfinite(numbers[0]):
                    raise ValueError
            except ValueError:
                raise ArgumentError(
                    f"{{{argument}}} is {text!r}; give STAGE=NUMBER, such as try_off=1.", argument
                ) from None
            pool = pools.get(stage, Pool())
            if argument == "actors":
                pools[stage] = replace(pool, least=numbers[0], most=numbers[-1])
            else:
                pools[stage] = replace(pool, **{argument: numbers[0]})
    others = {"pools": pools, "paste": not args.no_paste, "score": not args.no_score}
    return BulkJob(
        **{name: getattr(args, name) for name in BulkJob.__dataclass_fields__ if name not in others}, **others
    )


def make_options(args: argparse.Namespace, job: BulkJob) -> Options:
    """The models of the flags, and how they run.

    Raises:
        ArgumentError: A value out of range, or a try-on model without its stage.
    """
    if args.tryon_model is not None and not job.dresses:
        raise ArgumentError("{tryon} is for {stages} try_on.", "tryon", "stages")
    return command_line.options(args, TryOnOptions if job.dresses else Options)


if __name__ == "__main__":
    command_line.run(main, parse_args())
