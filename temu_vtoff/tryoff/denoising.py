"""The denoising loop: flow matching, x_(t - dt) = x_t - dt v, with classifier-free guidance

    v = v_negative + s (v_positive - v_negative)

on the steps that a preset guides (arXiv 2505.21062, section 3; interval guidance: arXiv 2404.07724). Where the negative
branch reads no reference, what guidance leads away from is the model without its extractor (cf. autoguidance, arXiv
2406.02507).

Letters: B pictures, h w latent size, T text tokens, P pooled width, S steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from temu_vtoff.models.block_cache import FirstBlockCache
from temu_vtoff.models.feature_extractor import ReferenceFeatures
from temu_vtoff.tryoff.presets import Preset

StepCallback = Callable[[Any, int, torch.Tensor, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """One run of the generator: which of the 2 B conditions it takes, and what goes with them."""

    conditions: slice
    reference: ReferenceFeatures | None
    cache: FirstBlockCache | None


class DenoisingMixin:
    """The sampling half of `TryOffPipeline`, whose components it uses."""

    @torch.no_grad()
    def denoise(
        self,
        latents: torch.Tensor,
        prompt_embeds: torch.Tensor,
        pooled_prompt_embeds: torch.Tensor,
        reference: ReferenceFeatures | None,
        guidance_scale: float,
        preset: Preset,
        steps: int,
        callback_on_step_end: StepCallback | None = None,
    ) -> torch.Tensor:
        """From noise to the product pictures' latents.

        Args:
            latents: (B, 16, h, w), noise, in float32: the path of integration stays in full precision.
            prompt_embeds: (2 B, T, joint_attention_dim), negative before positive; (B, ...) without guidance.
            pooled_prompt_embeds: Likewise, (2 B, P).
            reference: Likewise; of B although guided, it is the positive branch's, and the negative one reads none.
                None leaves stock SD3.
            guidance_scale: 1 or less turns guidance off.
            preset: Solver, guided steps, caching.
            steps: S.
            callback_on_step_end: As of `TryOffPipeline.__call__`.

        Returns:
            (B, 16, h, w) in float32.
        """
        batch, both = len(latents), len(prompt_embeds)
        scheduler = preset.scheduler(self.scheduler)
        scheduler.set_timesteps(steps, device=latents.device)
        self._num_timesteps = steps
        modulated = None

        def evaluation(first: int, end: int, reference: ReferenceFeatures | None) -> Evaluation:
            cache = FirstBlockCache(preset.cache_threshold) if preset.cache_threshold > 0 else None
            return Evaluation(slice(first, end), reference, cache)

        positive = evaluation(both - batch, both, None if reference is None else reference[-batch:])
        if reference is None or reference.batch_size == both:
            with_negative = [evaluation(0, both, reference)]
        else:
            with_negative = [evaluation(0, batch, None), positive]

        with self.progress_bar(total=steps) as progress:
            for step, timestep in enumerate(scheduler.timesteps):
                if self._interrupt:
                    break
                if modulated is not pooled_prompt_embeds:  # at the start, and when a callback has changed it
                    modulated = pooled_prompt_embeds
                    modulations = self.transformer.modulations(
                        scheduler.timesteps.repeat_interleave(both), modulated.repeat(steps, 1)
                    )  # of S x 2 B
                guided = both > batch and preset.is_guided(step, steps)
                noisy = latents.to(prompt_embeds.dtype).repeat(both // batch, 1, 1, 1)
                velocities = [
                    self.transformer(
                        hidden_states=noisy[one.conditions],
                        encoder_hidden_states=prompt_embeds[one.conditions],
                        reference=one.reference,
                        modulations=modulations[step * both : (step + 1) * both][one.conditions],
                        cache=one.cache,
                        return_dict=False,
                    )[0].float()
                    for one in (with_negative if guided else [positive])
                ]
                velocity = torch.cat(velocities)
                if guided:
                    negative, velocity = velocity.chunk(2)
                    velocity = negative + guidance_scale * (velocity - negative)
                latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]

                if callback_on_step_end is not None:
                    tensors = {
                        "latents": latents,
                        "prompt_embeds": prompt_embeds,
                        "pooled_prompt_embeds": pooled_prompt_embeds,
                    }
                    tensors |= callback_on_step_end(self, step, timestep, tensors) or {}
                    latents, prompt_embeds = tensors["latents"], tensors["prompt_embeds"]
                    pooled_prompt_embeds = tensors["pooled_prompt_embeds"]
                progress.update()
        return latents
