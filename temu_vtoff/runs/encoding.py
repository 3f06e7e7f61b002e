"""Features of a dataset's items on disk: embeddings of captions by the text encoders, of photos by the image ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torchvision.transforms.functional import to_tensor

from temu_vtoff.datasets.features import EMPTY_PROMPT, ImageFeatures, TextFeatures, is_whole_feature, save_feature
from temu_vtoff.hardware.devices import choose_device, choose_dtype
from temu_vtoff.runs.reading import naming_killed_readers, one_sentence
from temu_vtoff.runs.stage import Progress, each_batch, each_result
from temu_vtoff.serving import ErrorRow

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.runs.encoders import ImageEncoder, TextEncoder
    from temu_vtoff.stages.options import Options


@naming_killed_readers()
def encode_text_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_encoder: Callable[[], TextEncoder],
    store: TextFeatures,
    *,
    captions: Mapping[str, str],
    features: Sequence[str],
    dtype: torch.dtype,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the text features that are missing.

    Args:
        dataset: Dataset that loads no pictures.
        batches: Argument of `each_batch`, like `load_encoder` and `progress`.
        captions: Captions by item id.
        features: Names of the features, a value of `runs.encoders.ENCODERS`.
        dtype: Precision of the files.

    Returns:
        The errors of the items that got no features.
    """
    batches = [list(batch) for batch in batches]
    without = [item for batch in batches for item in batch if item.id not in captions]
    failures = {item: f"{item.garment.name}: no caption" for item in without}
    errors = ErrorRow()
    steps = each_batch(
        dataset,
        [[item for item in batch if item not in failures] for batch in batches],
        is_done=lambda item: all(is_whole_feature(store.path(feature, item)) for feature in features),
        load_model=load_encoder,
        failures=failures,
        progress=progress,
    )

    def encode(encoder: TextEncoder, samples: Sequence[Sample]) -> list[dict[str, torch.Tensor]]:
        encoded = encoder([captions[sample.item.id] for sample in samples], features)
        return [{name: rows[number] for name, rows in encoded.items()} for number in range(len(samples))]

    for encoder, samples in steps:
        for sample, encoded in each_result(partial(encode, encoder), samples, failures, errors):
            for feature, row in encoded.items():
                _save(row, store.path(feature, sample.item), dtype=dtype, item=sample.item, failures=failures)
    return failures


def encode_empty_prompt(
    load_encoder: Callable[[], TextEncoder], store: TextFeatures, features: Sequence[str], dtype: torch.dtype
) -> None:
    """Writes the features of the empty prompt, which guidance needs, if they are missing.

    Raises:
        ValueError: They overflow the encoders' precision.
    """
    paths = {feature: store.root / feature / EMPTY_PROMPT for feature in features}
    if all(map(is_whole_feature, paths.values())):
        return
    for feature, rows in load_encoder()([""], features).items():
        save_feature(_finite(rows[0], dtype), paths[feature])


@naming_killed_readers()
def encode_image_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_encoder: Callable[[], ImageEncoder],
    store: ImageFeatures,
    *,
    dtype: torch.dtype,
    num_workers: int = 0,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the image features that are missing.

    Args:
        dataset: Dataset that loads persons at the size of the pipeline's photos.
        batches: Argument of `each_batch`, like `load_encoder`, `num_workers` and `progress`.
        dtype: Precision of the files.

    Returns:
        The errors of the items that got no features.
    """
    failures: dict[Item, str] = {}
    errors = ErrorRow()
    steps = each_batch(
        dataset,
        batches,
        is_done=store.has,
        load_model=load_encoder,
        failures=failures,
        num_workers=num_workers,
        progress=progress,
    )

    @torch.no_grad()
    def encode(encoder: ImageEncoder, samples: Sequence[Sample]) -> torch.Tensor:
        return encoder(torch.stack([to_tensor(sample.person) for sample in samples]))

    for encoder, samples in steps:
        for sample, row in each_result(partial(encode, encoder), samples, failures, errors):
            _save(row, store.path(sample.item), dtype=dtype, item=sample.item, failures=failures)
    return failures


def _save(row: torch.Tensor, path: Path, dtype: torch.dtype, item: Item, failures: dict[Item, str]) -> None:
    """Writes one feature of an item; a feature that is not finite fails the item."""
    try:
        save_feature(_finite(row, dtype), path)
    except ValueError as error:
        failures[item] = one_sentence(error, item)


def _finite(row: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The feature in the precision of the file.

    Raises:
        ValueError: It overflows the encoder's precision, or the file's.
    """
    if not row.isfinite().all():
        encoded_in = str(row.dtype).removeprefix("torch.")
        raise ValueError(f"the embeddings are not finite in {encoded_in}: encode in bfloat16 or float32.")
    row = row.to(dtype)
    if not row.isfinite().all():
        raise ValueError("the embeddings are too large for files in float16: write bfloat16 or float32.")
    return row


def encoding_settings(options: Options, dtype: str, **sources: str) -> dict[str, str]:
    """The settings that features depend on, for `keep_settings`.

    Args:
        options: Options with the precision of the encoders.
        dtype: Precision of the files, by name.
        sources: Models and data that the features are made from.
    """
    encoded_in = choose_dtype(options.precision, choose_device(options.device))
    return {**sources, "encoded in": str(encoded_in), "dtype": dtype}
