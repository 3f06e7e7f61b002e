"""The try-on pipeline: a product picture and a person in, the person wearing the garment out (FitDiT, arXiv
2411.10499).

Letters: B pairs of garment and person, n pictures of each, H W picture size, h w latent size, N image tokens, P pooled
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.hub.sources import IMAGE_ENCODERS, TRYON
from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceFeatures
from temu_vtoff.models.pose_guider import PoseGuider
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.tryoff import conditioning
from temu_vtoff.tryoff.callbacks import StepCallback, StepReporter
from temu_vtoff.tryoff.conditioning import Generators
from temu_vtoff.tryoff.denoising import Conditions
from temu_vtoff.tryoff.inputs import Pictures, check_batch, check_generators, check_numbers
from temu_vtoff.tryoff.outputs import finish
from temu_vtoff.tryoff.presets import Preset
from temu_vtoff.tryoff.reference_pipeline import ReferencePipeline
from temu_vtoff.tryoff.saved_adapters import load_adapters
from temu_vtoff.tryon.inputs import Pairs, read_pairs
from temu_vtoff.tryon.loading import MODELS, load_components


class TryOnPipeline(ReferencePipeline):
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
    _lora_loadable_modules = list(TRYON)  # those with adapters that are saved
    exact_steps = 20  # as published
    _embeds_argument = "garment_embeds"
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
        self._add_components(
            transformer_garm=transformer_garm,
            transformer_vton=transformer_vton,
            scheduler=scheduler,
            vae=vae,
            pose_guider=pose_guider,
            image_encoder_large=image_encoder_large,
            image_encoder_bigG=image_encoder_bigG,
            feature_extractor=feature_extractor,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **how: Any) -> TryOnPipeline:
        """Loads FitDiT's layout, or a folder that `save_pretrained` wrote.

        Args:
            pretrained_model_name_or_path: Hub id, such as "BoyuanJiang/FitDiT", or folder. The image encoders come from
                it where it holds them, else from their published sources.
            how: Precision, device, components and more: the keywords of `ReferencePipeline.load`, with its errors.
        """
        pipe = cls.load(partial(load_components, pretrained_model_name_or_path), MODELS, **how)
        load_adapters(pipe, Path(pretrained_model_name_or_path))
        return pipe

    @property
    def working_size(self) -> WorkingSize:
        """The size that the model was made for, and which others it takes."""
        return WorkingSize.of(self.vae.config, self.transformer_vton.config, self.transformer_garm.config)

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
            num_inference_steps: The preset's own when absent, 20 for "exact".
            callback_on_step_end_tensor_inputs: Of `latents` and `pred_original_sample`.
            height, width, guidance_scale, num_images_per_prompt, generator, latents, output_type, callback_on_step_end,
                preset, return_dict: As in `TryOffPipeline.__call__`.

        Returns:
            The generated pictures themselves; nothing is pasted back into the photos.

        Raises:
            NotFiniteError: Some of the pictures came out as NaN or infinity.
            ValueError: Sizes, ranges or numbers that don't fit, or a pose without pose guider, told in one sentence.
        """
        # 1. Numbers, garments, persons, masks, poses
        report = StepReporter.of(self, callback_on_step_end, callback_on_step_end_tensor_inputs)
        sampling = self._begin(preset, num_inference_steps, guidance_scale, report)
        check_numbers(output_type, sampling.steps, num_images_per_prompt, guidance_scale)
        if pose is not None and self.pose_guider is None:
            raise ValueError("pose is given, but this pipeline has no pose guider.")
        pairs = read_pairs(garment, person, mask, pose=pose, working_size=self.working_size, width=width, height=height)
        check_batch(len(pairs), garment_embeds=garment_embeds)
        generator = check_generators(generator, len(pairs) * num_images_per_prompt)

        # 2. The garment: embeddings, latents, and of these the reference, once
        embeds = self.encode_image(pairs.garment) if garment_embeds is None else garment_embeds
        embeds = self._branches(embeds, num_images_per_prompt, negative_is_zero=True)  # (2 B n, P)
        garments = self.encode_latents(pairs.garment, num_images_per_prompt, generator)  # (B n, 16, h, w)
        reference = self._read_garment(self._branches(garments, negative_is_zero=True), embeds)

        # 3. The person: latents of what stays, the mask, the pose
        channels = self._branches(self._person_channels(pairs, num_images_per_prompt, generator))  # (2 B n, 17, h, w)
        guides = {}
        if pairs.pose is not None:
            guides["pose"] = self._branches(self._guide(pairs.pose), num_images_per_prompt)  # (2 B n, N, D)

        # 4. Denoise
        latents = conditioning.starting_noise(latents, garments.shape, generator, self._execution_device)
        conditions = Conditions(embeds, reference, guidance_scale, inputs=guides, channels=channels)
        latents = self._denoise(self.transformer_vton, latents, conditions, sampling)

        # 5. Decode
        images = finish(self, latents, output_type, self.transformer_vton.dtype)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _branches(self, x: torch.Tensor, copies: int = 1, negative_is_zero: bool = False) -> torch.Tensor:
        """The rows, each n times, for both branches of guidance, the negative one first; for one without guidance."""
        x = x.to(self._execution_device, self.transformer_vton.dtype).repeat_interleave(copies, dim=0)
        if not self.do_classifier_free_guidance:
            return x
        return torch.cat([torch.zeros_like(x) if negative_is_zero else x, x])

    def _read_garment(self, garments: torch.Tensor, embeds: torch.Tensor) -> ReferenceFeatures:
        dtype = self.transformer_garm.dtype
        return self.transformer_garm(garments.to(dtype), embeds.to(dtype))

    def _person_channels(self, pairs: Pairs, copies: int, generator: Generators | None) -> torch.Tensor:
        """What the denoiser reads behind the noisy latents: the masked person's and the mask, (B n, 17, h, w)."""
        person = self.encode_latents(pairs.person, copies, generator)
        mask = self.encode_mask(pairs.mask, person, copies)
        return torch.cat([person, mask], dim=1)

    def _guide(self, pose: torch.Tensor) -> torch.Tensor:
        """The pose's tokens (B, N, D) of pictures (B, 3, H, W) in [0, 1]."""
        return self.pose_guider((2 * pose - 1).to(self._execution_device, self.pose_guider.dtype))
