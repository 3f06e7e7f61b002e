"""A caller's mistake, as a sentence in which every front end can name the argument in its own way."""

import math
from collections.abc import Callable, Collection, Sequence


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
    if value not in choices:
        offered = ", ".join(str(choice) for choice in choices if choice is not None)
        raise ArgumentError(f"{{{name}}} is {value!r}; choose one of {offered}.", name)


def check_least(name: str, value: float | None, least: float = 1) -> None:
    """Checks an argument that has a smallest value; None is left out.

    Raises:
        ArgumentError: It is smaller, or NaN.
    """
    if value is not None and not value >= least:
        raise ArgumentError(f"{{{name}}} is {value}; give at least {least}.", name)


def check_finite(name: str, value: float | None) -> None:
    """Checks a number; None is left out.

    Raises:
        ArgumentError: It is NaN or infinite.
    """
    if value is not None and not math.isfinite(value):
        raise ArgumentError(f"{{{name}}} is {value}; give a finite number.", name)


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
