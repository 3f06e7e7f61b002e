"""Runs the metrics over matched pictures. Every picture is read and resized once, by the same rule for all metrics.

The rule: upright, RGB, then `fit_picture` to the evaluation's width and height, predictions and truths alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_tensor

from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.metrics import CLIP_MODEL, DINO_MODEL, METRICS
from temu_vtoff.metrics.backbones import BackboneUnavailableError
from temu_vtoff.metrics.clip_i import load_clip
from temu_vtoff.metrics.color_error import color_error
from temu_vtoff.metrics.dino import load_dino
from temu_vtoff.metrics.dists import dists, load_dists_network
from temu_vtoff.metrics.fid import fid
from temu_vtoff.metrics.inception import inception_features, inception_input, load_inception
from temu_vtoff.metrics.kid import kid
from temu_vtoff.metrics.lpips import load_lpips_network, lpips
from temu_vtoff.metrics.matching import PicturePair
from temu_vtoff.metrics.ms_ssim import ms_ssim
from temu_vtoff.metrics.prints import Print, letters_right, print_correlation
from temu_vtoff.metrics.psnr import psnr
from temu_vtoff.metrics.silhouette import silhouette_iou
from temu_vtoff.metrics.ssim import ssim
from temu_vtoff.pictures import fit_picture, open_picture

logger = logging.getLogger(__name__)

PairMetric = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (B, 3, H, W) in [0, 1] twice -> (B,)
_WITHOUT_NETWORK: dict[str, PairMetric] = {
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "psnr": psnr,
    "silhouette_iou": silhouette_iou,
    "color_error": color_error,
}
_OF_PRINTS: dict[str, Callable[[Image.Image, Image.Image, Print], float]] = {
    "print_correlation": print_correlation,
    "letters_right": letters_right,
}
OVERALL = "overall"


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation.

    Attributes:
        pairs: The N pairs that were compared.
        per_item: Values of the metrics of pairs by name, (N,) each; NaN where a pair has no print to compare.
        per_set: Values of the metrics of sets, by group and name.
        skipped: By name of a metric, why it was left out.
    """

    pairs: Sequence[PicturePair]
    per_item: dict[str, np.ndarray] = field(default_factory=dict)
    per_set: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def groups(self) -> dict[str, np.ndarray]:
        """Row numbers of all pairs, then those of each category if there are several."""
        return _groups(self.pairs)

    def names(self) -> list[str]:
        """The metrics that have a number for all pairs together, in the order of `METRICS`."""
        return list(self.summary()[OVERALL])

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """By group and metric: mean, median and standard deviation over items, or the sets' value."""
        result: dict[str, dict[str, dict[str, float]]] = {}
        for group, rows in self.groups().items():
            result[group] = {}
            for name in METRICS:
                if name in self.per_item:
                    values = self.per_item[name][rows]
                    values = values[~np.isnan(values)]
                    if not len(values):
                        continue
                    with np.errstate(invalid="ignore"):  # PSNR of equal pictures is infinite
                        spread = float(values.std())
                    result[group][name] = {
                        "mean": float(values.mean()),
                        "median": float(np.median(values)),
                        "std": spread,
                    }
                elif name in self.per_set.get(group, {}):
                    result[group][name] = {"value": self.per_set[group][name]}
        return result


class Evaluator:
    """Loads the metrics' networks. A metric whose network is unavailable is left out and noted in `skipped`.

    Args:
        metrics: Names from `METRICS`.
        width: Pictures are compared at width x height.
        height: See width.
        resize_mode: For pictures of other aspect ratios: "pad" (white), "crop" or "stretch".
        device: Where the networks run.
        seed: Seed of KID's random subsets.
        clip_model: Hub id or folder for "clip_i".
        dino_model: Hub id or folder for "dino".
    """

    def __init__(
        self,
        metrics: Iterable[str],
        width: int,
        height: int,
        resize_mode: str = "pad",
        device: torch.device | str = "cpu",
        seed: int = 0,
        clip_model: str = CLIP_MODEL,
        dino_model: str = DINO_MODEL,
    ) -> None:
        self.width, self.height, self.resize_mode = width, height, resize_mode
        self.device, self.seed = torch.device(device), seed
        self.models = {"clip_i": clip_model, "dino": dino_model}
        self.skipped: dict[str, str] = {}
        wanted = [name for name in METRICS if name in set(metrics)]
        self.print_metrics = [name for name in wanted if METRICS[name].needs_print]
        pair_names = [name for name in wanted if not METRICS[name].compares_sets and name not in self.print_metrics]
        self.set_metrics = [name for name in wanted if METRICS[name].compares_sets]
        loaded = {name: self._load(name, partial(self._load_pair_metric, name)) for name in pair_names}
        self.pair_metrics: dict[str, PairMetric] = {name: m for name, m in loaded.items() if m is not None}
        self.inception = None
        if self.set_metrics:
            self.inception = self._load(self.set_metrics, partial(load_inception, self.device))

    def __call__(
        self,
        pairs: Sequence[PicturePair],
        batch_size: int = 8,
        num_workers: int = 0,
        progress: Callable[[Iterable], Iterable] = iter,
    ) -> Scores:
        """
        Args:
            pairs: At least one.
            batch_size: Pairs compared at once.
            num_workers: Processes that read pictures.
            progress: Wraps the batches; a progress bar, say.

        Raises:
            FileNotFoundError: A picture is missing.
            ValueError: A picture is unreadable.
        """
        batches = DataLoader(_Pictures(pairs, self), batch_size=batch_size, num_workers=num_workers)
        values: dict[str, list[torch.Tensor]] = {name: [] for name in (*self.pair_metrics, *self.print_metrics)}
        features: dict[str, list[np.ndarray]] = {"prediction": [], "truth": []}
        for batch in progress(batches):
            prediction, truth = batch["prediction"].to(self.device), batch["truth"].to(self.device)
            for name, metric in self.pair_metrics.items():
                values[name].append(metric(prediction, truth).double().cpu())
            for name in self.print_metrics:
                values[name].append(batch[name])
            if self.inception is not None:
                for which, found in features.items():
                    found.append(inception_features(batch[f"{which}_299"].to(self.device), self.inception))
        per_item = {name: torch.cat(found).numpy() for name, found in values.items()}
        skipped = dict(self.skipped)
        for name in self.print_metrics:
            if np.isnan(per_item[name]).all():
                del per_item[name]
                skipped[name] = "no garment's print has a known place; `python -m drawn_people --letters 1` draws some."
        per_set = {}
        if self.inception is not None:
            per_set = self._compare_sets(_groups(pairs), *(np.concatenate(found) for found in features.values()))
        return Scores(pairs, per_item, per_set, skipped)

    def _compare_sets(
        self, groups: dict[str, np.ndarray], predictions: np.ndarray, truths: np.ndarray
    ) -> dict[str, dict[str, float]]:
        distances = {"fid": fid, "kid": partial(kid, seed=self.seed)}
        return {
            group: {name: distances[name](predictions[rows], truths[rows]) for name in self.set_metrics}
            for group, rows in groups.items()
            if len(rows) >= 2
        }

    def _load(self, names: str | list[str], load: Callable) -> object | None:
        try:
            return load()
        except (BackboneUnavailableError, CheckpointError, ValueError) as error:
            for name in [names] if isinstance(names, str) else names:
                self.skipped[name] = str(error)
                logger.info("%s is skipped: %s", METRICS[name].title, error)  # callers find it in the scores
            return None

    def _load_pair_metric(self, name: str) -> PairMetric:
        least = METRICS[name].least_side
        if min(self.width, self.height) < least:
            title = METRICS[name].title
            sentence = f"{title} needs at least {least} pixels on each side; give a larger {{width}} and {{height}}."
            raise ArgumentError(sentence, "width", "height")
        if name == "lpips":
            return partial(lpips, network=load_lpips_network(self.device))
        if name == "dists":
            return partial(dists, network=load_dists_network(self.device))
        if name == "clip_i":
            return load_clip(self.models[name], self.device).similarity
        if name == "dino":
            return load_dino(self.models[name], self.device).similarity
        return _WITHOUT_NETWORK[name]


class _Pictures(Dataset):
    """Both pictures of each pair, fitted and as tensors."""

    def __init__(self, pairs: Sequence[PicturePair], evaluator: Evaluator) -> None:
        self.pairs = pairs
        self.fit = partial(fit_picture, width=evaluator.width, height=evaluator.height, mode=evaluator.resize_mode)
        self.for_inception = evaluator.inception is not None
        self.print_metrics = evaluator.print_metrics

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tensors, pair = {}, self.pairs[index]
        opened = {which: open_picture(getattr(pair, which)) for which in ("prediction", "truth")}
        for name in self.print_metrics:  # the print's place is known in the truth's own pixels
            known = pair.print is not None and (name != "letters_right" or pair.print.letters)
            value = _OF_PRINTS[name](opened["prediction"], opened["truth"], pair.print) if known else np.nan
            tensors[name] = torch.tensor(value, dtype=torch.float64)
        for which, own_size in opened.items():
            picture = self.fit(own_size)
            tensors[which] = to_tensor(picture)  # (3, H, W) in [0, 1]
            if self.for_inception:
                tensors[f"{which}_299"] = inception_input(picture)
        return tensors


def _groups(pairs: Sequence[PicturePair]) -> dict[str, np.ndarray]:
    categories = np.array([pair.category for pair in pairs])
    names = list(dict.fromkeys(categories.tolist()))
    groups = {OVERALL: np.arange(len(pairs))}
    return groups | ({name: np.flatnonzero(categories == name) for name in names} if len(names) > 1 else {})
