"""What try-off and try-on share: of two SD3 transformers one reads a picture once and hands its reference features to
the other, which denoises.

Letters: B pictures, n samples of each, H W picture size, h w latent size, P pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.image_processor import VaeImageProcessor
from transformers import CLIPImageProcessor

from temu_vtoff.tryoff import conditioning
from temu_vtoff.tryoff.callbacks import StepReporter
from temu_vtoff.tryoff.conditioning import Generators
from temu_vtoff.tryoff.denoising import Conditions, Denoiser, Step, denoise
from temu_vtoff.tryoff.loading import Dtypes, LoadingOptions, device_of
from temu_vtoff.tryoff.presets import PRESETS, Preset, choose_preset
from temu_vtoff.tryoff.saved_adapters import adapted_components, save_adapters, without_adapters


@dataclass(frozen=True)
class Sampling:
    """How one call goes from noise to latents.

    Attributes:
        scheduler: The solver.
        steps: Its number of steps.
        report: Called after each step.
    """

    scheduler: SchedulerMixin
    steps: int
    report: StepReporter


class ReferencePipeline(DiffusionPipeline):
    """The base of `TryOffPipeline` and `TryOnPipeline`, which have a `vae`, a `scheduler`, two image encoders and their
    `feature_extractor`."""

    exact_steps = PRESETS["exact"].steps
    _embeds_argument: str  # what is given in the place of the image encoders
    _guidance_scale, _interrupt, _num_timesteps = 1.0, False, 0  # of no call yet

    @classmethod
    def load(
        cls,
        components_of: Callable[[dict[str, Any], LoadingOptions], Mapping[str, Any]],
        models: Collection[str],
        *,
        torch_dtype: Dtypes = torch.float32,
        dtype: Dtypes = None,
        revision: str | None = None,
        variant: str | None = None,
        quantize: Mapping[str, int] | None = None,
        device_map: str | torch.device | None = None,
        **components: Any,
    ) -> Self:
        """What `from_pretrained` of both pipelines does, and its arguments behind the sources.

        Args:
            components_of: Loads the components that are not given.
            models: Names of the components that have a precision.
            torch_dtype: Precision of all models: a dtype, its name, "auto" for that of the files, or a mapping by
                component with a "default".
            dtype: Another name of `torch_dtype`.
            revision: Revision of the first source.
            variant: Variant of the first source's weights, e.g. "fp16"; a component without it is loaded without.
            quantize: Bits of the weights, 8 or 4, by component: the transformers and, of try-off, `text_encoder_3`.
            device_map: A device that all of it goes to.
            components: Components to use instead of loading them, by name; None leaves one out (T5, say). The image
                encoders may also be named by hub id or folder. Also the values of the pipeline's configuration, and of
                diffusers' arguments `token`, `cache_dir`, `local_files_only`, `force_download`, `proxies`,
                `use_safetensors` and `low_cpu_mem_usage`.

        Raises:
            CheckpointError: A source can't be had, or lacks parts or weights; the message names them.
            ArgumentError: A precision or a device that is none, or bits of an unknown component.
            TypeError: There is no component of that name.
        """
        options = LoadingOptions.of(
            components,
            dtype=dtype,
            torch_dtype=torch_dtype,
            revision=revision,
            variant=variant,
            quantize=quantize or {},
            components=models,
        )
        device = device_of(device_map)
        pipe = cls(**components_of(components, options))
        return pipe if device is None else pipe.to(device)

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """As diffusers', and adapters beside the models' own weights; `from_pretrained` loads both.

        Raises:
            ValueError: There are fused adapters, or some of a component whose adapters can't be loaded.
        """
        adapted = adapted_components(self)
        with without_adapters([getattr(self, name) for name in adapted]):
            super().save_pretrained(save_directory, *args, **kwargs)
        if adapted:
            save_adapters(self, adapted, Path(save_directory))

    @property
    def guidance_scale(self) -> float:
        """Of the call under way; a callback may change `_guidance_scale`."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether there is a negative branch."""
        return self._guidance_scale > 1

    @property
    def num_timesteps(self) -> int:
        """Number of steps of the call under way."""
        return self._num_timesteps

    @classmethod
    def steps_of(cls, preset: str | Preset) -> int:
        """The number of steps of a preset.

        Raises:
            ArgumentError: The name is unknown.
        """
        preset = choose_preset(preset)
        return cls.exact_steps if preset == PRESETS["exact"] else preset.steps

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """Pooled embeddings by both image encoders, (B, 3, H, W) in [0, 1] -> (B, P)."""
        encoders = (self.image_encoder_large, self.image_encoder_bigG)
        if None in encoders:
            raise ValueError(f"This pipeline has no image encoders: give {self._embeds_argument}.")
        rescale_twice = self.config.get("rescale_clip_input_twice", False)
        return conditioning.encode_image(
            encoders, self.feature_extractor, image, rescale_twice, device=self._execution_device
        )

    def encode_latents(self, image: torch.Tensor, copies: int = 1, generator: Generators | None = None) -> torch.Tensor:
        """Samples of the VAE's latents of (B, 3, H, W) in [0, 1]; see `conditioning.encode_latents`."""
        return conditioning.encode_latents(self.vae, image, copies, generator, device=self._execution_device)

    def encode_mask(self, mask: torch.Tensor, latents: torch.Tensor, copies: int = 1) -> torch.Tensor:
        """Masks (B, 1, H, W) at the size of the latents, each n times, (B n, 1, h, w)."""
        mask = conditioning.latent_mask(mask.to(self._execution_device), latents.shape[-2:])
        return mask.repeat_interleave(copies, dim=0)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) in float32, about [-1, 1], of latents (B, 16, h, w)."""
        return conditioning.decode_latents(self.vae, latents)

    def _add_components(self, **components: Any) -> None:
        """Registers the components, and sets what diffusers' pipelines derive from the VAE."""
        if components["feature_extractor"] is None:
            components["feature_extractor"] = CLIPImageProcessor()
        self.register_modules(**components)
        vae = components["vae"]
        self.vae_scale_factor = 8 if vae is None else 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)

    def _begin(self, preset: str | Preset, steps: int | None, guidance_scale: float, report: StepReporter) -> Sampling:
        """How a call samples; sets what callbacks may ask the pipeline for.

        Raises:
            ValueError: An unknown preset, or a scheduler that doesn't fit a flow model.
        """
        steps = self.steps_of(preset) if steps is None else steps
        self._guidance_scale, self._interrupt, self._num_timesteps = guidance_scale, False, steps
        return Sampling(choose_preset(preset).scheduler(self.scheduler), steps, report)

    def _denoise(
        self, transformer: Denoiser, latents: torch.Tensor, conditions: Conditions, sampling: Sampling
    ) -> torch.Tensor:
        """From noise to the pictures' latents, both (B n, 16, h, w), under the progress bar."""
        with self.progress_bar(total=sampling.steps) as progress:

            def on_step(step: Step) -> None:
                sampling.report(step)
                progress.update()

            return denoise(
                transformer,
                sampling.scheduler,
                latents=latents,
                conditions=conditions,
                steps=sampling.steps,
                on_step=on_step,
            )
