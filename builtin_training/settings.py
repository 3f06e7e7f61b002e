"""The settings that the built-in transformers' training adds to train.py's; no torch here, so that `--help` is fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from temu_vtoff.errors import ArgumentError
from temu_vtoff.training.settings import SCHEDULES, TASKS, TrainingSettings, TransformerShape

OPTIMIZERS = ("adamw", "muon")
QK_NORMS = (None, "rms_norm")


def trapezoid(done: float) -> float:
    """Constant for three quarters of the steps, then linear to 0. Until it falls, a run can be lengthened."""
    return min(1.0, 4 * (1 - done))


@dataclass(frozen=True)
class BuiltinSettings(TrainingSettings):
    """A training by `builtin_training.train_transformers`; names and help as for `TrainingSettings`."""

    optimizer: str = OPTIMIZERS[0]
    patch_size: int | None = None
    qk_norm: str | None = None
    random_flip: bool = False
    regress_weight: float = 0.0
    correspondence_weight: float = 0.0
    correspondence_block: Sequence[int] = (4, 5)
    correspondence_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task != TASKS[0]:
            raise ArgumentError("{task} try_on has a script of its own: builtin_training.train_try_on.", "task")
        if self.regress_weight and self.stage != "joint":
            raise ArgumentError(
                f"{{regress_weight}} trains both transformers; it can't be combined with {{stage}} {self.stage}.",
                "regress_weight",
                "stage",
            )
        if self.correspondence_weight and self.stage == "extractor":
            raise ArgumentError(
                "{correspondence_weight} trains the generator; it can't be combined with {stage} extractor.",
                "correspondence_weight",
                "stage",
            )
        if self.correspondence_weight and self.correspondence_dir is None:
            raise ArgumentError(
                "{correspondence_weight} needs {correspondence_dir}: truth/correspondences of the folder that "
                "`python -m drawn_people --correspondences` wrote.",
                "correspondence_dir",
                "correspondence_weight",
            )
        if self.patch_size is not None and self.lora_rank is not None:
            raise ArgumentError(
                "{lora_rank} freezes the weights that another {patch_size} has to train again: give one of them.",
                "lora_rank",
                "patch_size",
            )

    @classmethod
    def choices(cls) -> dict[str, Sequence[str | None]]:
        return super().choices() | {"optimizer": OPTIMIZERS, "qk_norm": QK_NORMS}

    @classmethod
    def schedules(cls) -> Mapping[str, Callable[[float], float]]:
        return {**SCHEDULES, "trapezoid": trapezoid}

    @property
    def shape(self) -> TransformerShape:
        patch_size = TransformerShape.patch_size if self.patch_size is None else self.patch_size
        return replace(super().shape, patch_size=patch_size, qk_norm=self.qk_norm)
