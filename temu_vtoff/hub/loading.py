"""Loading a component of a model strictly: damaged files, absurd sizes and missing weights get one sentence."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from temu_vtoff import builtin
from temu_vtoff.errors import first_few
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.model_files import HeldWeights, check_model_files, local_folder

_SLACK = 4  # weights of a model for each number in its files: quantised weights are packed
_counts: dict[tuple[type, str], int] = {}  # weights by class and configuration: stages load the same models repeatedly


def load_transformers_model(
    cls: type,
    name_or_path: str | Path,
    what: str,
    *,
    part: str | None = None,
    subfolder: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    cuda_dtype: torch.dtype = torch.float16,
    argument: str | None = None,
    **options: Any,
) -> Any:
    """A transformers model, in evaluation mode.

    Args:
        cls: Class of the model, a `PreTrainedModel`.
        what: Name of the component in messages: "the segmenter".
        part: Part of the built-in model, when `name_or_path` may be "builtin".
        device: Device of the model; by default it stays on the CPU.
        dtype: Precision; by default `cuda_dtype` on a CUDA device and float32 elsewhere.
        argument: Name, in messages, of the argument that chose the model.
        options: Arguments of `from_pretrained`: revision, variant, quantization_config and so on.

    Raises:
        HubUnreachableError: The model is not on this machine and the hub does not answer.
        CheckpointError: It can't be loaded, or lacks weights.
    """
    where = str(name_or_path) if part is None else builtin.resolve(name_or_path, part)
    if dtype is None:
        dtype = cuda_dtype if device is not None and torch.device(device).type == "cuda" else torch.float32
    place = _place(subfolder) | options
    shown = shown_place(name_or_path, subfolder)
    with explain_loading(shown, what, argument):
        held = check_component(where, what, needs=("config.json",), **place)
        if held is not None:
            _check_type(cls, where, what, **_where(place))
            without_weights = {name: it for name, it in place.items() if name not in ("variant", "quantization_config")}
            config = cls.config_class.from_pretrained(where, **without_weights)
            _check_size(lambda: cls(config), held, kind=(cls, str(config)), what=what, where=shown)
        model, info = cls.from_pretrained(
            where, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **place
        )
    check_weights(info["missing_keys"], (), what, shown, mismatched=info["mismatched_keys"])
    return (model if device is None else model.to(device)).eval()


def load_diffusers_model(
    cls: type,
    name_or_path: str | Path,
    what: str,
    *,
    subfolder: str | None = None,
    argument: str | None = None,
    load: Callable[..., Any] | None = None,
    **options: Any,
) -> tuple[Any, dict[str, Any]]:
    """A diffusers model with all its weights, and its loading info.

    Args:
        cls: Class of the model, a `ModelMixin`.
        what: Name of the component in messages.
        argument: Name, in messages, of the argument that chose the model.
        load: Loads the model; by default the class's `from_pretrained`.
        options: Arguments of `from_pretrained`.

    Raises:
        CheckpointError: It can't be loaded, or lacks weights.
    """
    place = _place(subfolder) | options
    shown = shown_place(name_or_path, subfolder)
    # The logger warns of missing and unknown weights, which are errors or expected here.
    with quiet("diffusers.models.modeling_utils", logging.ERROR), explain_loading(shown, what, argument):
        held = check_component(name_or_path, what, needs=("config.json",), **place)
        if held is not None:
            config = cls.load_config(name_or_path, **_where(place))
            _check_size(lambda: cls.from_config(config), held, kind=(cls, str(config)), what=what, where=shown)
        load = cls.from_pretrained if load is None else load
        model, info = load(name_or_path, output_loading_info=True, **place)
    check_weights(info["missing_keys"], (), what, shown)
    return model, info


def load_processor(
    cls: type,
    name_or_path: str | Path,
    what: str,
    *,
    needs: Sequence[str],
    trial: Callable[[Any], str | None],
    part: str | None = None,
    subfolder: str | None = None,
    argument: str | None = None,
    **options: Any,
) -> Any:
    """A tokenizer, image processor or scheduler: a component with a configuration, but without weights.

    Args:
        cls: Class of the component, with a `from_pretrained`.
        what: Name of the component in messages.
        needs: Names of files; at least one of them must exist.
        trial: Uses the component once and returns what is wrong with it, or None. Its errors are the checkpoint's.
        part: Part of the built-in model, when `name_or_path` may be "builtin".
        argument: Name, in messages, of the argument that chose the model.
        options: Arguments of `from_pretrained`.

    Raises:
        CheckpointError: It can't be loaded, or does not work.
    """
    where = str(name_or_path) if part is None else builtin.resolve(name_or_path, part)
    place = _place(subfolder) | options
    with explain_loading(shown_place(name_or_path, subfolder), what, argument):
        check_component(where, what, needs=needs, **place)
        loaded = cls.from_pretrained(where, **place)
        problem = trial(loaded)
    if problem is not None:
        raise CheckpointError(f"{what} can't be loaded from {shown_place(name_or_path, subfolder)}: {problem}.")
    return loaded


def try_tokenizer(tokenizer: Any) -> str | None:
    """A trial for `load_processor`: tokenizes a text as the pipeline does."""
    tokens = tokenizer("a shirt", padding="max_length", max_length=8, truncation=True)["input_ids"]
    if set(tokens) <= set(tokenizer.all_special_ids):
        return "it knows no words: its vocabulary is missing"
    return None


def check_component(
    name_or_path: str | Path,
    what: str,
    *,
    needs: Sequence[str],
    subfolder: str | None = None,
    variant: str | None = None,
    **options: Any,
) -> HeldWeights | None:
    """Calls `check_model_files` if the component's files are on this machine already."""
    folder = local_folder(name_or_path, subfolder, **options)
    if folder is None:
        return None
    return check_model_files(folder, what, needs, variant, complete=Path(name_or_path).is_dir())


def check_weights(
    missing: Sequence[str], surplus: Sequence[str], what: str, where: str | Path, mismatched: Sequence[Any] = ()
) -> None:
    """Checks that the checkpoint holds exactly the model's weights.

    Args:
        missing: Names of weights that the model has and the checkpoint lacks.
        surplus: Names of weights that the checkpoint has and the model lacks.
        mismatched: Weights that differ in shape: names, or tuples that begin with the name.

    Raises:
        CheckpointError: It does not.
    """
    wrong = {name if isinstance(name, str) else name[0] for name in mismatched}
    for keys, problem in (
        (wrong, "has {} weights whose shapes don't match its configuration"),
        (missing, "lacks {} weights"),
        (surplus, "has unknown {} weights"),
    ):
        if keys:
            raise CheckpointError(
                f"{what} can't be loaded from {where}: the checkpoint {problem.format(len(keys))} "
                f"({first_few(sorted(keys))}); is it the right folder, and complete?"
            )


def _check_type(cls: type, where: str, what: str, **place: Any) -> None:
    """Refuses other architectures, which transformers would load with a warning only."""
    found = cls.config_class.get_config_dict(where, **place)[0].get("model_type")
    wanted = cls.config_class.model_type
    if found is None or (isinstance(found, str) and found and wanted.startswith(found)):  # clip_text_model: also clip
        return
    shown = shown_place(where, place.get("subfolder"))
    raise CheckpointError(f"{what} can't be loaded: the model in {shown} is a {found}, not a {wanted}.")


def _check_size(
    build: Callable[[], torch.nn.Module], held: HeldWeights, *, kind: tuple[type, str], what: str, where: str
) -> None:
    """Builds the model on the meta device, to check that the files hold enough weights for its configuration.

    Args:
        kind: Class and configuration; a model of the same kind is built once in a process.
    """
    if kind not in _counts:
        with torch.device("meta"):
            _counts[kind] = sum(parameter.numel() for parameter in build().parameters())
    count = _counts[kind]
    if count > _SLACK * held.elements:
        raise CheckpointError(
            f"{what} can't be loaded from {where}: its configuration describes {count:,} weights, but the files hold "
            f"{held.elements:,}; is it the right folder, and complete?"
        )


@contextmanager
def quiet(name: str, level: int = logging.CRITICAL) -> Iterator[None]:
    """While the block runs, a library's logger shows nothing below a level."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def shown_place(name_or_path: str | Path, subfolder: str | None) -> str:
    """Location of a component, for messages."""
    return str(name_or_path) if subfolder is None else f"{name_or_path}/{subfolder}"


def _place(subfolder: str | None) -> dict[str, str]:
    return {} if subfolder is None else {"subfolder": subfolder}


def _where(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `from_pretrained`'s arguments that say where the files are."""
    return {name: options[name] for name in ("subfolder", "revision", "cache_dir") if name in options}
