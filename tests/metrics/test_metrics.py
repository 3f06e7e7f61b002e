"""Each metric against values worked out independently."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from temu_vtoff.metrics.backbones import BackboneUnavailableError
from temu_vtoff.metrics.clip_i import load_clip
from temu_vtoff.metrics.dino import load_dino
from temu_vtoff.metrics.dists import dists, load_dists_network
from temu_vtoff.metrics.fid import fid
from temu_vtoff.metrics.inception import inception_features, inception_input, load_inception
from temu_vtoff.metrics.kid import kid
from temu_vtoff.metrics.lpips import load_lpips_network, lpips
from temu_vtoff.metrics.ms_ssim import ms_ssim
from temu_vtoff.metrics.psnr import psnr
from temu_vtoff.metrics.ssim import ssim


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """(3, 3, 192, 176): smooth pictures, and the same with noise of three strengths."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.standard_normal((3, 3, 192, 176)), (0, 0, 6, 6))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    noise = rng.standard_normal(smooth.shape) * np.array([0.02, 0.1, 0.3]).reshape(3, 1, 1, 1)
    return torch.tensor(smooth).float(), torch.tensor((smooth + noise).clip(0, 1)).float()


def scikit_ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(a.double().numpy(), b.double().numpy(), channel_axis=0, data_range=1, **options)


def test_ssim_agrees_with_scikit_image(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = [scikit_ssim(a, b) for a, b in zip(*pictures, strict=True)]
    assert ssim(*pictures).tolist() == pytest.approx(expected, abs=1e-4)
    assert expected[0] > expected[1] > expected[2]


def test_ssim_is_that_of_pytorch_msssim() -> None:
    """Its values for these pictures, and so the same for every version of torchmetrics."""
    rng = torch.Generator().manual_seed(0)
    truths = torch.rand(2, 3, 48, 36, generator=rng)
    predictions = (truths + 0.2 * torch.rand(2, 3, 48, 36, generator=rng)).clamp(0, 1)
    assert ssim(truths, predictions).tolist() == pytest.approx([0.9640407, 0.9645976], abs=1e-5)


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = torch.full((1, 3, 32, 32), 0.2), torch.full((1, 3, 32, 32), 0.6)
    assert ssim(a, b).item() == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), abs=1e-4)


@pytest.mark.parametrize(("metric", "least"), [(ssim, 11), (ms_ssim, 161)])
def test_too_small_pictures_are_one_sentence(metric, least: int) -> None:
    small = torch.rand(1, 3, 4, 300)
    with pytest.raises(ValueError, match=f"needs pictures of at least {least} pixels on each side"):
        metric(small, small)


def test_ms_ssim_agrees_with_its_definition(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    def terms(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """SSIM with a mirrored border, as torchmetrics has it, and its contrast term within the border."""

        def blur(z: np.ndarray) -> np.ndarray:
            return gaussian_filter(z, 1.5, truncate=3.5, mode="mirror")

        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        contrast = (2 * cov + 9e-4) / (vx + vy + 9e-4)
        structure = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4) * contrast
        return structure.mean(), contrast[5:-5, 5:-5].mean()

    def multiscale(a: np.ndarray, b: np.ndarray) -> float:
        result = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            if scale > 0:
                a, b = (z.reshape(3, z.shape[1] // 2, 2, z.shape[2] // 2, 2).mean((2, 4)) for z in (a, b))
            structure, contrast = np.mean([terms(x, y) for x, y in zip(a, b, strict=True)], axis=0)
            result *= max(structure if scale == 4 else contrast, 0) ** weight
        return result

    expected = [multiscale(a.double().numpy(), b.double().numpy()) for a, b in zip(*pictures, strict=True)]
    assert ms_ssim(*pictures).tolist() == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="161 pixels"):
        ms_ssim(pictures[0][..., :160], pictures[1][..., :160])


def test_psnr(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1) for a, b in zip(*pictures, strict=True)]
    assert psnr(*pictures).tolist() == pytest.approx(expected, abs=1e-3)
    assert psnr(torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.6)).item() == pytest.approx(20, abs=1e-4)


@pytest.fixture(scope="module")
def networks(backbones: Path) -> dict[str, torch.nn.Module]:
    """What LPIPS and DISTS compare features of; random VGG-16 takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(backbones))
        return {"lpips": load_lpips_network(), "dists": load_dists_network()}


def test_equal_pictures(pictures: tuple[torch.Tensor, torch.Tensor], networks) -> None:
    a = pictures[0][:2]
    assert ssim(a, a).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert ms_ssim(a, a).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert psnr(a, a).tolist() == [math.inf, math.inf]
    assert lpips(a, a, networks["lpips"]).tolist() == [0, 0]
    assert dists(a, a, networks["dists"]).tolist() == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.parametrize("metric", [lpips, dists])
def test_perceptual_distances_grow_with_noise(pictures, networks, metric) -> None:
    network = networks[metric.__name__]
    together = metric(*pictures, network)
    assert together.shape == (3,)
    assert 0 < together[0] < together[1] < together[2]
    assert metric(pictures[1], pictures[0], network).tolist() == pytest.approx(together.tolist(), rel=1e-4)
    alone = [metric(pictures[0][i : i + 1], pictures[1][i : i + 1], network).item() for i in range(3)]
    assert alone == pytest.approx(together.tolist(), rel=1e-4)


def test_lpips_is_the_weighted_distance_of_normalised_alexnet_features(pictures, torch_home: Path, networks) -> None:
    from torchmetrics.functional.image import lpips as torchmetrics_lpips
    from torchvision.models import alexnet

    features = alexnet(weights="IMAGENET1K_V1").features.eval()
    heads = torch.load(
        Path(torchmetrics_lpips.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu", weights_only=True
    )
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    a, b = ((2 * x - 1 - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for x in pictures)
    expected, last = 0, 0
    for number, layer in enumerate((2, 5, 8, 10, 12)):  # after each ReLU
        a, b = (features[last:layer](x) for x in (a, b))
        last = layer
        distance = [x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt() for x in (a, b)]
        weighted = (distance[0] - distance[1]).square() * heads[f"lin{number}.model.1.weight"].view(1, -1, 1, 1)
        expected = expected + weighted.sum(1).mean((1, 2))
    assert lpips(*pictures, networks["lpips"]).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_fid_of_shifted_and_scaled_features() -> None:
    features = np.random.default_rng(0).standard_normal((500, 6))
    shift = np.array([3.0, 0, 0, 4, 0, 0])
    assert fid(features, features) == pytest.approx(0, abs=1e-6)
    assert fid(features + shift, features) == pytest.approx(25)
    mean, covariance = features.mean(0), np.cov(features.T)
    assert fid(3 * features, features) == pytest.approx(4 * mean @ mean + 4 * np.trace(covariance))  # (3 - 1)^2
    with pytest.raises(ValueError, match="two pictures"):
        fid(features[:1], features)


def test_fid_of_few_pictures_is_the_same_in_their_span() -> None:
    from cleanfid.fid import fid_from_feats

    rng = np.random.default_rng(0)
    a, b = rng.random((12, 100)).astype(np.float32), rng.random((9, 100)).astype(np.float32) + 0.3
    assert fid(a, b) == pytest.approx(fid_from_feats(a, b), abs=1e-3)


def test_kid_agrees_with_its_definition_and_is_seeded() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 8)), rng.standard_normal((40, 8)) + 0.5

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 8 + 1) ** 3

    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(40) for j in range(40) if i != j) / (40 * 39)
    between = sum(kernel(a, b) for a in x for b in y) / 40**2
    assert kid(x, y) == pytest.approx(within - 2 * between)

    more = np.concatenate([x, rng.standard_normal((5, 8))])  # now the subsets are a matter of chance
    state = np.random.get_state()[1].copy()
    assert kid(more, y, seed=1) == kid(more, y, seed=1) != kid(more, y, seed=2)
    assert (np.random.get_state()[1] == state).all()


def test_inception_sees_what_clean_fid_sees(torch_home: Path) -> None:
    from cleanfid.fid import get_folder_features
    from PIL import Image

    folder = torch_home / "pictures"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (64, 48, 3), np.uint8)) for _ in range(3)]
    for number, image in enumerate(images):
        image.save(folder / f"{number}.png")
    network = load_inception()
    ours = inception_features(torch.stack([inception_input(image) for image in images]), network)
    theirs = get_folder_features(
        str(folder), model=network, num_workers=0, device=torch.device("cpu"), mode="clean", verbose=False
    )
    assert ours.shape == (3, 2048)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (load_lpips_network, "alexnet-owt-7be5be79.pth"),
        (load_dists_network, "vgg16-397923af.pth"),
        (load_inception, "inception-2015-12-05.pt"),
    ],
)
def test_a_missing_backbone_is_told_with_its_place(
    load, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(BackboneUnavailableError) as caught:
        load()
    assert "no network in tests" in str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints" / name) in str(caught.value)


def test_embedding_similarities(pictures: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
        ViTConfig,
        ViTImageProcessor,
        ViTModel,
    )

    tiny = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(**tiny, image_size=32, patch_size=8, projection_dim=8)
    ).save_pretrained(tmp_path / "clip")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path / "clip")
    ViTModel(ViTConfig(**tiny, image_size=32, patch_size=8)).save_pretrained(tmp_path / "dino")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "dino")

    for model in (load_clip(str(tmp_path / "clip")), load_dino(str(tmp_path / "dino"))):
        assert model.similarity(pictures[0], pictures[0]).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
        values = model.similarity(*pictures)
        assert values.shape == (3,) and (values < 1).all() and values[0] > values[2]
    pixels = [(255 * picture.permute(1, 2, 0)).round().byte().numpy() for picture in pictures[0]]  # as files are read
    processor = ViTImageProcessor.from_pretrained(tmp_path / "dino")
    with torch.no_grad():
        outputs = ViTModel.from_pretrained(tmp_path / "dino").eval()(**processor(pixels, return_tensors="pt"))
    expected = outputs.last_hidden_state[:, 0]
    assert torch.cosine_similarity(expected, load_dino(str(tmp_path / "dino"))(pictures[0])).min() > 0.999
