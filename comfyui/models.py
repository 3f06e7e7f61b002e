"""The loaded models that go from node to node: one wire of the type TEMU_VTOFF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io

from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.builtin import NOTICE
from temu_vtoff.errors import ArgumentError
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryon_options import TryOnOptions

from .memory import HeldModels

if TYPE_CHECKING:
    from temu_vtoff.stages.toolkit import Toolkit
    from temu_vtoff.stages.tryoff import TryOff
    from temu_vtoff.stages.tryon import TryOn

ModelsType = io.Custom("TEMU_VTOFF")


class Models:
    """The models of a "Load TEMU-VTOFF" node; each is loaded by the first node that needs it.

    Args:
        options: Of try-off.
        tryon: The try-on model; None for the built-in one beside the built-in try-off model, else for none.
        keep_loaded: Keep the models for the next node and the next run. ComfyUI may still ask for their memory.
    """

    def __init__(self, options: Options, tryon: str | None, keep_loaded: bool) -> None:
        self.options, self.tryon, self.keep_loaded = options, tryon, keep_loaded
        self._toolkits: dict[str, Toolkit] = {}
        self.held = HeldModels(self._bytes, self.release)

    @property
    def note(self) -> str | None:
        """What is to be said about every picture."""
        return NOTICE if self.options.sources.is_builtin else None

    @property
    def has_previews(self) -> bool:
        """Whether the pipelines show the picture after each step; image-editing models don't."""
        return self.options.backend not in EDITORS

    def try_off(self) -> TryOff:
        """The stages of try-off."""
        from temu_vtoff.stages.tryoff import TryOff  # imports diffusers and transformers, which takes seconds

        return self._toolkit("try off", lambda: TryOff(self.options, keep_loaded=self.keep_loaded))

    def try_on(self) -> TryOn:
        """The stages of try-on.

        Raises:
            ArgumentError: There is no try-on model.
        """
        from temu_vtoff.stages.tryon import TryOn

        return self._toolkit("try on", lambda: TryOn(self.tryon_options(), keep_loaded=self.keep_loaded))

    def tryon_options(self) -> TryOnOptions:
        """
        Raises:
            ArgumentError: There is no try-on model.
        """
        is_editor = self.options.backend in EDITORS
        if self.tryon is None and not is_editor and not self.options.sources.is_builtin:
            raise ArgumentError("{tryon} is missing: name a try-on model in Load TEMU-VTOFF.", "tryon")
        given = {field.name: getattr(self.options, field.name) for field in fields(Options)}
        return TryOnOptions(**given, tryon=None if is_editor else self.tryon)

    @contextmanager
    def at_work(self, toolkit: Toolkit, *names: str) -> Iterator[None]:
        """While a node works: room for the models that it has to load, and afterwards ComfyUI knows them."""
        if any(name not in toolkit.loaded for name in names):
            self.held.make_room()
        try:
            yield
        finally:
            self.held.report()

    def release(self) -> None:
        """Frees all models."""
        for toolkit in self._toolkits.values():
            toolkit.release()

    def _bytes(self, device: torch.device | None) -> int:
        return sum(toolkit.loaded_bytes(device) for toolkit in self._toolkits.values())

    def _toolkit(self, name: str, make: Callable[[], Toolkit]) -> Toolkit:
        if name not in self._toolkits:
            self._toolkits[name] = make()
        return self._toolkits[name]
