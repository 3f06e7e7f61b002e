"""Pictures as people have them: opening any file upright, fitting it to a size, writing, panels."""

from temu_vtoff.pictures.fitting import RESIZE_MODES, fit_picture
from temu_vtoff.pictures.folders import PICTURE_SUFFIXES, find_pictures, list_pictures, unique_stems
from temu_vtoff.pictures.opening import open_mask, open_picture
from temu_vtoff.pictures.panels import panel
from temu_vtoff.pictures.wholeness import is_whole_picture
from temu_vtoff.pictures.writing import save_picture

__all__ = [
    "PICTURE_SUFFIXES",
    "RESIZE_MODES",
    "find_pictures",
    "fit_picture",
    "is_whole_picture",
    "list_pictures",
    "open_mask",
    "open_picture",
    "panel",
    "save_picture",
    "unique_stems",
]
