"""Linear heads that supervise an encoder; discarded after training.

Letters: B items, N patches, D width of the embeddings, H W picture size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from builtin_training.data import Item
from drawn_people.attributes import VOCABULARY
from temu_vtoff.segmentation.labels import ATR


class AttributeHeads(nn.Module):
    """One classifier for each attribute of each category."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                category: nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in attributes.items()})
                for category, attributes in VOCABULARY.items()
            }
        )

    def loss(self, embeddings: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Mean cross entropy over all attributes that the items (B, D) have."""
        losses = [F.cross_entropy(logits.float(), truth, reduction="none") for logits, truth in self(embeddings, items)]
        return torch.cat(losses).mean()

    def accuracy(self, embeddings: torch.Tensor, items: Sequence[Item]) -> float:
        """Share of the attributes that are right."""
        hits = [logits.argmax(dim=-1) == truth for logits, truth in self(embeddings, items)]
        return torch.cat(hits).float().mean().item()

    def forward(self, embeddings: torch.Tensor, items: Sequence[Item]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Logits and true classes of each attribute, for the items that have it."""
        answers = []
        for category, heads in self.heads.items():
            for name, head in heads.items():
                words = VOCABULARY[category][name]
                rows = [row for row, i in enumerate(items) if i.category == category and name in i.attributes]
                if rows:
                    truth = [words.index(items[row].attributes[name]) for row in rows]
                    answers.append((head(embeddings[rows]), torch.tensor(truth, device=embeddings.device)))
        return answers


class MeasureHeads(nn.Module):
    """Regressions of the numbers behind the attributes' words, which also supervise items far from the bins' edges.

    Args:
        items: Each measure is normalised by their mean and deviation.
    """

    def __init__(self, width: int, items: Sequence[Item]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict()
        for category in VOCABULARY:
            known = _measures([item for item in items if item.category == category])
            self.heads[category] = nn.Linear(width, known.shape[1])
            self.register_buffer(f"{category}_mean", known.mean(dim=0))
            self.register_buffer(f"{category}_deviation", known.std(dim=0).clamp(min=1e-6))

    def loss(self, embeddings: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """Mean smooth L1 error over all measures of the items (B, D), in deviations."""
        losses = []
        for category, head in self.heads.items():
            rows = [row for row, item in enumerate(items) if item.category == category]
            if rows:
                mean, deviation = self.get_buffer(f"{category}_mean"), self.get_buffer(f"{category}_deviation")
                truth = (_measures([items[row] for row in rows]).to(mean.device) - mean) / deviation
                losses.append(F.smooth_l1_loss(head(embeddings[rows]).float(), truth, reduction="none").flatten())
        return torch.cat(losses).mean()


def _measures(items: Sequence[Item]) -> torch.Tensor:
    """(B, measures) of items of one category."""
    return torch.tensor([list(item.measures.values()) for item in items])


class LabelHead(nn.Module):
    """Classifies the labels within each patch of a photo. Without this dense supervision a transformer learns slowly.

    Args:
        grid: Rows and columns of patches.
        cells: Each patch predicts the labels at cells x cells points within it.
    """

    def __init__(self, width: int, grid: tuple[int, int], cells: int = 4) -> None:
        super().__init__()
        self.grid, self.cells = grid, cells
        self.classify = nn.Linear(width, cells * cells * len(ATR))

    def loss(self, patches: torch.Tensor, label_maps: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy, for patches (B, N, D), row by row, and label maps (B, H, W) uint8."""
        (rows, columns), cells = self.grid, self.cells
        points = (rows * cells, columns * cells)
        truth = F.interpolate(label_maps[:, None].float(), points, mode="nearest-exact")  # (B, 1, rows c, columns c)
        truth = truth.view(-1, rows, cells, columns, cells).transpose(2, 3).flatten().long()  # (B N c c,)
        logits = self.classify(patches).view(-1, len(ATR)).float()  # (B N c c, labels)
        return F.cross_entropy(logits, truth.to(logits.device))
