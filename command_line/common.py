"""What the scripts share: flags, errors as one sentence, and what is shown while they run."""

import argparse
import errno
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

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
    root = Path(__file__).parent.parent
    return str(value.relative_to(root) if isinstance(value, Path) and value.is_relative_to(root) else value)


def parser(description: str) -> argparse.ArgumentParser:
    """An argument parser whose help shows the script's docstring as written, and defaults."""
    made = argparse.ArgumentParser(description=description, formatter_class=_HelpFormatter)
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    return made


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
