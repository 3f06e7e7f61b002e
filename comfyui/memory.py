"""The models in ComfyUI's memory management: it counts them as its own, and lets them go when it needs the room.

`comfy.model_management` keeps a list of loaded models and unloads them by `ModelPatcher.detach`, for another model, for
"Unload models", and when memory ran out. Ours are whole pipelines, which are not moved in parts: all of them
go, and the next node that needs one loads it again.
"""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management as model_management
import torch
from comfy.model_patcher import ModelPatcher

ALL = 1e30  # bytes; as ComfyUI's own "unload all"


class Shelf:
    """Stands for the models; ComfyUI keeps only a weak reference to it."""


class HeldModels(ModelPatcher):
    """Models as ComfyUI's memory management sees them.

    Args:
        size: Bytes of the weights, in all and on the device.
        release: Frees all of them.
    """

    def __init__(self, size: Callable[[torch.device | None], int], release: Callable[[], None]) -> None:
        self._bytes, self._release = size, release
        super().__init__(Shelf(), model_management.get_torch_device(), torch.device("cpu"))

    def make_room(self) -> None:
        """Sends ComfyUI's other models out of the device's memory."""
        if not model_management.is_device_cpu(self.load_device):
            own = [loaded for loaded in model_management.current_loaded_models if loaded.model is self]
            model_management.free_memory(ALL, self.load_device, keep_loaded=own)

    def report(self) -> None:
        """Lets ComfyUI know what is loaded."""
        if self.model_size():
            model_management.load_models_gpu([self])

    # --- what ComfyUI calls -------------------------------------------------------------------------------------

    def model_size(self) -> int:
        return self._bytes(None)

    def loaded_size(self) -> int:
        return self._bytes(self.load_device)

    def current_loaded_device(self) -> torch.device:
        return self.load_device

    def lowvram_patch_counter(self) -> int:
        return 0

    def model_dtype(self) -> torch.dtype:
        return torch.float32

    def model_patches_to(self, device: torch.device | torch.dtype) -> None:
        """There are no patches."""

    def partially_load(
        self, device_to: torch.device, extra_memory: float = 0, force_patch_weights: bool = False
    ) -> int:
        return 0

    def partially_unload(self, device_to: torch.device, memory_to_free: float = 0, **how: bool) -> int:
        return 0

    def detach(self, unpatch_all: bool = True) -> Shelf:
        if unpatch_all:
            self._release()
        return self.model

    def clone(self, *args: object, **how: object) -> HeldModels:
        return self
