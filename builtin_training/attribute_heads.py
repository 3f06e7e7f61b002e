"""Linear classifiers that teach an encoder a garment's attributes; thrown away after training.

Letters: B items, D width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from builtin_training.data import Item
from drawn_people.attributes import VOCABULARY


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
        """The share of the attributes that are right."""
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
