"""A caller's mistake, told so that every front end can name the argument in its own way."""

from collections.abc import Callable


class ArgumentError(ValueError):
    """What is wrong with one or several arguments, as one sentence.

    The sentence holds each argument's name in braces: "{device} is 'toaster'; give cpu, cuda, cuda:1 or mps." A
    notebook reads `device`, a shell `--device`, a web page its label.

    Args:
        sentence: With "{name}" for each of the arguments; other braces stay as they are.
        arguments: Names of the library's arguments that the sentence is about, the most important one first.
    """

    def __init__(self, sentence: str, *arguments: str) -> None:
        super().__init__(sentence, *arguments)
        self.sentence, self.arguments = sentence, arguments

    @property
    def argument(self) -> str | None:
        """The name of the argument that is wrong, or None where it is none in particular."""
        return self.arguments[0] if self.arguments else None

    def phrase(self, name: Callable[[str], str] = str) -> str:
        """The sentence, with `name` applied to the arguments' names."""
        sentence = self.sentence
        for argument in self.arguments:
            sentence = sentence.replace(f"{{{argument}}}", name(argument))
        return sentence

    def __str__(self) -> str:
        return self.phrase()


class ResultWarning(UserWarning):
    """A result is not quite what was asked for: another label, another model. For calls that return plain pictures."""
