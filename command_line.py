"""What the scripts share: flags, errors as one sentence, and what is shown while they run."""

import argparse
import errno
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

MIXED_PRECISION = ("no", "fp16", "bf16")
ATTENTION_BACKENDS = ("flash3", "flash2", "cudnn", "native", "onednn")
WARM_UP = "Compiling for speed: the first pictures take up to some minutes longer (--no-compile spares it)."
Item = TypeVar("Item")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the description's lines and adds each flag's default, where it has one worth showing."""

    def _get_help_string(self, action: argparse.Action) -> str:
        default = action.default
        if default is None or default is False or default == argparse.SUPPRESS or action.nargs == 0:
            return action.help
        if isinstance(default, (list, tuple)):
            default = " ".join(map(_short, default)) or "none"
        elif isinstance(default, Path):
            default = _short(default)
        return f"{action.help} (default: {default})".replace("%", "%%")


def _short(value: object) -> str:
    """A path below the repository as seen from there, anything else as it is."""
    root = Path(__file__).parent
    return str(value.relative_to(root) if isinstance(value, Path) and value.is_relative_to(root) else value)


def parser(description: str) -> argparse.ArgumentParser:
    """An argument parser whose help shows the script's docstring as written, and defaults."""
    made = argparse.ArgumentParser(description=description, formatter_class=_HelpFormatter)
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    return made


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Size and sampling: what `TryOffPipeline` takes."""
    from temu_vtoff.pictures import RESIZE_MODES

    add = parser.add_argument_group("sampling").add_argument
    add("--width", type=int, help="pixels, a multiple of 16; when absent the model's own: published 768, built-in 192")
    add("--height", type=int, help="likewise: published 1024, built-in 256")
    add("--resize_mode", default="pad", choices=RESIZE_MODES, help="for photos of another aspect ratio")
    add("--guidance_scale", type=float, default=2.0, help="1 or less turns guidance off")
    add("--num_inference_steps", type=positive, help="when absent the preset's own: exact 28")


def add_model_flags(parser: argparse.ArgumentParser, stages: bool = True, image_encoders: bool = True) -> None:
    """Which models to use: what `temu_vtoff.model_choice.ModelChoice.from_flags` takes.

    Args:
        stages: Whether the script segments and captions too.
        image_encoders: Whether it looks at photos by the pipeline's image encoders.
    """
    from temu_vtoff.captioning import PUBLISHED_CAPTIONER
    from temu_vtoff.segmentation import PUBLISHED_SEGMENTER

    group = parser.add_argument_group(
        "models", 'hub ids, folders or "builtin"; naming one of the two published sources fills in the other'
    )
    add = group.add_argument
    add("--pretrained_model_name_or_path", metavar="BASE", help="base model, or a whole pipeline; builtin when absent")
    add(
        "--pretrained_model_name_or_path_sd3_tryoff",
        metavar="TRYOFF",
        help="generator and feature extractor; builtin when absent",
    )
    if stages:
        beside = "when absent, the built-in one beside the built-in try-off model, else"
        add("--segmentation_model", help=f"SegFormer; {beside} {PUBLISHED_SEGMENTER}")
        add("--caption_model", help=f"Qwen2.5-VL; {beside} {PUBLISHED_CAPTIONER}")
    if image_encoders:
        own = "when absent, the pipeline's own, else"
        add("--image_encoder_large", help=f"CLIP-L vision encoder; {own} openai/clip-vit-large-patch14")
        add("--image_encoder_bigG", help=f"bigG vision encoder; {own} laion/CLIP-ViT-bigG-14-laion2B-39B-b160k")
    add("--revision", help="revision of BASE")
    add("--variant", help="variant of BASE's weights, e.g. fp16")


def add_device_flags(parser: argparse.ArgumentParser, offload: bool = True) -> None:
    """Where and in which precision models run: what `temu_vtoff.devices` takes.

    Args:
        offload: Whether the script loads the whole pipeline, which may be too much for a GPU.
    """
    group = parser.add_argument_group("device")
    add = group.add_argument
    add("--device", help="cpu, cuda, cuda:1 or mps; the best there is when absent")
    add("--mixed_precision", choices=MIXED_PRECISION, help="when absent, bf16 where it is native and faster, else no")
    if offload:
        add(
            "--offload",
            default="auto",
            choices=("auto", "none", "model", "sequential"),
            help="keep models in host memory until they are used: less GPU memory, more time; auto: as memory needs",
        )


def add_speed_flags(parser: argparse.ArgumentParser) -> None:
    """Speed and memory: what `temu_vtoff.model_choice.Means.from_flags` takes. docs/performance.md has the figures."""
    from temu_vtoff.presets import PRESETS

    add = parser.add_argument_group("speed and memory").add_argument
    add(
        "--preset", default="exact", choices=PRESETS, help="how much quality may be given for speed: none, little, more"
    )
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the transformers' blocks; when absent, for many photos only",
    )
    add("--attention_backend", choices=ATTENTION_BACKENDS, help="kernel; the fastest at hand when absent")
    add("--quantize_text_encoder", type=int, choices=(8, 4), help="bits of T5's weights: less memory")
    add("--quantize_transformers", type=int, choices=(8, 4), help="bits of both transformers' weights; 4 on a GPU only")
    add("--vae_tiling", action="store_true", help="encode and decode in tiles: less memory, faint seams")


def run(main: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> None:
    """Runs a script's main and ends the process: status 0 or what main returns, 2 for a user's mistake.

    Args:
        main: Takes the parsed arguments; returns an exit status, or None for success.
        args: Its `debug` attribute, when true, lets the traceback through.
    """
    try:
        status = main(args)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        status = 130
    except Exception as error:
        if getattr(args, "debug", False):
            raise
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        status = 2
    sys.exit(status or 0)


def explain(error: BaseException) -> str | None:
    """One sentence for an error that a user can mend, or None for one of ours."""
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return (
            "out of memory: try --offload model (or sequential), --quantize_text_encoder 8, --vae_tiling, a smaller "
            "--width and --height, fewer pictures at once, or --mixed_precision bf16."
        )
    if "DataLoader worker" in str(error):  # raised wherever the script happens to be when one dies
        return (
            "a process that reads pictures was killed, for want of memory most likely: start again with fewer "
            "--num_workers (0 reads without such processes); what is finished stays."
        )
    if isinstance(error, PermissionError):
        return f"{error.filename} can't be written or read: permission denied."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk or your share of it is full: {error.filename or 'nothing more can be written'}."
    if isinstance(error, (ValueError, FileNotFoundError, NotADirectoryError, FileExistsError)):
        return " ".join(str(error).split())
    return None


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def quiet_libraries(*names: str) -> None:
    """Leaves the screen to the script: no warnings and loading bars of the libraries named, which are imported.

    Args:
        names: Of "diffusers" and "transformers"; both when left out.
    """
    for name in names or ("diffusers", "transformers"):
        logging = import_module(f"{name}.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def say(message: str) -> None:
    """A line for the person, on standard error: standard output is for results."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """The items under a progress bar on standard error."""
    from tqdm import tqdm

    return tqdm(items, desc=what, file=sys.stderr, disable=None)  # None: on a terminal only
