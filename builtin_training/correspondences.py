"""Where in the photo each place of the product picture is seen: known for drawn people only, to supervise attention.

A file holds an array of two numbers for each cell of an even grid over the product picture: x and y as shares of the
photo's width and height, in [0, 1], NaN where the photo doesn't show that place of the garment.
"""

from pathlib import Path

import numpy as np

from temu_vtoff.datasets.sample import Item


def correspondence_path(folder: str | Path, item: Item) -> Path:
    """The path of an item's file."""
    return Path(folder) / item.category / f"{item.id}.npy"


def open_correspondence(path: Path) -> np.ndarray:
    """float32 (rows, columns, 2).

    Raises:
        FileNotFoundError: No such file.
        ValueError: Unreadable, or not such an array.
    """
    try:
        coords = np.load(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There are no correspondences {path}; python -m drawn_people --correspondences writes them."
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"The correspondences {path} can't be read: {error}.") from error
    if not isinstance(coords, np.ndarray) or coords.ndim != 3 or coords.shape[2] != 2 or coords.dtype.kind != "f":
        raise ValueError(f"{path} holds no correspondences: expected floats, (rows, columns, 2).")
    return coords.astype(np.float32)
