"""A caller's mistake, as a sentence in which every front end can name the argument in its own way."""

import errno
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from numbers import Real

_FILE_REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a file stands where a folder is expected",
    errno.EISDIR: "a folder stands where a file is expected",
    errno.EEXIST: "there is already a file or folder of that name",
    errno.EACCES: "permission to read or write is denied",
    errno.EPERM: "permission to read or write is denied",
    errno.EROFS: "nothing can be written to this disk",
    errno.ENOSPC: "the disk or your share of it is full",
    errno.EDQUOT: "the disk or your share of it is full",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.ELOOP: "links lead in a circle",
    errno.EMFILE: "too many files are open at once",
    errno.ENFILE: "too many files are open at once",
    errno.EIO: "the disk can't be read or written",
}


class ArgumentError(ValueError):
    """One or several arguments are wrong; the message is one sentence.

    The sentence holds each argument's name in braces: "{device} is 'toaster'; give cpu, cuda, cuda:1 or mps." A
    notebook reads `device`, a shell `--device`, a web page its label.

    Args:
        sentence: The message, with "{name}" for each of the arguments; other braces stay as they are.
        arguments: Names of the library's arguments in the sentence, the most important one first.
    """

    def __init__(self, sentence: str, *arguments: str) -> None:
        super().__init__(sentence, *arguments)
        self.sentence, self.arguments = sentence, arguments

    @property
    def argument(self) -> str | None:
        """The name of the wrong argument, or None if the sentence is about no argument."""
        return self.arguments[0] if self.arguments else None

    def phrase(self, name: Callable[[str], str] = str) -> str:
        """The sentence, with `name` applied to the arguments' names."""
        sentence = self.sentence
        for argument in self.arguments:
            sentence = sentence.replace(f"{{{argument}}}", name(argument))
        return sentence

    def __str__(self) -> str:
        return self.phrase()


class CommonCauseError(ArgumentError):
    """Not one item's mistake: every other item of the run would meet it too, so that the run ends."""


class ResultWarning(UserWarning):
    """A result is not quite what was asked for: another label, another model. For calls that return plain pictures."""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Checks an argument that takes one of a few values.

    Args:
        name: The argument's name.
        choices: The values; None may be among them, but is not offered.

    Raises:
        ArgumentError: It has another value.
    """
    if not isinstance(value, Hashable) or value not in choices:
        offered = ", ".join(str(choice) for choice in choices if choice is not None)
        raise ArgumentError(f"{{{name}}} is {value!r}; choose one of {offered}.", name)


def check_kind(name: str, value: object, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Checks the type of an argument; None is left out.

    Args:
        name: The argument's name.
        kinds: Types; True and False are no numbers.
        wanted: What to give instead, for the message.

    Raises:
        ArgumentError: It has another type.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
        shown = repr(value) if isinstance(value, (bool, int, float, str)) else f"of type {type(value).__name__}"
        raise ArgumentError(f"{{{name}}} is {shown}; give {wanted}.", name)


def check_least(name: str, value: float | None, least: float = 1) -> None:
    """Checks an argument that has a smallest value; None is left out.

    Raises:
        ArgumentError: It is smaller, NaN, or no number.
    """
    check_kind(name, value, Real, "a number")
    if value is not None and not value >= least:
        raise ArgumentError(f"{{{name}}} is {value}; give at least {least}.", name)


def check_finite(name: str, value: float | None) -> None:
    """Checks a number; None is left out.

    Raises:
        ArgumentError: It is NaN, infinite, or no number.
    """
    check_kind(name, value, Real, "a number")
    if value is not None and not math.isfinite(value):
        raise ArgumentError(f"{{{name}}} is {value}; give a finite number.", name)


def reason_of(error: BaseException) -> str:
    """The error's text on one line, without a full stop; of a file, the operating system's reason in plain words and
    without the file's name."""
    if isinstance(error, OSError) and error.errno is not None:
        strerror = error.strerror or "the operating system gives no reason"
        return _FILE_REASONS.get(error.errno, strerror[:1].lower() + strerror[1:])
    if isinstance(error, MemoryError):
        return "the memory did not suffice"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def of_file(error: BaseException) -> str | None:
    """One sentence for an error of the operating system, with the file's name where there is one; None for others."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    return reason_of(error) + (f": {error.filename}." if error.filename else ".")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the host's or the GPU's memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether the memory of a GPU ran out."""
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def is_of_killed_reader(error: BaseException) -> bool:
    """Whether torch says, at any moment in the main process, that a process that reads for it was killed."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")


def first_few(names: Sequence[object], count: int = 3) -> str:
    """The first names of a long list, for messages: "a, b, c, …"."""
    return ", ".join(map(str, names[:count])) + (", …" if len(names) > count else "")
