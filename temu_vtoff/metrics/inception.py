"""Inception-v3 features as clean-fid takes them (Parmar et al. 2022), "clean" mode: what FID and KID compare."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from temu_vtoff.metrics.backbones import backbone_file

FEATURES = 2048


def load_inception(device: torch.device | str = "cpu") -> nn.Module:
    """The TorchScript network that clean-fid uses.

    Raises:
        BackboneUnavailableError: It can't be downloaded.
    """
    from cleanfid.downloads_helper import inception_url
    from cleanfid.inception_torchscript import InceptionV3W

    path = backbone_file(inception_url, "Inception-v3")
    return InceptionV3W(str(path.parent), download=False).eval().to(device)


def inception_input(picture: Image.Image) -> torch.Tensor:
    """The picture resized by clean-fid without rounding: (3, 299, 299) float32 in [0, 255]."""
    from cleanfid.resize import build_resizer

    return torch.from_numpy(build_resizer("clean")(np.asarray(picture))).permute(2, 0, 1)


@torch.no_grad()
def inception_features(inputs: torch.Tensor, network: nn.Module) -> np.ndarray:
    """(B, 3, 299, 299) of `inception_input` -> (B, `FEATURES`) float32."""
    return network(inputs).float().cpu().numpy()
