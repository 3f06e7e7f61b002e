"""Features of a dataset's items on disk: embeddings of captions by the text encoders, of photos by the image ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torchvision.transforms.functional import to_tensor

from temu_vtoff.datasets.features import EMPTY_PROMPT, ImageFeatures, TextFeatures, is_whole_feature, save_feature
from temu_vtoff.hardware.devices import choose_device, choose_dtype
from temu_vtoff.runs.stage import run_stage

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.runs.encoders import ImageEncoder, TextEncoder
    from temu_vtoff.stages.options import Options


def encode_text_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_encoder: Callable[[], TextEncoder],
    store: TextFeatures,
    *,
    captions: Mapping[str, str],
    features: Sequence[str],
    dtype: torch.dtype,
    **reading: Any,
) -> dict[Item, str]:
    """Writes the text features that are missing.

    Args:
        dataset: Dataset that loads no pictures.
        captions: Captions by item id.
        features: Names of the features, a value of `runs.encoders.ENCODERS`.
        dtype: Precision of the files.
        reading: Arguments of `run_stage`: `num_workers` and `progress`.

    Returns:
        The errors of the items that got no features.
    """
    batches = [list(batch) for batch in batches]
    without = [item for batch in batches for item in batch if item.id not in captions]
    failures = {item: f"{item.garment.name}: no caption" for item in without}

    def encode(encoder: TextEncoder, samples: Sequence[Sample]) -> list[dict[str, torch.Tensor]]:
        encoded = encoder([captions[sample.item.id] for sample in samples], features)
        return [{name: rows[number] for name, rows in encoded.items()} for number in range(len(samples))]

    def write(encoder: TextEncoder, sample: Sample, encoded: dict[str, torch.Tensor]) -> None:
        for feature, row in encoded.items():
            save_feature(_finite(row, dtype), store.path(feature, sample.item))

    return failures | run_stage(
        dataset,
        [[item for item in batch if item not in failures] for batch in batches],
        is_done=lambda item: all(is_whole_feature(store.path(feature, item)) for feature in features),
        load_model=load_encoder,
        make=encode,
        keep=write,
        **reading,
    )


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


def encode_image_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_encoder: Callable[[], ImageEncoder],
    store: ImageFeatures,
    *,
    dtype: torch.dtype,
    **reading: Any,
) -> dict[Item, str]:
    """Writes the image features that are missing.

    Args:
        dataset: Dataset that loads persons at the size of the pipeline's photos.
        dtype: Precision of the files.
        reading: Arguments of `run_stage`: `num_workers` and `progress`.

    Returns:
        The errors of the items that got no features.
    """

    def encode(encoder: ImageEncoder, samples: Sequence[Sample]) -> torch.Tensor:
        return encoder(torch.stack([to_tensor(sample.person) for sample in samples]))

    def write(encoder: ImageEncoder, sample: Sample, row: torch.Tensor) -> None:
        save_feature(_finite(row, dtype), store.path(sample.item))

    return run_stage(dataset, batches, is_done=store.has, load_model=load_encoder, make=encode, keep=write, **reading)


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
