"""The try-on pipeline: a product picture and a person in, the person wearing the garment out (FitDiT, arXiv
2411.10499).

Letters: B pairs of garment and person, n pictures of each, H W picture size, h w latent size, N image tokens, P pooled
width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceFeatures
from temu_vtoff.models.pose_guider import PoseGuider
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.pictures import fit_picture, open_picture, to_mask
from temu_vtoff.tryoff import conditioning, inputs
from temu_vtoff.tryoff.callbacks import StepCallback, StepReporter, chosen_tensors
from temu_vtoff.tryoff.conditioning import Generators
from temu_vtoff.tryoff.denoising import Conditions, denoise
from temu_vtoff.tryoff.inputs import Pictures
from temu_vtoff.tryoff.loading import Dtypes, LoadingOptions, device_of
from temu_vtoff.tryoff.outputs import finish
from temu_vtoff.tryoff.presets import PRESETS, Preset, choose_preset
from temu_vtoff.tryon.loading import MODELS, load_components

EXACT_STEPS = 20  # as published
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class Pairs:
    """B garments and persons at one size.

    Attributes:
        garment: (B, 3, H, W) in [0, 1].
        person: (B, 3, H, W) in [0, 1], grey where it is to be repainted.
        mask: (B, 1, H, W) in [0, 1], 1 where it is to be repainted.
        pose: (B, 3, H, W) in [0, 1], or None.
    """

    garment: torch.Tensor
    person: torch.Tensor
    mask: torch.Tensor
    pose: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.person)


class TryOnPipeline(DiffusionPipeline):
    """Two SD3 transformers without text: one reads the garment, the other repaints the person.

    Args:
        transformer_garm: The garment extractor, 16 channels in.
        transformer_vton: The denoiser, 33 channels in.
        scheduler: Flow matching with Euler steps.
        vae: Its configuration holds the latents' scale and shift.
        pose_guider: May be absent; no pose can be given then.
        image_encoder_large: CLIP-L vision encoder of the garment; may be absent when embeddings are given.
        image_encoder_bigG: CLIP-bigG vision encoder; may be absent when embeddings are given.
        feature_extractor: Resizes and normalises for both; CLIP's usual one when absent.
    """

    model_cpu_offload_seq = (
        "image_encoder_large->image_encoder_bigG->pose_guider->transformer_garm->transformer_vton->vae"
    )
    _optional_components = ["pose_guider", *IMAGE_ENCODERS, "feature_extractor"]
    _guidance_scale, _interrupt, _num_timesteps = 1.0, False, 0  # of no call yet
    _callback_tensor_inputs = ["latents", "pred_original_sample"]

    def __init__(
        self,
        transformer_garm: FeatureExtractor,
        transformer_vton: TryOnTransformer,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKL,
        pose_guider: PoseGuider | None = None,
        image_encoder_large: CLIPVisionModelWithProjection | None = None,
        image_encoder_bigG: CLIPVisionModelWithProjection | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer_garm=transformer_garm,
            transformer_vton=transformer_vton,
            scheduler=scheduler,
            vae=vae,
            pose_guider=pose_guider,
            image_encoder_large=image_encoder_large,
            image_encoder_bigG=image_encoder_bigG,
            feature_extractor=feature_extractor if feature_extractor is not None else CLIPImageProcessor(),
        )
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: Dtypes = torch.float32,
        dtype: Dtypes = None,
        revision: str | None = None,
        variant: str | None = None,
        quantize: Mapping[str, int] | None = None,
        device_map: str | torch.device | None = None,
        **components: Any,
    ) -> TryOnPipeline:
        """Loads FitDiT's layout, or a folder that `save_pretrained` wrote.

        Args:
            pretrained_model_name_or_path: Hub id, such as "BoyuanJiang/FitDiT", or folder. The image encoders come from
                it where it holds them, else from their published sources.
            torch_dtype: Precision of all models, as for `TryOffPipeline.from_pretrained`.
            dtype: Another name of `torch_dtype`.
            revision: Revision of the source.
            variant: Variant of the source's weights, e.g. "fp16".
            quantize: Bits of the weights, 8 or 4, by component.
            device_map: A device that all of it goes to.
            components: Components to use instead of loading them, by name; None leaves one out. The image encoders may
                also be named by hub id or folder. Also diffusers' arguments `token`, `cache_dir`, `local_files_only`,
                `force_download`, `proxies`, `use_safetensors` and `low_cpu_mem_usage`.

        Raises:
            CheckpointError: The source can't be had, or lacks parts or weights; the message names them.
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
            components=MODELS,
        )
        device = device_of(device_map)
        pipe = cls(**load_components(pretrained_model_name_or_path, components, options))
        return pipe if device is None else pipe.to(device)

    @property
    def working_size(self) -> WorkingSize:
        """The size that the model was made for, and which others it takes."""
        return WorkingSize.of(self.vae.config, self.transformer_vton.config, self.transformer_garm.config)

    @property
    def guidance_scale(self) -> float:
        """Of the call under way; a callback may change `_guidance_scale`."""
        return self._guidance_scale

    @property
    def num_timesteps(self) -> int:
        """Number of steps of the call under way."""
        return self._num_timesteps

    @torch.no_grad()
    def __call__(
        self,
        garment: Pictures,
        person: Pictures,
        mask: Pictures,
        pose: Pictures | None = None,
        garment_embeds: torch.Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float = 2.0,
        num_images_per_prompt: int = 1,
        generator: Generators | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        preset: str | Preset = "exact",
        return_dict: bool = True,
        callback_on_step_end_tensor_inputs: Sequence[str] | None = None,
    ) -> ImagePipelineOutput | tuple[list[PIL.Image.Image] | np.ndarray | torch.Tensor]:
        """Puts B garments on B persons, n pictures of each.

        Args:
            garment: Product pictures: PIL, a list of PIL, or (B, 3, H, W) in [0, 1]. PIL pictures are turned upright
                and padded to `width` x `height`.
            person: The persons, in the same forms.
            mask: 1 (white) where the person is to be repainted: PIL or (B, 1, H, W) in [0, 1].
            pose: Pose pictures of the persons, padded with black; None leaves the pose out.
            garment_embeds: (B, P), instead of encoding the garments.
            height: In pixels, a multiple of `working_size.multiple`; a tensor's own, else the model's own.
            width: In pixels, as the height.
            num_inference_steps: The preset's own when absent, 20 for "exact".
            guidance_scale: 1 or less turns guidance off and halves the work.
            num_images_per_prompt: n.
            generator: Where all randomness comes from. A list of B n generators makes each picture independent of
                the rest of the batch.
            latents: (B n, 16, h, w), the noise to start from.
            output_type: "pil", "pt" ((B n, 3, H, W) in [0, 1]), "np" ((B n, H, W, 3) in [0, 1]) or "latent".
            callback_on_step_end: Called as callback(pipeline, step, timestep, tensors) after each step; what it returns
                replaces those tensors. Setting `pipeline._interrupt = True` in it ends the loop.
            preset: "exact", "fast" or "turbo", or a `Preset`: speed/quality trade-off.
            return_dict: False returns a tuple.
            callback_on_step_end_tensor_inputs: Names of what the callback is given, all when absent: `latents` and
                `pred_original_sample`, the clean latents that the step predicts.

        Returns:
            The generated pictures themselves; nothing is pasted back into the photos.

        Raises:
            NotFiniteError: Some of the pictures came out as NaN or infinity.
            ValueError: Sizes, ranges or numbers that don't fit, or a pose without pose guider, told in one sentence.
        """
        # 1. Numbers, garments, persons, masks, poses
        preset = choose_preset(preset)
        scheduler = preset.scheduler(self.scheduler)
        steps = EXACT_STEPS if preset == PRESETS["exact"] else preset.steps
        steps = steps if num_inference_steps is None else num_inference_steps
        inputs.check_numbers(output_type, steps, num_images_per_prompt, guidance_scale)
        pairs = self._read(garment, person, mask=mask, pose=pose, width=width, height=height)
        inputs.check_batch(len(pairs), garment_embeds=garment_embeds)
        generator = inputs.check_generators(generator, len(pairs) * num_images_per_prompt)
        names = chosen_tensors(callback_on_step_end, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        self._guidance_scale, self._interrupt, self._num_timesteps = guidance_scale, False, steps

        # 2. The garment: embeddings, latents, and of these the reference, once
        embeds = self.encode_image(pairs.garment) if garment_embeds is None else garment_embeds
        embeds = self._branches(embeds, num_images_per_prompt, negative_is_zero=True)  # (2 B n, P)
        garments = conditioning.encode_latents(
            self.vae, pairs.garment, copies=num_images_per_prompt, generator=generator, device=self._execution_device
        )
        reference = self._read_garment(self._branches(garments, negative_is_zero=True), embeds)

        # 3. The person: latents of what stays, the mask, the pose
        channels = self._branches(self._person_channels(pairs, num_images_per_prompt, generator))  # (2 B n, 17, h, w)
        guides = {}
        if pairs.pose is not None:
            guides["pose"] = self._branches(self._guide(pairs.pose), num_images_per_prompt)  # (2 B n, N, D)

        # 4. Denoise
        latents = conditioning.starting_noise(latents, garments.shape, generator, self._execution_device)
        with self.progress_bar(total=steps) as progress:
            report = StepReporter(self, progress, callback_on_step_end, names)
            conditions = Conditions(embeds, reference, guidance_scale, inputs=guides, channels=channels)
            latents = denoise(
                self.transformer_vton, scheduler, latents=latents, conditions=conditions, steps=steps, on_step=report
            )

        # 5. Decode
        images = finish(self, latents, output_type, self.transformer_vton.dtype)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """The garments' pooled embeddings, (B, 3, H, W) in [0, 1] -> (B, P)."""
        encoders = (self.image_encoder_large, self.image_encoder_bigG)
        if None in encoders:
            raise ValueError("This pipeline has no image encoders: give garment_embeds.")
        return conditioning.encode_image(
            encoders, self.feature_extractor, image, rescale_twice=False, device=self._execution_device
        )

    def _read(
        self,
        garment: Pictures,
        person: Pictures,
        mask: Pictures,
        pose: Pictures | None,
        width: int | None,
        height: int | None,
    ) -> Pairs:
        """All at one size: as wanted, else that of the person's tensor, else the model's own."""
        if pose is not None and self.pose_guider is None:
            raise ValueError("pose is given, but this pipeline has no pose guider.")
        garment, person, mask = (inputs.stacked(pictures) for pictures in (garment, person, mask))
        if isinstance(person, torch.Tensor):
            width = person.shape[-1] if width is None else width
            height = person.shape[-2] if height is None else height
        size = self.working_size.choose(width, height)
        garment, person = (
            inputs.picture_tensor(_padded(pictures, size, WHITE), *size) for pictures in (garment, person)
        )
        mask = inputs.mask_tensor(_padded_masks(mask, size), *size)
        if pose is not None:
            pose = inputs.picture_tensor(_padded(inputs.stacked(pose), size, BLACK), *size)
        inputs.check_batch(len(person), garment=garment, mask=mask, pose=pose)
        return Pairs(garment, torch.where(mask < 0.5, person, 0.5), mask, pose)

    def _branches(self, x: torch.Tensor, copies: int = 1, negative_is_zero: bool = False) -> torch.Tensor:
        """The rows, each n times, for both branches of guidance, the negative one first; for one without guidance."""
        x = x.to(self._execution_device, self.transformer_vton.dtype).repeat_interleave(copies, dim=0)
        if self._guidance_scale <= 1:
            return x
        return torch.cat([torch.zeros_like(x) if negative_is_zero else x, x])

    def _read_garment(self, garments: torch.Tensor, embeds: torch.Tensor) -> ReferenceFeatures:
        dtype = self.transformer_garm.dtype
        return self.transformer_garm(garments.to(dtype), embeds.to(dtype))

    def _person_channels(self, pairs: Pairs, copies: int, generator: Generators | None) -> torch.Tensor:
        """What the denoiser reads behind the noisy latents: the masked person's and the mask, (B n, 17, h, w)."""
        device = self._execution_device
        person = conditioning.encode_latents(self.vae, pairs.person, copies=copies, generator=generator, device=device)
        mask = conditioning.latent_mask(pairs.mask.to(device), person.shape[-2:]).repeat_interleave(copies, dim=0)
        return torch.cat([person, mask], dim=1)

    def _guide(self, pose: torch.Tensor) -> torch.Tensor:
        """The pose's tokens (B, N, D) of pictures (B, 3, H, W) in [0, 1]."""
        return self.pose_guider((2 * pose - 1).to(self._execution_device, self.pose_guider.dtype))


def _padded(
    pictures: list[PIL.Image.Image] | torch.Tensor, size: tuple[int, int], fill: tuple[int, int, int]
) -> list[PIL.Image.Image] | torch.Tensor:
    """PIL pictures upright and padded to the size, tensors as they are."""
    if isinstance(pictures, torch.Tensor):
        return pictures
    return [fit_picture(open_picture(picture), *size, "pad", fill=fill) for picture in pictures]


def _padded_masks(
    masks: list[PIL.Image.Image] | torch.Tensor, size: tuple[int, int]
) -> list[PIL.Image.Image] | torch.Tensor:
    if isinstance(masks, torch.Tensor):
        return masks
    nearest = PIL.Image.Resampling.NEAREST
    return [fit_picture(to_mask(mask), *size, "pad", fill=0, resample=nearest) for mask in masks]
