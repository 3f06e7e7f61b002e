"""The pose guider of try-on (FitDiT, arXiv 2411.10499): a small convolutional encoder whose tokens are added to the
denoiser's embedded patches, once a picture.

Letters: B pictures, H W picture size, h w an eighth of it, p patch size, N image tokens, D width, c channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from torch import nn
from torch.nn import functional as F

from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.strict import StrictLoadingMixin, check_weights

PUBLISHED_CHANNELS = (32, 64, 256, 512)
READS = ("joints", "labels")
PUBLISHED_WEIGHTS = "diffusion_pytorch_model.bin"  # a pickled state dict without a configuration


class PoseGuider(StrictLoadingMixin, ModelMixin, ConfigMixin):
    """Pose pictures to tokens of the denoiser's width.

    Args:
        block_out_channels: c of each size from the picture's own to its eighth.
        out_channels: D.
        in_channels: Channels of the picture.
        patch_size: p, as the denoiser's.
        reads: "joints" (`temu_vtoff.tryon.pose_picture`) or "labels" (`temu_vtoff.tryon.body_picture`).
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = PUBLISHED_CHANNELS,
        out_channels: int = 1536,
        in_channels: int = 3,
        patch_size: int = 2,
        reads: str = "joints",
    ) -> None:
        if reads not in READS:
            raise ValueError(f"reads is {reads!r}; choose one of {', '.join(READS)}.")
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, block_out_channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for channels, following in pairwise(block_out_channels):
            self.blocks.append(nn.Conv2d(channels, channels, 3, padding=1))
            self.blocks.append(nn.Conv2d(channels, following, 3, padding=1, stride=2))
        self.out = nn.Linear(block_out_channels[-1] * patch_size**2, out_channels)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> PoseGuider:
        """As diffusers' models, and from the published pickle, whose weights' own shapes tell the channels.

        Raises:
            CheckpointError: It can't be had, or has missing, surplus or wrongly shaped weights.
        """
        where, subfolder = str(pretrained_model_name_or_path), kwargs.get("subfolder")
        folder = Path(where, subfolder or "")
        if Path(where).is_dir() and (folder / "config.json").is_file():
            return super().from_pretrained(where, **kwargs)
        with explain_loading(where, "the pose guider"):
            path = folder / PUBLISHED_WEIGHTS
            if not Path(where).is_dir():
                options = {name: kwargs[name] for name in ("revision", "token", "cache_dir") if name in kwargs}
                try:
                    hf_hub_download(where, "config.json", subfolder=subfolder, **options)
                    return super().from_pretrained(where, **kwargs)
                except EntryNotFoundError:
                    path = Path(hf_hub_download(where, PUBLISHED_WEIGHTS, subfolder=subfolder, **options))
            if not path.is_file():
                raise CheckpointError(f"the pose guider {folder} holds neither config.json nor {PUBLISHED_WEIGHTS}.")
            weights = torch.load(path, map_location="cpu", weights_only=True)
        guider = cls.from_weights(weights, folder)
        return nn.Module.to(guider, kwargs.get("torch_dtype", torch.float32))

    @classmethod
    def from_weights(cls, weights: dict[str, torch.Tensor], where: str | Path) -> PoseGuider:
        """A guider with these weights.

        Args:
            weights: A state dict; its shapes tell the configuration.
            where: Named when something is wrong.

        Raises:
            CheckpointError: They are no pose guider's.
        """
        try:
            channels = [len(weights["conv_in.weight"])]
            while (name := f"blocks.{2 * len(channels) - 1}.weight") in weights:
                channels.append(len(weights[name]))
            out, inputs = weights["out.weight"].shape
            patch_size = round((inputs / channels[-1]) ** 0.5)
            guider = cls(
                block_out_channels=channels,  # diffusers takes values without keyword for defaults when it saves
                out_channels=out,
                in_channels=weights["conv_in.weight"].shape[1],
                patch_size=patch_size,
            )
            keys = guider.load_state_dict(weights, strict=False)
        except (KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"the pose guider {where} holds other weights than a pose guider's: {error}"
            ) from error
        check_weights(keys.missing_keys, keys.unexpected_keys, "the pose guider", where)
        return guider.eval()

    def forward(self, pose: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1] -> tokens (B, N, D), N = h w / p^2."""
        x = F.silu(self.conv_in(pose))  # (B, c, H, W)
        for block in self.blocks:
            x = F.silu(block(x))  # every second one at half the size
        patches = F.pixel_unshuffle(x, self.config.patch_size)  # (B, c p p, h / p, w / p)
        return self.out(patches.flatten(2).transpose(1, 2))
