"""First-block caching: while what the first block adds to the image tokens hardly changes from one sampling step to the
next, neither does what the other blocks add, and their last sum serves again:

    x_L(t) = x_1(t) + [x_L - x_1](last computed)   where   |r(t) - r(last computed)| < threshold |r(last computed)|

with r = x_1 - x_0 (the criterion of ParaAttention's first-block cache). It lives as long as one sampling.

Letters: B batch, N image tokens, D width.
"""

import torch


class FirstBlockCache:
    """
    Args:
        threshold: Largest relative change of the first block's part, in mean absolute values; of a batch's items the
            most changed one counts.

    Attributes:
        rest: (B, N, D), what the other blocks added when last computed.
        hits: How often they were spared.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.rest: torch.Tensor | None = None
        self.hits = 0
        self._first: torch.Tensor | None = None

    def holds(self, first: torch.Tensor) -> bool:
        """Whether `rest` serves for what the first block adds now, (B, N, D); else the blocks are to be computed."""
        last = self._first
        if last is not None and last.shape == first.shape:
            change = (first - last).abs().mean((1, 2)) / last.abs().mean((1, 2))  # (B,)
            if change.max() < self.threshold:
                self.hits += 1
                return True
        self._first = first
        return False
