"""The losses of the built-in transformers: the library's, optionally with a regression of the garment and supervised
attention."""

from __future__ import annotations

import torch

from builtin_training.correspondence_loss import CorrespondenceLoss
from builtin_training.garment_regressor import GarmentRegressor
from builtin_training.pairs import EncodedDrawnBatch
from temu_vtoff.training.objectives import GeneratorObjective


class BuiltinObjective(GeneratorObjective):
    """`GeneratorObjective` with further losses.

    Args:
        base: Provides the transformers, the flow matching and the aligner.
        regressor: Supervises the extractor's tokens; None turns this loss off.
        regress_weight: Weight of the regressor's loss.
        correspondence: Supervises the generator's attention; None turns this loss off.
        correspondence_weight: Weight of the correspondence loss.
    """

    def __init__(
        self,
        base: GeneratorObjective,
        *,
        regressor: GarmentRegressor | None = None,
        regress_weight: float = 0.0,
        correspondence: CorrespondenceLoss | None = None,
        correspondence_weight: float = 0.0,
    ) -> None:
        super().__init__(
            base.extractor, base.generator, base.flow, aligner=base.aligner, align_weight=base.weights["align"]
        )
        self.regressor, self.correspondence = regressor, correspondence
        self.weights |= {"regress": regress_weight, "correspondence": correspondence_weight}

    def auxiliary_losses(self, batch: EncodedDrawnBatch) -> dict[str, torch.Tensor]:
        losses = super().auxiliary_losses(batch)
        if self.regressor is not None:
            losses["regress"] = self.regressor.loss(batch.garment_latents)
        if self.correspondence is not None:
            losses["correspondence"] = self.correspondence.loss(batch.coords, batch.garment_latents.shape[-2:])
        return losses
