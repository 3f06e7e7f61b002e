"""LPIPS (Zhang et al. 2018): distance of AlexNet features, weighted to match human judgement."""

import torch
from torch import nn
from torchvision.models import AlexNet_Weights

from temu_vtoff.metrics.backbones import backbone_file


def load_lpips_network(device: torch.device | str = "cpu") -> nn.Module:
    """AlexNet with LPIPS's linear heads, which come with torchmetrics.

    Raises:
        BackboneUnavailableError: AlexNet's weights can't be downloaded.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    backbone_file(AlexNet_Weights.IMAGENET1K_V1.url, "AlexNet")  # torchmetrics finds it there
    return LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device)


@torch.no_grad()
def lpips(predictions: torch.Tensor, truths: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] twice -> (B,), 0 for equal pictures."""
    return network(predictions, truths, normalize=True).reshape(-1)
