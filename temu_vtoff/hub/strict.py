"""Strict loading: a checkpoint must hold exactly the weights of its model."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from temu_vtoff.hub.errors import CheckpointError, explain_loading


class StrictLoadingMixin:
    """Mixed in before diffusers' `ModelMixin`: a checkpoint must hold exactly the model's weights.

    `unneeded_checkpoint_keys` lists the patterns of what a checkpoint may hold besides; those are not loaded.
    """

    unneeded_checkpoint_keys: tuple[str, ...] = ()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any):
        """As `ModelMixin.from_pretrained`, but strict.

        Raises:
            CheckpointError: The checkpoint can't be had, or has missing, surplus or wrongly shaped weights.
        """
        from diffusers.utils import logging

        what = f"the {cls.__name__}"
        wants_info = kwargs.pop("output_loading_info", False)
        logger = logging.get_logger("diffusers.models.modeling_utils")
        level = logger.level
        logger.setLevel(logging.ERROR)  # what it warns of, weights missing or left over, is an error or expected here
        try:
            with explain_loading(pretrained_model_name_or_path, what):
                model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
        finally:
            logger.setLevel(level)

        unneeded = re.compile("|".join(model.unneeded_checkpoint_keys) or r"(?!)")
        surplus = [key for key in info["unexpected_keys"] if not unneeded.match(key)]
        check_weights(info["missing_keys"], surplus, what, pretrained_model_name_or_path)
        return (model, info) if wants_info else model


def check_weights(missing: Iterable[str], surplus: Iterable[str], what: str, where: str | Path) -> None:
    """
    Raises:
        CheckpointError: There are missing or surplus weights.
    """
    for keys, problem in ((sorted(missing), "lacks"), (sorted(surplus), "has unknown")):
        if keys:
            some = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
            raise CheckpointError(
                f"{what} can't be loaded from {where}: the checkpoint {problem} {len(keys)} weights ({some}); is it "
                "the right folder, and complete?"
            )
