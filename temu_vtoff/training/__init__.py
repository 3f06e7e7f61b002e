"""Training of try-off's stages and of try-on: `train` composes the pieces that a `Setup` builds.

Step k of a run is a function of (weights, optimizer state, k): data order, noise, times and dropped conditions come
from random generators seeded by the run's seed and each item's place in the stream of items. So a resumed run repeats
the uninterrupted one, two processes learn what one process with twice the batch learns, and no random state is saved.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.training.fit_transformers import Outcome, train
    from temu_vtoff.training.settings import TrainingSettings
    from temu_vtoff.training.setup import Setup
    from temu_vtoff.training.tryoff_setup import TryOffSetup
    from temu_vtoff.training.tryon_setup import TryOnSetup

__all__ = ["Outcome", "Setup", "TrainingSettings", "TryOffSetup", "TryOnSetup", "train"]

_HOMES = {
    "Outcome": "fit_transformers",
    "Setup": "setup",
    "TrainingSettings": "settings",
    "TryOffSetup": "tryoff_setup",
    "TryOnSetup": "tryon_setup",
    "train": "fit_transformers",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
