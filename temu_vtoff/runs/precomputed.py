"""Product pictures of a batch of samples, from embeddings made earlier where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.runs.sharing import item_seed
from temu_vtoff.tryoff.outputs import NotFiniteError

if TYPE_CHECKING:
    from PIL import Image

    from temu_vtoff import TryOffPipeline
    from temu_vtoff.datasets import Item, Sample
    from temu_vtoff.datasets.features import ImageFeatures, TextFeatures


@dataclass(frozen=True)
class Precomputed:
    """Embeddings made earlier; the pipeline computes missing ones.

    Attributes:
        text: Embeddings of the captions.
        image: Embeddings of the photos; used for a batch if all its items have them.
    """

    text: TextFeatures | None = None
    image: ImageFeatures | None = None

    def has_caption(self, item: Item) -> bool:
        """Whether an item's caption is encoded already."""
        return self.text is not None and self.text.has(item)

    @property
    def has_empty_caption(self) -> bool:
        """Whether the empty caption, for guidance, is encoded already."""
        return self.text is not None and self.text.has_empty_prompt()

    @torch.no_grad()
    def of(self, sample: Sample, pipe: TryOffPipeline) -> dict[str, torch.Tensor]:
        """The embeddings of one sample, as arguments of the pipeline with a batch of one.

        Captions are encoded one at a time, so that the rest of the batch can't change a rounding. The text encoders
        are a hundredth of the work.

        Raises:
            ValueError: A file is damaged.
        """
        if self.has_caption(sample.item):
            embeds, pooled = self.text.load([sample.item])
        else:
            embeds, pooled = pipe.encode_captions([sample.caption])
        arguments = {"prompt_embeds": embeds.cpu(), "pooled_prompt_embeds": pooled.cpu()}
        if self.image is not None and self.image.has(sample.item):
            arguments["image_embeds"] = self.image.load([sample.item])
        return arguments

    def of_empty_caption(self, count: int) -> dict[str, torch.Tensor]:
        """The embeddings of guidance's negative branch for a batch of `count`; empty if the pipeline must encode it."""
        if not self.has_empty_caption:
            return {}
        embeds, pooled = self.text.load_empty_prompt()
        return {
            "negative_prompt_embeds": embeds.expand(count, -1, -1),
            "negative_pooled_prompt_embeds": pooled.expand(count, -1),
        }


def make_products(
    pipe: TryOffPipeline | EditingModel,
    samples: Sequence[Sample],
    *,
    precomputed: Precomputed,
    seed: int,
    **pipeline_arguments: Any,
) -> Sequence[Image.Image | Exception]:
    """One product picture for each sample, or the error of a picture that is not finite."""
    if isinstance(pipe, EditingModel):
        return [_edit(pipe, sample, item_seed(sample.item, seed), pipeline_arguments) for sample in samples]
    arguments = [precomputed.of(sample, pipe) for sample in samples]
    given = [name for name in arguments[0] if all(name in own for own in arguments)]
    try:
        return pipe(
            [sample.person for sample in samples],
            mask=[np.asarray(sample.mask) for sample in samples],  # pictures would be examined again
            generator=[torch.Generator().manual_seed(item_seed(sample.item, seed)) for sample in samples],
            **{name: torch.cat([own[name] for own in arguments]) for name in given},
            **precomputed.of_empty_caption(len(samples)),
            **pipeline_arguments,
        ).images
    except NotFiniteError as error:
        return error.each()


def _edit(editor: EditingModel, sample: Sample, seed: int, sampling: dict[str, Any]) -> Image.Image:
    """The product picture of a sample by an image-editing model; `sampling` as for the try-off pipeline."""
    return editor(
        sample.person,
        sample.mask,
        caption=sample.caption,
        category=sample.item.category,
        size=(sampling["width"], sampling["height"]),
        seed=seed,
        steps=sampling["num_inference_steps"],
        guidance=sampling["guidance_scale"],
    )
