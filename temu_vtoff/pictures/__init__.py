"""Pictures as people have them: opening any file upright, fitting it to a size, writing, panels."""

from temu_vtoff.pictures.fitting import RESIZE_MODES, fit_picture, same_shape, unfit_picture
from temu_vtoff.pictures.folders import find_pictures, list_photos, list_pictures, short_stem, unique_stems
from temu_vtoff.pictures.formats import PICTURE_SUFFIXES
from temu_vtoff.pictures.masks import mask_doubt, open_mask, to_mask, unfit_mask
from temu_vtoff.pictures.opening import open_as_is, open_picture, picture_size
from temu_vtoff.pictures.panels import panel
from temu_vtoff.pictures.wholeness import is_whole_picture
from temu_vtoff.pictures.writing import save_picture

__all__ = [
    "PICTURE_SUFFIXES",
    "RESIZE_MODES",
    "find_pictures",
    "fit_picture",
    "is_whole_picture",
    "list_photos",
    "list_pictures",
    "mask_doubt",
    "open_as_is",
    "open_mask",
    "open_picture",
    "panel",
    "picture_size",
    "same_shape",
    "save_picture",
    "short_stem",
    "to_mask",
    "unfit_mask",
    "unfit_picture",
    "unique_stems",
]
