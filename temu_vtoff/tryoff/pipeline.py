"""The try-off pipeline: a photo, the mask of a garment in it and a caption in, the garment's product picture out
(arXiv 2505.21062, section 3; sampling by flow matching with Euler steps and classifier-free guidance).

Letters: B photos, n pictures of each, H W picture size, h w latent size, T text tokens, P pooled width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SchedulerMixin, StableDiffusion3Pipeline
from diffusers.image_processor import VaeImageProcessor
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
from temu_vtoff.tryoff.callbacks import TENSORS, StepCallback, StepReporter, chosen_tensors
from temu_vtoff.tryoff.components import COMPONENTS, CONFIG
from temu_vtoff.tryoff.conditioning import TEXT_TOKENS, Generators
from temu_vtoff.tryoff.denoising import Conditions, denoise
from temu_vtoff.tryoff.inputs import Pictures, Prompt
from temu_vtoff.tryoff.loading import Dtypes, LoadingOptions, device_of, load_components
from temu_vtoff.tryoff.lora import (
    load_adapters,
    lora_scale,
)
from temu_vtoff.tryoff.outputs import finish
from temu_vtoff.tryoff.presets import Preset, choose_preset


class TryOffPipeline(AdaptedPipeline):
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
    _optional_components = [*COMPONENTS]
    _guidance_scale, _joint_attention_kwargs, _interrupt = 1.0, None, False  # of no call yet
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
        self.vae_scale_factor = 8 if vae is None else 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.tokenizer_max_length = min(TEXT_TOKENS, getattr(tokenizer, "model_max_length", TEXT_TOKENS))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        pretrained_tryoff_name_or_path: str | Path | None = None,
        *,
        torch_dtype: Dtypes = torch.float32,
        dtype: Dtypes = None,
        revision: str | None = None,
        variant: str | None = None,
        quantize: Mapping[str, int] | None = None,
        device_map: str | torch.device | None = None,
        **components: Any,
    ) -> TryOffPipeline:
        """Loads from two sources, base and try-off, or from one that holds everything.

        Args:
            pretrained_model_name_or_path: Hub id or folder of the base model (VAE, scheduler, text encoders); or, when
                it stands alone, of a whole pipeline as `save_pretrained` writes it; or "builtin".
            pretrained_tryoff_name_or_path: Hub id or folder with `transformer/` and `transformer_vton/`.
            torch_dtype: Precision of all models: a dtype, its name, "auto" for that of the files, or a mapping by
                component with a "default".
            dtype: Another name of `torch_dtype`.
            revision: Revision of the first source.
            variant: Variant of the first source's weights, e.g. "fp16"; a component without it is loaded without.
            quantize: Bits of the weights, 8 or 4, by component: the transformers and `text_encoder_3`.
            device_map: A device that all of it goes to.
            components: Components to use instead of loading them, by name; None leaves one out (T5, say). The image
                encoders may also be named by hub id or folder. Also the two values of the configuration, and of
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
        )
        device = device_of(device_map)
        pipe = cls(
            **load_components(pretrained_model_name_or_path, pretrained_tryoff_name_or_path, components, options)
        )
        load_adapters(pipe, Path(pretrained_model_name_or_path))
        return pipe if device is None else pipe.to(device)

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
            mask: 1 (white) on the garment: PIL or (B, 1, H, W) in [0, 1].
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
        scheduler, steps = self._begin(choose_preset(preset), num_inference_steps, guidance_scale)
        inputs.check_numbers(output_type, steps, num_images_per_prompt, guidance_scale)
        photos = inputs.read_photos(
            image, mask, masked_image=masked_image, working_size=self.working_size, width=width, height=height
        )
        positive = Prompt("prompt", prompt, prompt_embeds, pooled_prompt_embeds)
        negative = Prompt("negative_prompt", negative_prompt, negative_prompt_embeds, negative_pooled_prompt_embeds)
        inputs.check_batch(len(photos), image_embeds=image_embeds, **positive.given, **negative.given)
        generator = inputs.check_generators(generator, len(photos) * num_images_per_prompt)
        names = chosen_tensors(callback_on_step_end, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)

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
            with self.progress_bar(total=steps) as progress:
                on_step = StepReporter(self, progress, callback_on_step_end, names)
                latents = denoise(
                    self.transformer, scheduler, latents=latents, conditions=conditions, steps=steps, on_step=on_step
                )

        # 5. Decode
        images = finish(self, latents, output_type, self.transformer.dtype)
        return StableDiffusion3PipelineOutput(images=images) if return_dict else (images,)

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """The photos' pooled embeddings, (B, 3, H, W) in [0, 1] -> (B, P)."""
        encoders = (self.image_encoder_large, self.image_encoder_bigG)
        if None in encoders:
            raise ValueError("This pipeline has no image encoders: give image_embeds.")
        rescale_twice = self.config.rescale_clip_input_twice
        return conditioning.encode_image(
            encoders, self.feature_extractor, image, rescale_twice, device=self._execution_device
        )

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

    def encode_latents(self, image: torch.Tensor, copies: int = 1, generator: Generators | None = None) -> torch.Tensor:
        """Samples of the VAE's latents of (B, 3, H, W) in [0, 1]; see `conditioning.encode_latents`."""
        return conditioning.encode_latents(self.vae, image, copies, generator, device=self._execution_device)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) in float32, about [-1, 1], of latents (B, 16, h, w)."""
        return conditioning.decode_latents(self.vae, latents)

    def extract_reference(self, person: torch.Tensor, image_embeds: torch.Tensor) -> ReferenceFeatures | None:
        """The person's features, in the negative branch too where guidance reads them there."""
        negative = self.do_classifier_free_guidance and self.config.negative_reference
        return conditioning.extract_reference(self.transformer_vton, person, image_embeds, negative)

    def _begin(self, preset: Preset, steps: int | None, guidance_scale: float) -> tuple[SchedulerMixin, int]:
        """The solver and its number of steps; what callbacks may ask the pipeline for is set.

        Raises:
            ValueError: A component is absent, or the scheduler doesn't fit a flow model.
        """
        self._require(*REQUIRED)
        steps = preset.steps if steps is None else steps
        self._guidance_scale, self._interrupt, self._num_timesteps = guidance_scale, False, steps
        return preset.scheduler(self.scheduler), steps

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
        device = self._execution_device
        person = self.encode_latents(photos.image, copies, generator)  # (B n, 16, h, w)
        masked = self.encode_latents(photos.masked_image, copies, generator)
        mask = conditioning.latent_mask(photos.mask.to(device), person.shape[-2:]).repeat_interleave(copies, dim=0)
        channels = conditioning.person_channels(person, mask, masked)
        image_embeds = image_embeds.to(device).repeat_interleave(copies, dim=0)  # (B n, P)
        return channels, self.extract_reference(channels, image_embeds)
