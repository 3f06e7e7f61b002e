"""Errors of loading a model from the hub or a folder, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from temu_vtoff.errors import ArgumentError, CommonCauseError, is_out_of_memory


class CheckpointError(CommonCauseError):
    """A model could not be loaded; the message names the model, the cause and the remedy."""


class HubUnreachableError(CheckpointError):
    """The model is not on this machine, and the hub can't be reached."""


class _Cause(NamedTuple):
    """A kind of failure, recognised by any of these features in any error of the chain."""

    sentence: str  # {what}: the component; {name}: its id or folder; {hint}: the argument; {error}: library's message
    kinds: tuple[type[Exception], ...] = ()
    names: tuple[str, ...] = ()  # names of exception classes whose import would import a network library
    statuses: tuple[int, ...] = ()  # HTTP statuses
    phrases: tuple[str, ...] = ()  # parts of the message, for failures without an exception class
    error: type[CheckpointError] = CheckpointError

    def explains(self, error: BaseException) -> bool:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return (
            isinstance(error, self.kinds)
            or not {kind.__name__ for kind in type(error).__mro__}.isdisjoint(self.names)
            or status in self.statuses
            or any(phrase in str(error) for phrase in self.phrases)
        )


_GATED = (
    "{what} {name} is gated or private{hint}: accept its licence on its hub page and log in with `hf auth login` or "
    "set HF_TOKEN; a fine-grained token also needs the permission to read gated repositories."
)
_CAUSES = (  # the first cause that explains an error of the chain counts
    _Cause(_GATED, kinds=(GatedRepoError,)),
    _Cause("{what} {name} has no such revision{hint}.", kinds=(RevisionNotFoundError,)),
    _Cause(
        "{what} {name} is neither a folder here nor a public model on the hub{hint}: check the spelling; for a private "
        "model log in with `hf auth login` or set HF_TOKEN.",
        kinds=(RepositoryNotFoundError,),
    ),
    _Cause(_GATED, statuses=(401, 403)),
    _Cause(
        "{what} {name} is neither a folder here nor in the local cache, and the hub can't be reached{hint}: check the "
        "network (or HF_HUB_OFFLINE), or give a folder that holds it.",
        kinds=(LocalEntryNotFoundError, OfflineModeIsEnabled),
        names=("ConnectionError", "ConnectError", "Timeout", "TransportError", "ProxyError", "gaierror"),
        phrases=("couldn't connect to", "outgoing traffic has been disabled"),
        error=HubUnreachableError,
    ),
    _Cause("{what}: there is no folder {name}, and it is no hub id{hint}.", kinds=(HFValidationError,)),
    _Cause("{what} {name}: the hub answered {error}{hint}.", kinds=(HfHubHTTPError,)),
    _Cause("{what} can't be loaded from {name}{hint}: {error}", kinds=(Exception,)),
)
_LONGEST_LINE = 300  # characters of a library's message
_LIBRARIES = {"accelerate", "diffusers", "huggingface_hub", "safetensors", "tokenizers", "torch", "transformers"}


@contextmanager
def explain_loading(name_or_path: str | Path, what: str, argument: str | None = None) -> Iterator[None]:
    """Turns the errors that libraries raise while they load a checkpoint into `CheckpointError`s of one sentence.

    Errors raised by this library and out-of-memory errors pass unchanged.

    Args:
        name_or_path: Hub id or folder that the user gave.
        what: Name of the component in the message: "the segmenter", "the base model".
        argument: Name, in the message, of the argument that chose it.
    """
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        chain = list(_chain(error))
        if not any(map(_is_from_a_library, chain)) or any(map(is_out_of_memory, chain)):
            raise
        cause = next(cause for cause in _CAUSES if any(map(cause.explains, chain)))
        hint = f" (argument {{{argument}}})" if argument else ""
        sentence = cause.sentence.format(what=what, name=name_or_path, hint=hint, error=_one_line(error))
        raise cause.error(sentence, *[argument] * bool(argument)) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_from_a_library(error: BaseException) -> bool:
    """Whether the error came out of a loading library; otherwise the mistake is ours."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
            return True
        traceback = traceback.tb_next
    return False


def _one_line(error: BaseException) -> str:
    """The message on one line; programming errors, whose messages are terse, are given with their class."""
    plain = isinstance(error, (OSError, RuntimeError, ValueError))
    line = " ".join((str(error) if plain else f"{type(error).__name__}: {error}").split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
