"""Backbones with random weights, at the places where the real files belong."""

from pathlib import Path

import pytest
import torch


def _alexnet(seed: int) -> dict[str, torch.Tensor]:
    from torchvision.models.alexnet import AlexNet

    return _random_convolutions(AlexNet, seed)


def _vgg16(seed: int) -> dict[str, torch.Tensor]:
    from torchvision.models import vgg16

    return _random_convolutions(vgg16, seed)


def _random_convolutions(network, seed: int) -> dict[str, torch.Tensor]:
    """A state dict: random kernels, and classifiers of zeros that take no room on disk."""
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in network().state_dict().items()}
    torch.manual_seed(seed)
    return {
        name: torch.randn(shape) * shape[1:].numel() ** -0.5
        if name.startswith("features")
        else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }


class _Inception(torch.nn.Module):
    """As clean-fid uses the real one: `layers` maps normalised pictures to 2048 features."""

    def __init__(self) -> None:
        super().__init__()
        pool = torch.nn.AdaptiveAvgPool2d(8)
        self.layers = torch.nn.Sequential(pool, torch.nn.Flatten(), torch.nn.Linear(3 * 64, 2048), torch.nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TORCH_HOME that holds AlexNet, VGG-16 and Inception-v3."""
    home = tmp_path_factory.mktemp("torch_home")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(_alexnet(0), folder / "alexnet-owt-7be5be79.pth")
    torch.save(_vgg16(0), folder / "vgg16-397923af.pth")
    torch.manual_seed(0)
    torch.jit.script(_Inception().eval()).save(folder / "inception-2015-12-05.pt")
    return home


@pytest.fixture
def torch_home(backbones: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(backbones))
    return backbones
