"""Config files: JSON files with a script's flags by name."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from temu_vtoff.errors import reason_of

_NOT_KEYS = ("help", "debug", "config")


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--config`, which `parse_with_config` reads."""
    parser.add_argument(
        "--config",
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON files of flags by name; later files take precedence, and flags given here over all of them",
    )


def parse_with_config(parser: argparse.ArgumentParser, argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the flags of the config files, then those of `argv`. `--no-NAME` turns off a switch that a file turns on.

    A mistake in a file ends the process with status 2 and one sentence that names the file.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    switches = [action for action in parser._actions if isinstance(action, argparse._StoreTrueAction)]
    for action in switches:
        if action.dest not in _NOT_KEYS:
            name = action.option_strings[0].removeprefix("--")
            parser.add_argument(f"--no-{name}", dest=action.dest, action="store_false", help=argparse.SUPPRESS)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", nargs="+", default=[])
    given, _ = first.parse_known_args(argv)
    words: list[str] = []
    for path in given.config:
        words += _as_flags(parser, Path(path))
    return parser.parse_args(words + argv)


def refuse(sentence: str) -> NoReturn:
    """Ends the process with status 2 and a sentence, like `command_line.run`."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


def _as_flags(parser: argparse.ArgumentParser, path: Path) -> list[str]:
    """The content of a config file as flags on a command line."""
    actions = {
        name.removeprefix("--"): action
        for action in parser._actions
        for name in action.option_strings
        if action.dest not in _NOT_KEYS and not name.startswith("--no-")
    }
    words = []
    for key, value in _read(path).items():
        if key not in actions:
            near = difflib.get_close_matches(key, actions, n=1)
            refuse(f"{path} has the unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        if value is not None:
            words += _flag_words(actions[key], key, value, path)
    return words


def _flag_words(action: argparse.Action, key: str, value: Any, path: Path) -> list[str]:
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            refuse(f"{path}: {key} is {value!r}; give true or false.")
        return [f"--{key}" if value else f"--no-{key}"]
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and action.nargs is None:
        refuse(f"{path}: {key} is a list; give a single value.")
    for item in values:
        if isinstance(item, (dict, list, bool)) or not _fits(action, item):
            expected = f"choose one of {', '.join(map(str, action.choices))}" if action.choices else "see --help"
            refuse(f"{path}: {key} is {item!r}, which is not possible; {expected}.")
    if action.nargs is None:
        return [f"--{key}={values[0]}"]  # with "=", because a value may begin with a dash
    return [f"--{key}", *map(str, values)]


def _fits(action: argparse.Action, value: Any) -> bool:
    try:
        typed = action.type(str(value)) if action.type is not None else str(value)
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return False
    return action.choices is None or typed in action.choices


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        refuse(f"There is no config file {path}.")
    except (OSError, ValueError, RecursionError) as error:
        refuse(f"The config file {path} can't be read: {reason_of(error)}.")
    if not isinstance(content, dict):
        refuse(f"The config file {path} holds no flags by name; expected a JSON object.")
    return content
