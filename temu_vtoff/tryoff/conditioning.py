"""What the transformers are conditioned on: the person's embedding, latents (z - shift) x scale and reference features,
and the caption (arXiv 2505.21062, section 3).

Letters: B photos, n pictures of each, H W picture size, h w latent size, T text tokens, P pooled width.
"""

import torch
from diffusers.utils.torch_utils import randn_tensor

from temu_vtoff.models.feature_extractor import ReferenceFeatures

TEXT_TOKENS = 77  # at most, of CLIP and of T5 each: the published model was trained with T5 cut to CLIP's length

Generators = torch.Generator | list[torch.Generator]


class ConditioningMixin:
    """The encoding half of `TryOffPipeline`, whose components it uses."""

    _empty_caption: tuple[object, tuple[torch.Tensor, torch.Tensor]] | None = None

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """The photos' pooled embeddings by both vision encoders.

        Args:
            image: (B, 3, H, W) in [0, 1].

        Returns:
            (B, P), CLIP-L first.
        """
        encoders = (self.image_encoder_large, self.image_encoder_bigG)
        if None in encoders:
            raise ValueError("This pipeline has no image encoders: give image_embeds.")
        pixel_values = self.feature_extractor(
            images=list(image.float().cpu()),
            do_rescale=self.config.rescale_clip_input_twice,  # the pictures are in [0, 1] already
            return_tensors="pt",
        ).pixel_values  # (B, 3, 224, 224)
        pixel_values = pixel_values.to(self._execution_device, encoders[0].dtype)
        return torch.cat([encoder(pixel_values).image_embeds for encoder in encoders], dim=-1)

    def encode_captions(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """SD3's prompt encoding with T5 cut to CLIP's 77 tokens (fewer where the CLIP tokenizer says so).

        Returns:
            Embeddings (B, 2 x 77, joint_attention_dim) and pooled embeddings (B, P).
        """
        if self.text_encoder is None or self.text_encoder_2 is None:
            raise ValueError(
                "This pipeline has no text encoders: give prompt_embeds and pooled_prompt_embeds, and with guidance "
                "negative_prompt_embeds and negative_pooled_prompt_embeds."
            )
        embeds, _, pooled, _ = self.encode_prompt(
            captions, None, None, do_classifier_free_guidance=False, max_sequence_length=self.tokenizer_max_length
        )
        return embeds, pooled

    def encode_empty_caption(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As `encode_captions([""])`; kept as long as the text encoders stay what they are."""
        encoders = (self.text_encoder, self.text_encoder_2, self.text_encoder_3)
        made_by = [(id(encoder), getattr(encoder, "dtype", None)) for encoder in encoders]
        adapted = any(getattr(encoder, "_hf_peft_config_loaded", False) for encoder in encoders)
        if self._empty_caption is None or self._empty_caption[0] != made_by or adapted:
            self._empty_caption = (made_by, self.encode_captions([""]))
        return self._empty_caption[1]

    def encode_latents(self, image: torch.Tensor, copies: int = 1, generator: Generators | None = None) -> torch.Tensor:
        """Samples of the VAE's latents, scaled and shifted as the transformers expect them.

        Args:
            image: (B, 3, H, W) in [0, 1].
            copies: n samples of each picture.
            generator: One, or one for each sample.

        Returns:
            (B n, 16, h, w) in float32, the samples of a picture side by side.
        """
        posterior = self.vae.encode((2 * image - 1).to(self._execution_device, self.vae.dtype)).latent_dist
        mean, std = (x.float().repeat_interleave(copies, dim=0) for x in (posterior.mean, posterior.std))
        latents = mean + std * randn_tensor(mean.shape, generator=generator, device=mean.device)
        return (latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """The way back: (B, 16, h, w) -> (B, 3, H, W) in float32, about [-1, 1]."""
        latents = latents / self.vae.config.scaling_factor + self.vae.config.shift_factor
        return self.vae.decode(latents.to(self.vae.dtype), return_dict=False)[0].float()

    def extract_reference(self, person: torch.Tensor, image_embeds: torch.Tensor, negative: bool) -> ReferenceFeatures:
        """Runs the feature extractor, once for a whole denoising.

        Args:
            person: (B, 33, h, w): person latents, mask, latents of the greyed photo.
            image_embeds: (B, P).
            negative: Whether that of guidance's negative branch goes before: the same person with a zero embedding.

        Returns:
            Features of B, or of 2 B with the negative ones.
        """
        if negative:
            person = torch.cat([person, person])
            image_embeds = torch.cat([torch.zeros_like(image_embeds), image_embeds])
        dtype = self.transformer_vton.dtype
        return self.transformer_vton(person.to(dtype), image_embeds.to(dtype))
