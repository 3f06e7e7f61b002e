"""DressCode and VITON-HD as torch datasets of one sample type.

The public names are imported on first use, so that a script can offer the choices below without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from temu_vtoff.errors import check_choice
from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.datasets.base import TryOffDataset
    from temu_vtoff.datasets.dresscode import DressCodeDataset
    from temu_vtoff.datasets.sample import Item, Sample, SampleBatch, stack_samples
    from temu_vtoff.datasets.vitonhd import VitonHDDataset

_CLASSES = {"dresscode": "DressCodeDataset", "vitonhd": "VitonHDDataset"}  # in the module of the dataset's name
DATASETS = tuple(_CLASSES)
PHASES = ("train", "test")
ORDERS = ("paired", "unpaired")
MASK_TYPES = ("fine", "bounding_box", "mask")
FEATURE_DTYPES = ("fp32", "fp16", "bf16")

__all__ = [
    "DressCodeDataset",
    "Item",
    "Sample",
    "SampleBatch",
    "TryOffDataset",
    "VitonHDDataset",
    "open_dataset",
    "stack_samples",
]


def open_dataset(name: str, root: str, **options: Any) -> "TryOffDataset":
    """The dataset called `name`, one of `DATASETS`; `options` as for `TryOffDataset`.

    Raises:
        ArgumentError: Unknown name.
    """
    check_choice("dataset_name", name, DATASETS)
    return getattr(import_module(f"{__name__}.{name}"), _CLASSES[name])(root, **options)


__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DressCodeDataset": "dresscode",
        "Item": "sample",
        "Sample": "sample",
        "SampleBatch": "sample",
        "TryOffDataset": "base",
        "VitonHDDataset": "vitonhd",
        "stack_samples": "sample",
    },
)
