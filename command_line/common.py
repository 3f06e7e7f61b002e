"""Help, errors as one sentence, log and progress of every script."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from temu_vtoff.errors import ArgumentError, ResultWarning, is_out_of_memory, of_file
from temu_vtoff.files import remove_empty_folders
from temu_vtoff.serving import describe

# Library argument -> flag, where the names differ.
FLAGS = {
    "out_dir": "output_dir",
    "base": "pretrained_model_name_or_path",
    "tryon": "tryon_model",
    "garment": "garment_image",
    "joints": "keypoints",
    "pose": "pose_image",
    "tryoff": "pretrained_model_name_or_path_sd3_tryoff",
    "segmenter": "segmentation_model",
    "captioner": "caption_model",
    "precision": "mixed_precision",
}
OUT_OF_MEMORY = (
    "out of memory: try --offload model (or sequential), --quantize_text_encoder 8, --vae_tiling, a smaller "
    "--width and --height, fewer pictures at once, or --mixed_precision bf16."
)
BROKEN_PIPE = 141  # exit status, as shells have it
Item = TypeVar("Item")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description and adds the defaults of the flags."""

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
    """A path below the repository relative to it, anything else unchanged."""
    root = Path(__file__).parent.parent
    return str(value.relative_to(root) if isinstance(value, Path) and value.is_relative_to(root) else value)


def parser(description: str) -> argparse.ArgumentParser:
    """An argument parser whose help shows the script's docstring as written, and defaults."""
    _accept_any_name()
    result = argparse.ArgumentParser(description=description, formatter_class=_HelpFormatter)
    result.add_argument("--debug", action="store_true", help="show tracebacks")
    return result


def run(main: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> None:
    """Runs a script's main and ends the process: status 0 or what main returns, 2 for a user's mistake.

    Args:
        main: Takes the parsed arguments; returns an exit status, or None for success.
        args: Its `debug` attribute, when true, lets the traceback through.
    """
    _accept_any_name()
    show_log()
    try:
        status = main(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads the results has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        status = BROKEN_PIPE
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
    finally:
        remove_empty_folders()  # of runs that ended before the first result
    sys.exit(status or 0)


def _accept_any_name() -> None:
    """Lets both streams show what the terminal can't, such as file names, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def explain(error: BaseException) -> str | None:
    """One sentence for an error that a user can mend, with flags as the arguments' names; None for other errors."""
    if isinstance(error, ArgumentError):
        return " ".join(error.phrase(flag).split())
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, (ValueError, OSError)) and (sentence := of_file(error) or " ".join(str(error).split())):
        return sentence
    return None


def reason(error: Exception) -> str:
    """Why an item failed, on one line, whatever the error."""
    return explain(error) or describe(error)


def naming(item: object, error: Exception) -> Exception:
    """The error of a run's only item, as an error that names the item and ends the run with one sentence."""
    if isinstance(error, ArgumentError):
        return error
    sentence = reason(error)
    named = ValueError(sentence if str(item) in sentence else f"{item}: {sentence}")
    named.__cause__ = error  # for --debug
    return named


def skipped(errors: Mapping[Path | str, Exception], items: int) -> dict[str, str]:
    """Says which items of a run failed; returns the reasons by name.

    Args:
        items: Number of items; the error of the only one ends the run.
    """
    if errors and items == 1:
        raise naming(*next(iter(errors.items())))
    reasons = {str(item): reason(error) for item, error in errors.items()}
    for item, why in reasons.items():
        say(f"skipped {item}: {why}")
    return reasons


def flag(argument: str) -> str:
    """The flag that sets one of the library's arguments."""
    return f"--{FLAGS.get(argument, argument)}"


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def quiet_libraries(*names: str) -> None:
    """Imports the named libraries and turns off their log lines and loading bars.

    Args:
        names: Of "diffusers" and "transformers"; both when left out.
    """
    for name in names or ("diffusers", "transformers"):
        library_log = import_module(f"{name}.utils.logging")
        library_log.set_verbosity_error()
        library_log.disable_progress_bar()


class _Screen(logging.Handler):
    """Shows log records as lines on standard error, each warning once."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.msg.phrase(flag) if isinstance(record.msg, ArgumentError) else record.getMessage()
        if record.levelno < logging.WARNING:
            say(message)
        elif message not in self.shown:
            self.shown.add(message)
            say(f"warning: {message}")


def show_log() -> None:
    """Shows the warnings of this library, logged or raised; those of other libraries are hidden."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", ResultWarning)
    warnings.showwarning = lambda message, *_: say(f"warning: {message}")
    log = logging.getLogger("temu_vtoff")
    if not any(isinstance(handler, _Screen) for handler in log.handlers):
        log.addHandler(_Screen())
        log.propagate = False


def say(message: str) -> None:
    """Prints a line on standard error; standard output is for results."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def say_finished(finished: int, total: int, what: str, folder: Path) -> None:
    """Says on standard error that some items were finished by an earlier run, if there are any.

    Args:
        what: The items, for example "photos".
        folder: Of the results.
    """
    if finished:
        say(f"{finished} of {total} {what} were finished before in {folder}; --overwrite makes them again.")


def progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """The items under a progress bar on standard error."""
    from tqdm import tqdm

    return tqdm(items, desc=what, file=sys.stderr, disable=None)  # None: on a terminal only
