"""Training of try-off's stages and of try-on, in pieces that `train.py` composes.

Step k of a run is a function of (weights, optimizer state, k): data order, noise, times and dropped conditions come
from random generators seeded by the run's seed and each item's place in the stream of items. So a resumed run repeats
the uninterrupted one, two processes learn what one process with twice the batch learns, and no random state is saved.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.training.fit_transformers import Outcome, fit
    from temu_vtoff.training.optimization import make_optimizer
    from temu_vtoff.training.processes import make_accelerator
    from temu_vtoff.training.run_folder import RunFolder
    from temu_vtoff.training.settings import TrainingSettings
    from temu_vtoff.training.setup import (
        load_data,
        load_pipeline,
        load_vision_features,
        make_objective,
        open_pairs,
        open_test,
    )

__all__ = [
    "Outcome",
    "RunFolder",
    "TrainingSettings",
    "fit",
    "load_data",
    "load_pipeline",
    "load_vision_features",
    "make_accelerator",
    "make_objective",
    "make_optimizer",
    "open_pairs",
    "open_test",
]

_HOMES = {
    "Outcome": "fit_transformers",
    "RunFolder": "run_folder",
    "TrainingSettings": "settings",
    "fit": "fit_transformers",
    "load_data": "setup",
    "load_pipeline": "setup",
    "load_vision_features": "setup",
    "make_accelerator": "processes",
    "make_objective": "setup",
    "make_optimizer": "optimization",
    "open_pairs": "setup",
    "open_test": "setup",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
