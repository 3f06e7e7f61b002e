"""The try-off pipeline: a photo, the mask of a garment in it and a caption in, the garment's product picture out
(arXiv 2505.21062, section 3; sampling by flow matching with Euler steps and classifier-free guidance).

Letters: B photos, n pictures of each, H W picture size, h w latent size, T text tokens, P pooled width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from diffusers.pipelines.stable_diffusion_3.pipeline_output import StableDiffusion3PipelineOutput
from transformers import (
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerBase,
    T5EncoderModel,
)

from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.hub.sources import REQUIRED
from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceFeatures
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.tryoff import conditioning, inputs
from temu_vtoff.tryoff.adapted import AdaptedPipeline
from temu_vtoff.tryoff.callbacks import TENSORS, StepCallback, StepReporter
from temu_vtoff.tryoff.components import COMPONENTS, CONFIG
from temu_vtoff.tryoff.conditioning import TEXT_TOKENS, Generators
from temu_vtoff.tryoff.denoising import Conditions
from temu_vtoff.tryoff.inputs import Pictures, Prompt
from temu_vtoff.tryoff.loading import MODELS, load_components
from temu_vtoff.tryoff.lora import lora_scale
from temu_vtoff.tryoff.outputs import finish
from temu_vtoff.tryoff.presets import Preset
from temu_vtoff.tryoff.reference_pipeline import ReferencePipeline
from temu_vtoff.tryoff.saved_adapters import load_adapters


class TryOffPipeline(ReferencePipeline, AdaptedPipeline):
    """Stable Diffusion 3 with a second transformer that reads the dressed person.

    Prompt encoding, LoRA loading, offloading, saving and the progress bar are diffusers' own; what of SD3's pipeline
    has no meaning here is refused (`temu_vtoff.tryoff.refused`).

    Args:
        transformer: The generator; it, the extractor, the scheduler and the VAE may be absent where a pipeline encodes
            captions or photos alone.
        transformer_vton: The feature extractor.
        scheduler: Flow matching with Euler steps.
        vae: Its configuration holds the latents' scale and shift.
        image_encoder_large: CLIP-L vision encoder of the person's photo; may be absent when embeddings are given.
        image_encoder_bigG: CLIP-bigG vision encoder of the photo; may be absent as well.
        feature_extractor: Resizes and normalises for both; CLIP's usual one when absent.
        text_encoder: CLIP-L text encoder; all text encoders and tokenizers may be absent when embeddings are given.
        text_encoder_2: CLIP-bigG text encoder.
        text_encoder_3: T5; may be absent alone, its embeddings are then zeros.
        tokenizer, tokenizer_2, tokenizer_3: Of the text encoders.
        rescale_clip_input_twice: True, as the published weights need it: the vision encoders are fed pictures in
            [0, 1] divided by 255 again, nearly black ones, as in the release. False feeds correctly scaled pictures.
        negative_reference: True, as published: guidance's negative branch reads the person too, so that guidance leads
            towards the caption alone. False: it reads no reference, so that guidance leads towards the photo as well.
    """

    model_cpu_offload_seq = (
        "text_encoder->text_encoder_2->text_encoder_3->image_encoder_large->image_encoder_bigG"
        "->transformer_vton->transformer->vae"
    )
    _optional_components = [*COMPONENTS]
    _embeds_argument = "image_embeds"
    _joint_attention_kwargs = None  # of no call yet
    image_encoder = None  # SD3's, of IP-Adapters: diffusers asks for it before it offloads sequentially
    _callback_tensor_inputs = list(TENSORS)

    def __init__(
        self,
        transformer: TryOffTransformer | None = None,
        transformer_vton: FeatureExtractor | None = None,
        scheduler: FlowMatchEulerDiscreteScheduler | None = None,
        vae: AutoencoderKL | None = None,
        image_encoder_large: CLIPVisionModelWithProjection | None = None,
        image_encoder_bigG: CLIPVisionModelWithProjection | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        text_encoder: CLIPTextModelWithProjection | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: PreTrainedTokenizerBase | None = None,
        text_encoder_3: T5EncoderModel | None = None,
        tokenizer_3: PreTrainedTokenizerBase | None = None,
        rescale_clip_input_twice: bool = CONFIG["rescale_clip_input_twice"],
        negative_reference: bool = CONFIG["negative_reference"],
    ) -> None:
        super(StableDiffusion3Pipeline, self).__init__()  # SD3's own would register its components, not ours
        self._add_components(
            transformer=transformer,
            transformer_vton=transformer_vton,
            scheduler=scheduler,
            vae=vae,
            image_encoder_large=image_encoder_large,
            image_encoder_bigG=image_encoder_bigG,
            feature_extractor=feature_extractor,
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
        self.tokenizer_max_length = min(TEXT_TOKENS, getattr(tokenizer, "model_max_length", TEXT_TOKENS))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        pretrained_tryoff_name_or_path: str | Path | None = None,
        **how: Any,
    ) -> TryOffPipeline:
        """Loads from two sources, base and try-off, or from one that holds everything.

        Args:
            pretrained_model_name_or_path: Hub id or folder of the base model (VAE, scheduler, text encoders); or, when
                it stands alone, of a whole pipeline as `save_pretrained` writes it; or "builtin".
            pretrained_tryoff_name_or_path: Hub id or folder with `transformer/` and `transformer_vton/`.
            how: Precision, device, components and more: the keywords of `ReferencePipeline.load`, with its errors.
        """
        sources = (pretrained_model_name_or_path, pretrained_tryoff_name_or_path)
        pipe = cls.load(partial(load_components, *sources), MODELS, **how)
        load_adapters(pipe, Path(pretrained_model_name_or_path))
        return pipe

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
        callback_on_step_end_tensor_inputs: Sequence[str] | None = None,
        joint_attention_kwargs: Mapping[str, float] | None = None,
    ) -> StableDiffusion3PipelineOutput | tuple[list[PIL.Image.Image] | np.ndarray | torch.Tensor]:
        """Makes n product pictures of one garment in each of B photos.

        Args:
            image: The photos: PIL, a list of PIL, or (B, 3, H, W) in [0, 1]. PIL pictures are turned upright and
                stretched to `width` x `height`; `temu_vtoff.pictures.fit_picture` pads or crops them beforehand.
            mask: 1 (white) on the garment, with the photo's aspect ratio: PIL or (B, 1, H, W) in [0, 1].
            masked_image: The photos with the garment grey (0.5): PIL or (B, 3, H, W) in [0, 1]; derived when absent.
            prompt: The captions, one or one a photo; empty when absent.
            negative_prompt: What guidance leads away from; empty when absent.
            prompt_embeds: (B, T, joint_attention_dim), instead of `prompt`, with `pooled_prompt_embeds` (B, P).
            negative_prompt_embeds: (B, T, joint_attention_dim), instead of `negative_prompt`, with
                `negative_pooled_prompt_embeds` (B, P).
            image_embeds: (B, P), instead of encoding the photos.
            height: In pixels, a multiple of `working_size.multiple`; a tensor's own, else the model's own.
            width: In pixels, chosen as the height is.
            num_inference_steps: The preset's own when absent: 28 for "exact".
            guidance_scale: 1 or less turns guidance off and halves the work.
            num_images_per_prompt: n.
            generator: Where all randomness comes from. A list of B n generators makes each picture independent of
                the rest of the batch.
            latents: (B n, 16, h, w), the noise to start from.
            output_type: "pil", "pt" ((B n, 3, H, W) in [0, 1]), "np" ((B n, H, W, 3) in [0, 1]) or "latent".
            callback_on_step_end: Called as callback(pipeline, step, timestep, tensors) after each step; what it returns
                replaces those tensors. Setting `pipeline._interrupt = True` in it ends the loop; a change of
                `pipeline._guidance_scale` holds from the next step on. diffusers' own callbacks are taken too.
            preset: "exact", "fast" or "turbo", or a `Preset`: speed/quality trade-off.
            return_dict: False returns a tuple.
            callback_on_step_end_tensor_inputs: Names of what the callback is given, all when absent: `latents`,
                `prompt_embeds`, `pooled_prompt_embeds` and `pred_original_sample`, the clean latents (B n, 16, h, w)
                that the step predicts.
            joint_attention_kwargs: {"scale": s} scales the LoRA adapters for this call.

        Raises:
            NotFiniteError: Some of the pictures came out as NaN or infinity.
            ValueError: Sizes, ranges or numbers that don't fit, told in one sentence.
        """
        # 1. Numbers, photos, masks, masked images
        self._require(*REQUIRED)
        report = StepReporter.of(self, callback_on_step_end, callback_on_step_end_tensor_inputs)
        sampling = self._begin(preset, num_inference_steps, guidance_scale, report)
        inputs.check_numbers(output_type, sampling.steps, num_images_per_prompt, guidance_scale)
        photos = inputs.read_photos(
            image, mask, masked_image=masked_image, working_size=self.working_size, width=width, height=height
        )
        positive = Prompt("prompt", prompt, prompt_embeds, pooled_prompt_embeds)
        negative = Prompt("negative_prompt", negative_prompt, negative_prompt_embeds, negative_pooled_prompt_embeds)
        inputs.check_batch(len(photos), image_embeds=image_embeds, **positive.given, **negative.given)
        generator = inputs.check_generators(generator, len(photos) * num_images_per_prompt)

        with lora_scale(self, joint_attention_kwargs):
            # 2. Captions
            wanted = [negative, positive] if self.do_classifier_free_guidance else [positive]
            prompt_embeds, pooled = self._encode_branches(wanted, len(photos), num_images_per_prompt)

            # 3. The person: embeddings and latents, and of these the reference, once
            person, reference = self._encode_person(photos, image_embeds, num_images_per_prompt, generator)

            # 4. Denoise
            shape = (len(person), self.transformer.config.in_channels, *person.shape[-2:])
            latents = conditioning.starting_noise(latents, shape, generator, self._execution_device)
            conditions = Conditions(pooled, reference, guidance_scale, {"encoder_hidden_states": prompt_embeds})
            latents = self._denoise(self.transformer, latents, conditions, sampling)

        # 5. Decode
        images = finish(self, latents, output_type, self.transformer.dtype)
        return StableDiffusion3PipelineOutput(images=images) if return_dict else (images,)

    def encode_prompt(
        self,
        prompt: str | list[str],
        prompt_2: str | list[str] | None = None,
        prompt_3: str | list[str] | None = None,
        *args: Any,
        max_sequence_length: int | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...]:
        """SD3's prompt encoding; T5 is cut to CLIP's 77 tokens, fewer where the CLIP tokenizer says so, by default."""
        if max_sequence_length is None:
            max_sequence_length = self.tokenizer_max_length
        return super().encode_prompt(
            prompt, prompt_2, prompt_3, *args, max_sequence_length=max_sequence_length, **kwargs
        )

    def encode_captions(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (B, 2 x 77, joint_attention_dim) and pooled embeddings (B, P)."""
        if self.text_encoder is None or self.text_encoder_2 is None:
            raise ValueError(
                "This pipeline has no text encoders: give prompt_embeds and pooled_prompt_embeds, and with guidance "
                "negative_prompt_embeds and negative_pooled_prompt_embeds."
            )
        inputs.check_texts(captions)
        embeds, _, pooled, _ = self.encode_prompt(captions, do_classifier_free_guidance=False)
        return embeds, pooled

    def extract_reference(self, person: torch.Tensor, image_embeds: torch.Tensor) -> ReferenceFeatures | None:
        """The person's features, in the negative branch too where guidance reads them there."""
        negative = self.do_classifier_free_guidance and self.config.negative_reference
        return conditioning.extract_reference(self.transformer_vton, person, image_embeds, negative)

    def _require(self, *names: str) -> None:
        if absent := [name for name in names if getattr(self, name) is None]:
            raise ValueError(f"This pipeline was loaded without {', '.join(absent)} and makes no pictures.")

    def _encode_branches(self, branches: list[Prompt], count: int, copies: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (2 B n, T, joint_attention_dim) and pooled ones (2 B n, P) of all branches, each row n times."""
        embeds, pooled = zip(*(self._encode_or_take(branch, count) for branch in branches), strict=True)
        device, dtype = self._execution_device, self.transformer.dtype
        embeds, pooled = (
            torch.cat([x.to(device, dtype).repeat_interleave(copies, dim=0) for x in parts])
            for parts in (embeds, pooled)
        )
        return embeds, pooled

    def _encode_or_take(self, prompt: Prompt, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and pooled ones of one branch: as given, or encoded, an empty caption once for all photos."""
        if prompt.embeds is not None:
            return prompt.embeds, prompt.pooled
        if prompt.texts is None:
            return tuple(x.expand(count, *x.shape[1:]) for x in self.encode_captions([""]))
        return self.encode_captions(inputs.one_each(prompt.texts, count, prompt.argument))

    def _encode_person(
        self, photos: inputs.Photos, image_embeds: torch.Tensor | None, copies: int, generator: Generators | None
    ) -> tuple[torch.Tensor, ReferenceFeatures | None]:
        """The extractor's input (B n, 33, h, w), and what it makes of it."""
        if image_embeds is None:
            image_embeds = self.encode_image(photos.image)  # (B, P)
        person = self.encode_latents(photos.image, copies, generator)  # (B n, 16, h, w)
        masked = self.encode_latents(photos.masked_image, copies, generator)
        mask = self.encode_mask(photos.mask, person, copies)
        channels = conditioning.person_channels(person, mask, masked)
        image_embeds = image_embeds.to(self._execution_device).repeat_interleave(copies, dim=0)  # (B n, P)
        return channels, self.extract_reference(channels, image_embeds)
