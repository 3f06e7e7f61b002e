"""Nodes for ComfyUI over the stages of the library. Importing them loads neither models nor what models need."""

import importlib.util
import sys
from pathlib import Path


def _find_library() -> None:
    """Lets `temu_vtoff` be imported from this repository, without a folder on the path that hides ComfyUI's modules."""
    if "temu_vtoff" in sys.modules:
        return
    folder = Path(__file__).resolve().parent.parent / "temu_vtoff"
    spec = importlib.util.spec_from_file_location("temu_vtoff", folder / "__init__.py")
    sys.modules["temu_vtoff"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_find_library()
