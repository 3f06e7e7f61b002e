"""Flags that several scripts share, by subject; the defaults are those of `temu_vtoff.stages.Options`."""

import argparse
from collections.abc import Callable
from dataclasses import fields

from command_line.common import FLAGS, positive
from temu_vtoff.backends.registry import BACKENDS, EDITORS
from temu_vtoff.captioning.prompt import MAX_PIXELS
from temu_vtoff.errors import ArgumentError
from temu_vtoff.finishing.finish import ALIGNS, KEEP, MOST_UPSCALE, QUALITY, SUFFIXES, TRANSPARENT, WHITE, Finish
from temu_vtoff.hardware import ATTENTION_BACKENDS, OFFLOADS, PRECISIONS, QUANTIZED_BITS
from temu_vtoff.hub.sources import IMAGE_ENCODERS, PUBLISHED_CAPTIONER, PUBLISHED_SEGMENTER, PUBLISHED_TRYON
from temu_vtoff.pictures.fitting import RESIZE_MODES
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.selection import Selection
from temu_vtoff.stages.tryon_options import OFFSETS, REGIONS, TryOnOptions
from temu_vtoff.tryoff.presets import GUIDANCE_SCALE, PRESETS


def options(args: argparse.Namespace, kind: type[Options] = Options) -> Options:
    """The library's options with the values of the flags; options without a flag keep their defaults."""
    flags = {field.name: FLAGS.get(field.name, field.name) for field in fields(kind)}
    given = {name: getattr(args, dest) for name, dest in flags.items() if hasattr(args, dest)}
    if hasattr(args, "background"):
        finish = Finish(**{field.name: getattr(args, field.name) for field in fields(Finish)})
        given["finish"] = None if finish == Finish() else finish
    return kind(**given)


def selection(args: argparse.Namespace) -> Selection:
    """Which pictures of a garment are made and kept.

    Raises:
        ArgumentError: Flags that contradict each other.
    """
    if args.keep_all and args.pick is None:
        raise ArgumentError("{keep_all} is for {pick} best.", "keep_all", "pick")
    made = args.num_images * (1 + args.retries)
    if args.pick is not None and made == 1:
        raise ArgumentError("{pick} best needs a choice: give {num_images} 2 or more.", "pick", "num_images")
    keep = made if args.keep_all else 1 if args.pick is not None else args.num_images if args.retries else None
    return Selection(args.retries, args.min_quality, keep, args.check_captions)


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that choose among several pictures of a garment by their quality."""
    add = parser.add_argument_group("quality", "scores without the true picture; see docs/finishing.md").add_argument
    add("--pick", choices=("best",), help="of --num_images, keep only the best")
    add("--keep_all", action="store_true", help="with --pick: keep the others, too, the best first")
    add("--retries", type=int, default=Selection.retries, help="further tries with other seeds below --min_quality")
    add("--min_quality", type=float, help="score from 0 to 1 that is good enough")
    add("--check_captions", action="store_true", help="also compare captions of the pictures with the garment's")


def add_option_flags(parser: argparse.ArgumentParser, tryon: bool = False) -> None:
    """Adds the flags of sampling, models, device and speed, as `options` reads them.

    Args:
        tryon: Whether the script does try-on.
    """
    add_sampling_flags(parser, tryon)
    add_model_flags(parser, tryon=tryon)
    add_backend_flags(parser)
    add_device_flags(parser)
    add_speed_flags(parser)


def add_sampling_flags(parser: argparse.ArgumentParser, tryon: bool = False) -> None:
    """Adds the flags for size and sampling.

    Args:
        tryon: Whether the script does try-on, which always pads the photos.
    """
    add = parser.add_argument_group("sampling").add_argument
    own, steps = ("", 20) if tryon else (", published {}, built-in {}", 28)
    for side, published, builtin in (("width", 768, 192), ("height", 1024, 256)):
        add(
            f"--{side}",
            type=int,
            help=f"pixels, a multiple of 16; default: the model's own{own}".format(published, builtin),
        )
    if not tryon:
        add(
            "--resize_mode",
            default=Options.resize_mode,
            choices=RESIZE_MODES,
            help="how photos of another aspect ratio are fitted",
        )
    add(
        "--guidance_scale",
        type=float,
        help=f"1 or less turns guidance off; default: the model's own, {GUIDANCE_SCALE:g} for TEMU-VTOFF",
    )
    add("--num_inference_steps", type=positive, help=f"default: the preset's own, {steps} for exact")


def add_person_flag(add: Callable[..., argparse.Action], what: str = "whose garment") -> None:
    """Adds the flag that chooses among several people, to the group whose `add_argument` is given.

    Args:
        what: What the flag chooses.
    """
    add("--person", type=positive, metavar="N", help=f"{what}, from left to right; default: the largest person")


def add_model_flags(
    parser: argparse.ArgumentParser, stages: bool = True, image_encoders: bool = True, tryon: bool = False
) -> None:
    """Adds the flags that choose the models.

    Args:
        stages: Whether the script also segments and captions.
        image_encoders: Whether it uses the pipeline's image encoders.
        tryon: Whether it does try-on, whose model decides the defaults then.
    """
    group = parser.add_argument_group(
        "models", 'hub ids, folders or "builtin"; naming one of the two published sources fills in the other'
    )
    add = group.add_argument
    default = "builtin beside the built-in try-on model, else published" if tryon else "builtin"
    add("--pretrained_model_name_or_path", metavar="BASE", help=f"base model, or a whole pipeline (default: {default})")
    add(
        "--pretrained_model_name_or_path_sd3_tryoff",
        metavar="TRYOFF",
        help=f"generator and feature extractor (default: {default})",
    )
    if stages:
        beside = "default: builtin beside the built-in try-off model, else"
        add("--segmentation_model", help=f"SegFormer; {beside} {PUBLISHED_SEGMENTER}")
        add("--caption_model", help=f"image-text-to-text model; {beside} {PUBLISHED_CAPTIONER}")
    if image_encoders:
        for name, where in IMAGE_ENCODERS.items():
            add(f"--{name}", help=f"vision encoder; default: the pipeline's own, else {where}")
    add("--revision", help="revision of BASE")
    add("--variant", help="variant of BASE's weights, e.g. fp16")


def add_captioner_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that choose the captioner and its device."""
    add = parser.add_argument_group("model").add_argument
    add(
        *("--caption_model", "--model", "--pretrained_model_name_or_path"),
        metavar="MODEL",
        default=PUBLISHED_CAPTIONER,
        help='image-text-to-text model: hub id, folder or "builtin"',
    )
    add(
        "--max_pixels",
        type=positive,
        help="larger pictures are reduced to this many pixels, 28x28 for a visual token of Qwen2.5-VL; default: the "
        f"model's own bound, but at most {MAX_PIXELS}",
    )
    add(
        "--api_base",
        metavar="URL",
        help="caption by an OpenAI-compatible server that serves MODEL, for example http://localhost:8000/v1",
    )
    add("--concurrency", type=positive, default=8, help="with --api_base: simultaneous requests")
    add_device_flags(parser, offload=False)


def add_tryon_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for the try-on model, the region that it repaints, and its results."""
    add = parser.add_argument_group("try-on").add_argument
    add(
        "--tryon_model",
        help=f"try-on model; default: builtin beside the built-in try-off model, else {PUBLISHED_TRYON}",
    )
    add(
        "--region",
        choices=REGIONS,
        help="around garment and limbs, or close to them; default: tight for the built-in model, else rectangle",
    )
    for name in OFFSETS:
        side = name.removeprefix("offset_")
        add(
            f"--{name}",
            type=float,
            default=0,
            help=f"pixels by which the region's {side} side moves outwards, at 768 across",
        )
    add_pose_flag(add)
    add("--no_paste", action="store_true", help="write the generated pictures instead of pasting them into the photos")


def add_pose_flag(add: Callable[..., argparse.Action]) -> None:
    """Adds the flag for what estimates joints, to the group whose `add_argument` is given."""
    add(
        "--pose_model",
        default=TryOnOptions.pose_model,
        metavar="FOLDER",
        help="two ONNX files by which rtmlib estimates joints that no file gives; auto: downloads them; none: no pose",
    )


def add_backend_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that choose another model than TEMU-VTOFF, and adapters."""
    add = parser.add_argument_group(
        "other weights", "image-editing models; --pretrained_model_name_or_path is then a whole pipeline of theirs"
    ).add_argument
    named = ", ".join(f"{backend.base} for {name}" for name, backend in EDITORS.items())
    add(
        "--backend",
        default=Options.backend,
        choices=BACKENDS,
        help=f"what makes the product pictures; default weights: {named}",
    )
    add(
        "--lora",
        nargs="+",
        action="extend",
        default=[],
        metavar="LORA",
        help="adapters: FILE_OR_ID[:WEIGHT_NAME][@SCALE]",
    )
    add("--prompt_template", help='words for an image-editing model, with "{garment}" and "{caption}" in them')
    add("--focus", action="store_true", help="show an image-editing model only the part of the photo with the garment")


def add_device_flags(parser: argparse.ArgumentParser, offload: bool = True) -> None:
    """Adds the flags for device and precision.

    Args:
        offload: Whether to add --offload, for scripts that load the whole pipeline.
    """
    add = parser.add_argument_group("device").add_argument
    add("--device", help="cpu, cuda, cuda:1 or mps; default: the best available")
    add("--mixed_precision", choices=PRECISIONS, help="default: bf16 where the device gains by it, else no (float32)")
    if offload:
        add(
            "--offload",
            default=Options.offload,
            choices=OFFLOADS,
            help="keep models in host memory until they are used: less GPU memory, more time; auto: as memory needs",
        )


def add_speed_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for speed and memory; docs/performance.md has the figures."""
    add = parser.add_argument_group("speed and memory").add_argument
    add("--preset", default=Options.preset, choices=PRESETS, help="speed/quality trade-off")
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the transformers' blocks; default: only for many pictures",
    )
    add("--attention_backend", choices=ATTENTION_BACKENDS, help="attention kernel; default: the fastest available")
    add("--quantize_text_encoder", type=int, choices=QUANTIZED_BITS, help="bits of T5's weights: less memory")
    add(
        "--quantize_transformers",
        type=int,
        choices=QUANTIZED_BITS,
        help="bits of both transformers' weights; 4 on a GPU only",
    )
    add("--vae_tiling", action="store_true", help="encode and decode in tiles: less memory, faint seams")


def add_finishing_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for background, frame and file of the product pictures; see docs/finishing.md."""
    add = parser.add_argument_group("finishing").add_argument
    add(
        "--background",
        default=Finish.background,
        metavar="COLOUR",
        help=f"{WHITE}, {TRANSPARENT}, a colour such as #f4f4f4, or {KEEP}: the model's own",
    )
    add("--trim", action="store_true", help="cut the picture to the garment")
    add("--margin", help="room around the garment: 8%% of the picture's shorter side, or pixels; implies --trim")
    add("--canvas", metavar="WxH", help="size of the finished picture, such as 1200x1600")
    add("--align", default=Finish.align, choices=ALIGNS, help="where the garment stands on the canvas")
    add("--keep_size", action="store_true", help="the photo's own size as the canvas")
    add("--output_format", default=Finish.output_format, choices=tuple(SUFFIXES), help="format of the product pictures")
    add("--quality", type=int, help=f"of JPEG and WebP, 1 to 100; default: {QUALITY}")
    add("--upscale", type=int, default=Finish.upscale, help=f"factor, up to {MOST_UPSCALE}")
    add(
        "--upscaler", metavar="MODEL", help="diffusers or transformers model for --upscale; default: Lanczos resampling"
    )
