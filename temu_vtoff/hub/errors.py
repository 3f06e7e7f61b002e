"""What can go wrong when a model is loaded from the hub or a folder, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CheckpointError(ValueError):
    """A model could not be loaded; the message says what was asked for, what is wrong and how to mend it."""


class HubUnreachableError(CheckpointError):
    """The model is not on this machine and the hub could not be asked for it."""


@contextmanager
def explain_loading(name_or_path: str | Path, what: str, flag: str | None = None) -> Iterator[None]:
    """Turns the errors that loading a checkpoint can raise into `CheckpointError`s of one sentence.

    Args:
        name_or_path: What the user asked for: a hub id or a folder.
        what: What is being loaded, for the message: "the SegFormer", "the base model".
        flag: The argument that chose it, named in the remedy.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hint = f" (argument {flag})" if flag else ""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        chain = list(_causes(error))
        status = next((s for e in chain if (s := _http_status(e)) is not None), None)

        def caused_by(*kinds: type[BaseException]) -> bool:
            return any(isinstance(e, kinds) for e in chain)

        text = " ".join(str(e) for e in chain)
        if caused_by(GatedRepoError) or status in (401, 403):
            raise CheckpointError(
                f"{what} {name_or_path} is gated or private{hint}: accept its licence on its hub page, then log in "
                "with `hf auth login` or set HF_TOKEN."
            ) from error
        if caused_by(RevisionNotFoundError):
            raise CheckpointError(f"{what} {name_or_path} has no such revision{hint}.") from error
        if caused_by(RepositoryNotFoundError):
            raise CheckpointError(
                f"{what} {name_or_path} is neither a folder here nor a model on the hub{hint}: check the spelling."
            ) from error
        if caused_by(LocalEntryNotFoundError, OfflineModeIsEnabled) or _is_network_error(chain, text):
            raise HubUnreachableError(
                f"{what} {name_or_path} is neither a folder here nor in the local cache, and the hub can't be "
                f"reached{hint}: check the network (or HF_HUB_OFFLINE), or give a folder that holds it."
            ) from error
        if caused_by(HFValidationError):
            raise CheckpointError(f"{what}: there is no folder {name_or_path}, and it is no hub id{hint}.") from error
        if caused_by(EntryNotFoundError, OSError, ValueError, RuntimeError, KeyError, TypeError) and not caused_by(
            MemoryError
        ):
            if "out of memory" in text.lower():
                raise
            raise CheckpointError(f"{what} can't be loaded from {name_or_path}{hint}: {_one_line(error)}") from error
        if caused_by(HfHubHTTPError):
            raise CheckpointError(f"{what} {name_or_path}: the hub answered {_one_line(error)}{hint}.") from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _http_status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_network_error(chain: list[BaseException], text: str) -> bool:
    names = {kind.__name__ for e in chain for kind in type(e).__mro__}
    network = {
        "ConnectionError",
        "ConnectError",
        "Timeout",
        "ConnectTimeout",
        "TransportError",
        "ProxyError",
        "gaierror",
    }
    return bool(names & network) or "couldn't connect to" in text or "outgoing traffic has been disabled" in text


def _one_line(error: BaseException, limit: int = 300) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
