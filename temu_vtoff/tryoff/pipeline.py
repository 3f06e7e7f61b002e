"""The try-off pipeline: a photo, the mask of a garment in it and a caption in, the garment's product picture out
(arXiv 2505.21062, section 3; sampling by flow matching with Euler steps and classifier-free guidance).

Letters: B photos, n pictures of each, H W picture size, h w latent size, T text tokens, P pooled width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.stable_diffusion_3.pipeline_output import StableDiffusion3PipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch.nn import functional as F
from transformers import (
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerBase,
    T5EncoderModel,
)

from temu_vtoff.hub.sources import WorkingSize
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.tryoff import inputs
from temu_vtoff.tryoff.conditioning import TEXT_TOKENS, ConditioningMixin, Generators
from temu_vtoff.tryoff.denoising import DenoisingMixin, StepCallback
from temu_vtoff.tryoff.inputs import Pictures
from temu_vtoff.tryoff.loading import load_components
from temu_vtoff.tryoff.presets import Preset, choose_preset

OUTPUT_TYPES = ("pil", "pt", "np", "latent")


class TryOffPipeline(ConditioningMixin, DenoisingMixin, StableDiffusion3Pipeline):
    """Stable Diffusion 3 with a second transformer that reads the dressed person.

    Prompt encoding, LoRA loading, offloading, saving and the progress bar are diffusers' own.

    Args:
        transformer: The generator.
        transformer_vton: The feature extractor.
        scheduler: Flow matching with Euler steps.
        vae: Its configuration holds the latents' scale and shift.
        image_encoder_large: CLIP-L vision encoder of the person's photo; may be absent when embeddings are given.
        image_encoder_bigG: CLIP-bigG vision encoder, likewise.
        feature_extractor: Resizes and normalises for both; CLIP's usual one when absent.
        text_encoder: CLIP-L text encoder; all text encoders and tokenizers may be absent when embeddings are given.
        tokenizer: Of `text_encoder`.
        text_encoder_2: CLIP-bigG text encoder.
        tokenizer_2: Of `text_encoder_2`.
        text_encoder_3: T5; may be absent alone, its embeddings are then zeros.
        tokenizer_3: Of `text_encoder_3`.
        rescale_clip_input_twice: True, as the published weights need it: the vision encoders are fed pictures in
            [0, 1] divided by 255 again, nearly black ones, as in the release. False feeds correctly scaled pictures.
        negative_reference: True, as published: guidance's negative branch reads the person too, so that guidance leads
            towards the caption alone. False: it reads no reference, so that guidance leads towards the photo as well.
    """

    model_cpu_offload_seq = (
        "text_encoder->text_encoder_2->text_encoder_3->image_encoder_large->image_encoder_bigG"
        "->transformer_vton->transformer->vae"
    )
    _optional_components = [
        *("image_encoder_large", "image_encoder_bigG", "feature_extractor"),
        *("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3"),
    ]
    image_encoder = None  # SD3's, of IP-Adapters: diffusers asks for it before it offloads sequentially
    _callback_tensor_inputs = ["latents", "prompt_embeds", "pooled_prompt_embeds"]

    def __init__(
        self,
        transformer: TryOffTransformer,
        transformer_vton: FeatureExtractor,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKL,
        image_encoder_large: CLIPVisionModelWithProjection | None = None,
        image_encoder_bigG: CLIPVisionModelWithProjection | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        text_encoder: CLIPTextModelWithProjection | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: PreTrainedTokenizerBase | None = None,
        text_encoder_3: T5EncoderModel | None = None,
        tokenizer_3: PreTrainedTokenizerBase | None = None,
        rescale_clip_input_twice: bool = True,
        negative_reference: bool = True,
    ) -> None:
        super(StableDiffusion3Pipeline, self).__init__()  # SD3's own would register its components, not ours
        self.register_modules(
            transformer=transformer,
            transformer_vton=transformer_vton,
            scheduler=scheduler,
            vae=vae,
            image_encoder_large=image_encoder_large,
            image_encoder_bigG=image_encoder_bigG,
            feature_extractor=feature_extractor if feature_extractor is not None else CLIPImageProcessor(),
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            text_encoder_3=text_encoder_3,
            tokenizer_3=tokenizer_3,
        )
        self.register_to_config(
            rescale_clip_input_twice=rescale_clip_input_twice, negative_reference=negative_reference
        )
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.tokenizer_max_length = min(TEXT_TOKENS, getattr(tokenizer, "model_max_length", TEXT_TOKENS))
        self.patch_size = transformer.config.patch_size

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        pretrained_tryoff_name_or_path: str | Path | None = None,
        *,
        torch_dtype: torch.dtype = torch.float32,
        revision: str | None = None,
        variant: str | None = None,
        quantize: Mapping[str, int] | None = None,
        **components: Any,
    ) -> TryOffPipeline:
        """Loads from two sources, base and try-off, or from one that holds everything.

        Args:
            pretrained_model_name_or_path: Hub id or folder of the base model (VAE, scheduler, text encoders); or, when
                it stands alone, of a whole pipeline as `save_pretrained` writes it; or "builtin".
            pretrained_tryoff_name_or_path: Hub id or folder with `transformer/` and `transformer_vton/`.
            torch_dtype: Of all models.
            revision: Of the first source.
            variant: Of the first source's weights, e.g. "fp16".
            quantize: Bits of the weights, 8 or 4, by component: the transformers and `text_encoder_3`.
            components: Components to use instead of loading them, by name; None leaves one out (T5, say). The image
                encoders may also be named by hub id or folder. Likewise the two values of the configuration.

        Raises:
            CheckpointError: A source can't be had, or lacks parts or weights; the message names them.
        """
        loaded = load_components(
            pretrained_model_name_or_path,
            pretrained_tryoff_name_or_path,
            torch_dtype=torch_dtype,
            revision=revision,
            variant=variant,
            given=components,
            quantize=quantize,
        )
        return cls(**loaded)

    @property
    def working_size(self) -> WorkingSize:
        """The size that the model was made for: 768 x 1024 published."""
        return WorkingSize.of(self.vae.config, self.transformer.config, self.transformer_vton.config)

    @torch.no_grad()
    def __call__(
        self,
        image: Pictures,
        mask: Pictures,
        masked_image: Pictures | None = None,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: torch.Tensor | None = None,
        negative_pooled_prompt_embeds: torch.Tensor | None = None,
        image_embeds: torch.Tensor | None = None,
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
    ) -> StableDiffusion3PipelineOutput | tuple[list[PIL.Image.Image] | np.ndarray | torch.Tensor]:
        """Makes n product pictures of one garment in each of B photos.

        Args:
            image: The photos: PIL, a list of PIL, or (B, 3, H, W) in [0, 1]. PIL pictures are turned upright and
                stretched to `width` x `height`; `temu_vtoff.pictures.fit_picture` pads or crops them beforehand.
            mask: 1 (white) on the garment: PIL or (B, 1, H, W) in [0, 1].
            masked_image: The photos with the garment grey (0.5): PIL or (B, 3, H, W) in [0, 1]; derived when absent.
            prompt: The captions, one or one a photo; empty when absent.
            negative_prompt: What guidance leads away from; empty when absent.
            prompt_embeds: (B, T, joint_attention_dim), instead of `prompt`, with `pooled_prompt_embeds` (B, P).
            negative_prompt_embeds: Likewise, with `negative_pooled_prompt_embeds`.
            image_embeds: (B, P), instead of encoding the photos.
            height: In pixels, a multiple of `working_size.multiple`; a tensor's own, else the model's own.
            width: Likewise.
            num_inference_steps: The preset's own when absent: 28 for "exact".
            guidance_scale: 1 or less turns guidance off and halves the work.
            num_images_per_prompt: n.
            generator: Where all randomness comes from. A list of B n generators makes each picture independent of
                the rest of the batch.
            latents: (B n, 16, h, w), the noise to start from.
            output_type: "pil", "pt" ((B n, 3, H, W) in [0, 1]), "np" ((B n, H, W, 3) in [0, 1]) or "latent".
            callback_on_step_end: Called as callback(pipeline, step, timestep, tensors) with `latents`, `prompt_embeds`
                and `pooled_prompt_embeds` after each step; what it returns replaces them. Setting
                `pipeline._interrupt = True` in it ends the loop.
            preset: "exact", "fast" or "turbo", or a `Preset`: what quality may be given for speed.
            return_dict: False returns a tuple.

        Raises:
            ValueError: Sizes, ranges or numbers that don't fit, told in one sentence.
        """
        # 1. Numbers, photos, masks, greyed photos
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is {output_type!r}; choose one of {', '.join(OUTPUT_TYPES)}.")
        preset = choose_preset(preset)
        num_inference_steps = preset.steps if num_inference_steps is None else num_inference_steps
        if num_inference_steps < 1 or num_images_per_prompt < 1:
            raise ValueError("num_inference_steps and num_images_per_prompt must be at least 1.")
        if isinstance(image, torch.Tensor):
            width = image.shape[-1] if width is None else width
            height = image.shape[-2] if height is None else height
        width, height = self.working_size.choose(width, height)
        image = inputs.picture_tensor(image, width, height)  # (B, 3, H, W) in [0, 1]
        mask = inputs.mask_tensor(mask, width, height)  # (B, 1, H, W) in [0, 1]
        if masked_image is None:
            masked_image = image * (1 - mask) + 0.5 * mask
        else:
            masked_image = inputs.picture_tensor(masked_image, width, height)
        inputs.check_batch(
            len(image),
            mask=mask,
            masked_image=masked_image,
            image_embeds=image_embeds,
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled_prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            negative_pooled_prompt_embeds=negative_pooled_prompt_embeds,
        )
        copies, total = num_images_per_prompt, num_images_per_prompt * len(image)
        if isinstance(generator, list) and len(generator) != total:
            raise ValueError(f"{total} pictures need {total} generators, or a single one; got {len(generator)}.")

        device, dtype = self._execution_device, self.transformer.dtype
        self._guidance_scale, self._joint_attention_kwargs, self._interrupt = guidance_scale, None, False
        guided = guidance_scale > 1

        def branches(negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
            both = [negative, positive] if guided else [positive]
            return torch.cat([x.to(device, dtype).repeat_interleave(copies, dim=0) for x in both])

        # 2. Captions
        if prompt_embeds is None:
            prompt_embeds, pooled_prompt_embeds = self.encode_captions(inputs.one_each(prompt, len(image), "prompt"))
        if guided and negative_prompt_embeds is None:
            if negative_prompt is None:
                negative = (x.expand(len(image), *x.shape[1:]) for x in self.encode_empty_caption())
            else:
                negative = self.encode_captions(inputs.one_each(negative_prompt, len(image), "negative_prompt"))
            negative_prompt_embeds, negative_pooled_prompt_embeds = negative
        prompt_embeds = branches(negative_prompt_embeds, prompt_embeds)  # (2 B n, T, joint_attention_dim) when guided
        pooled_prompt_embeds = branches(negative_pooled_prompt_embeds, pooled_prompt_embeds)  # (2 B n, P)

        # 3. The person: embeddings and latents, and of these the reference, once
        if image_embeds is None:
            image_embeds = self.encode_image(image)  # (B, P)
        person_latents = self.encode_latents(image, copies, generator)  # (B n, 16, h, w)
        masked_latents = self.encode_latents(masked_image, copies, generator)
        small_mask = F.interpolate(mask.to(device), size=person_latents.shape[-2:], mode="nearest")
        person = torch.cat([person_latents, small_mask.repeat_interleave(copies, dim=0), masked_latents], dim=1)
        image_embeds = image_embeds.to(device).repeat_interleave(copies, dim=0)  # (B n, P)
        reference = self.extract_reference(person, image_embeds, guided and self.config.negative_reference)

        # 4. Denoise
        if latents is None:
            latents = randn_tensor(person_latents.shape, generator=generator, device=device)
        elif latents.shape != person_latents.shape:
            raise ValueError(f"latents must be {tuple(person_latents.shape)}, got {tuple(latents.shape)}.")
        latents = self.denoise(
            latents.to(device, torch.float32),
            prompt_embeds,
            pooled_prompt_embeds,
            reference,
            guidance_scale,
            preset,
            num_inference_steps,
            callback_on_step_end,
        )

        # 5. Decode
        if output_type == "latent":
            images = latents
        else:
            images = self.image_processor.postprocess(self.decode_latents(latents).float(), output_type=output_type)
        self.maybe_free_model_hooks()
        return StableDiffusion3PipelineOutput(images=images) if return_dict else (images,)
