"""DISTS (Ding et al. 2020): structure and texture of VGG-16 features."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import VGG16_Weights

from temu_vtoff.metrics.backbones import backbone_file


def load_dists_network(device: torch.device | str = "cpu") -> nn.Module:
    """VGG-16 with DISTS's weights, which come with DISTS-pytorch.

    Raises:
        BackboneUnavailableError: VGG-16's weights can't be downloaded.
    """
    import DISTS_pytorch

    backbone_file(VGG16_Weights.IMAGENET1K_V1.url, "VGG-16")  # DISTS-pytorch finds it there
    network = DISTS_pytorch.DISTS(load_weights=False)  # it looks for its weights at the wrong path
    weights = torch.load(Path(DISTS_pytorch.__file__).parent / "weights.pt", map_location="cpu", weights_only=True)
    network.alpha.data, network.beta.data = weights["alpha"], weights["beta"]
    return network.eval().to(device)


@torch.no_grad()
def dists(predictions: torch.Tensor, truths: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] twice -> (B,), 0 for equal pictures."""
    return network(predictions, truths).reshape(-1)
