"""Strict loading: a checkpoint must hold exactly the weights of its model."""

import re
from pathlib import Path
from typing import Any

from temu_vtoff.hub.loading import check_weights, load_diffusers_model, shown_place


class StrictLoadingMixin:
    """Mixed in before diffusers' `ModelMixin`: a checkpoint must hold exactly the model's weights.

    `unneeded_checkpoint_keys` lists patterns of further weights that a checkpoint may hold; they are not loaded.
    """

    unneeded_checkpoint_keys: tuple[str, ...] = ()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any):
        """Like `ModelMixin.from_pretrained`, but strict.

        Raises:
            CheckpointError: The checkpoint can't be loaded, or has missing, unknown or wrongly shaped weights.
        """
        what = f"the {cls.__name__}"
        wants_info = kwargs.pop("output_loading_info", False)
        load = super().from_pretrained
        model, info = load_diffusers_model(cls, pretrained_model_name_or_path, what, load=load, **kwargs)
        unneeded = re.compile("|".join(model.unneeded_checkpoint_keys) or r"(?!)")
        surplus = [key for key in info["unexpected_keys"] if not unneeded.match(key)]
        check_weights((), surplus, what, shown_place(pretrained_model_name_or_path, kwargs.get("subfolder")))
        return (model, info) if wants_info else model
