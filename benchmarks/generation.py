"""The generation of product pictures, stage by stage, and its denoising loop beside the plain computation's."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks import measuring
from benchmarks import reference as published
from benchmarks.scales import build
from drawn_people import draw_person
from temu_vtoff import TryOffPipeline
from temu_vtoff.hardware.acceleration import choose_attention_backend, speed_up
from temu_vtoff.hardware.devices import place
from temu_vtoff.runs.record import peak_memory_mb
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.tryoff.conditioning import extract_reference, latent_mask, person_channels
from temu_vtoff.tryoff.denoising import Conditions, denoise
from temu_vtoff.tryoff.inputs import read_photos
from temu_vtoff.tryoff.presets import PRESETS

CATEGORY, SEED = "upper_body", 901  # the drawn person's
GUIDANCE_SCALE, REFERENCE_STEPS = 2.0, 28


@dataclass(frozen=True)
class BenchmarkSettings:
    """The settings that one pipeline is measured at.

    Attributes:
        batch: Photos at once.
        steps: Steps of every preset; None takes the presets' own.
        compile: Compile the transformers' blocks, unless they are offloaded sequentially.
        fp8: Whether the pipeline multiplies in 8-bit floating point.
        reference: Time the plain computation too.
        repeats: How often each denoising loop is timed.
    """

    scale: str
    batch: int
    device: torch.device
    dtype: torch.dtype
    offload: str
    steps: int | None = None
    compile: bool = True
    attention_backend: str | None = None
    fp8: bool = False
    reference: bool = False
    repeats: int = 3

    def steps_of(self, preset: str) -> int:
        """The number of steps of a preset."""
        return PRESETS[preset].steps if self.steps is None else self.steps


@dataclass(frozen=True)
class Call:
    """One call of the pipeline, stage by stage.

    Attributes:
        seconds: Seconds by stage.
        noise: (B, 16, h, w), the starting latents.
        person: (B, 33, h, w), the extractor's input.
        image_embeds: (B, P).
    """

    seconds: dict[str, float]
    noise: torch.Tensor
    conditions: Conditions
    person: torch.Tensor
    image_embeds: torch.Tensor


def measure(settings: BenchmarkSettings, presets: list[str]) -> None:
    """Measures presets that share a pipeline and writes their rows."""
    device, dtype = settings.device, settings.dtype
    pipe = build(settings.scale, device, dtype)
    plain = [*map(published.stock, (pipe.transformer, pipe.transformer_vton))] if settings.reference else None
    offload = place(pipe, device, settings.offload)
    compiled = settings.compile and offload != "sequential"
    speed_up(pipe, compiled, settings.attention_backend, settings.fp8)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    calls = {preset: whole_call(pipe, settings, preset) for preset in presets}
    first = calls[presets[0]]
    loops = {preset: denoising_loop(pipe, settings, preset, first) for preset in presets}
    if plain is not None:
        loops = {"reference": reference_loop(pipe, plain, first, settings.steps or REFERENCE_STEPS)} | loops
    times = measuring.in_turn(loops, device, settings.repeats)
    outputs = {name: work() for name, work in loops.items()} if plain is not None else {}
    conditions = {
        "device": measuring.device_name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "compiled": compiled,
        "attention": settings.attention_backend or choose_attention_backend(device, dtype),
        "offload": offload,
        "fp8": settings.fp8,
    }
    for preset in presets:
        row = row_of(pipe, settings, preset=preset, call=calls[preset], times=times) | conditions
        if plain is not None:
            row["max_difference"] = float((outputs[preset] - outputs["reference"]).abs().max())
        measuring.write_row("generation", row)
        print(in_short(row))


def row_of(
    pipe: TryOffPipeline, settings: BenchmarkSettings, preset: str, call: Call, times: dict[str, list[float]]
) -> dict[str, Any]:
    """A preset's figures."""
    height, width = call.noise.shape[-2:]
    tokens = height * width // pipe.transformer.config.patch_size**2
    text_tokens = call.conditions.inputs["encoder_hidden_states"].shape[1]
    per_branch = measuring.denoising_flops(pipe.transformer.config, tokens, text_tokens)
    steps, summary = settings.steps_of(preset), measuring.summary(times[preset])
    row = {
        "scale": settings.scale,
        "preset": preset,
        "batch": settings.batch,
        "steps": steps,
        "branches": 2 * steps,  # evaluations of the generator; every step is guided
        "size": [width * pipe.vae_scale_factor, height * pipe.vae_scale_factor],
        "denoise_seconds": summary,
        "stage_seconds": {stage: round(s, 4) for stage, s in call.seconds.items()},
        "peak_memory_mb": peak_memory_mb(),
        "product_tflops": round(measuring.product_rate(settings.device, settings.dtype), 3),
        "denoise_tflops": round(per_branch * 2 * steps * settings.batch / summary["median"] / 1e12, 3),
    }
    if "reference" in times:
        row["reference_seconds"] = measuring.summary(times["reference"])
        row["speedup"] = round(median(times["reference"]) / median(times[preset]), 3)
    return row


def whole_call(pipe: TryOffPipeline, settings: BenchmarkSettings, preset: str) -> Call:
    """A warm call on a drawn person."""
    person = draw_person(SEED, CATEGORY)
    worn = mask_picture(np.isin(np.asarray(person.label_map), ATR.of_category(CATEGORY)))
    photos = read_photos(
        [person.photo] * settings.batch,
        [worn] * settings.batch,
        masked_image=None,
        working_size=pipe.working_size,
        width=None,
        height=None,
    )
    caption = person.garments[CATEGORY].caption
    staged_call(pipe, settings, preset=preset, photos=photos, caption=caption)
    return staged_call(pipe, settings, preset=preset, photos=photos, caption=caption)


def staged_call(pipe: TryOffPipeline, settings: BenchmarkSettings, preset: str, photos: Any, caption: str) -> Call:
    """The steps of the pipeline's `__call__`, each timed."""
    count, rng, clock = len(photos), torch.Generator().manual_seed(0), measuring.Clock(settings.device)
    with torch.no_grad():
        texts = [clock("encode", lambda text=text: pipe.encode_captions([text] * count)) for text in ("", caption)]
        prompt, pooled = (torch.cat(x).to(settings.device, settings.dtype) for x in zip(*texts, strict=True))
        embeds = clock("encode", lambda: pipe.encode_image(photos.image))
        latents = clock("encode", lambda: pipe.encode_latents(photos.image, generator=rng))
        masked = clock("encode", lambda: pipe.encode_latents(photos.masked_image, generator=rng))
        mask = latent_mask(photos.mask.to(latents), latents.shape[-2:])
        person = person_channels(latents, mask, masked)
        reference = clock("extract", lambda: extract_reference(pipe.transformer_vton, person, embeds, negative=True))
        conditions = Conditions(pooled, reference, GUIDANCE_SCALE, inputs={"encoder_hidden_states": prompt})
        noise = torch.randn(latents.shape, generator=rng).to(settings.device)
        scheduler, steps = PRESETS[preset].scheduler(pipe.scheduler), settings.steps_of(preset)
        sampling = {"latents": noise, "conditions": conditions, "steps": steps}
        latents = clock("denoise", lambda: denoise(pipe.transformer, scheduler, **sampling))
        images = clock("decode", lambda: pipe.image_processor.postprocess(pipe.decode_latents(latents)))
        pipe.maybe_free_model_hooks()
    with tempfile.TemporaryDirectory() as folder:
        clock("write", lambda: images[0].save(Path(folder) / "picture.png"))
    return Call(clock.seconds, noise, conditions=conditions, person=person, image_embeds=embeds)


def denoising_loop(
    pipe: TryOffPipeline, settings: BenchmarkSettings, preset: str, call: Call
) -> Callable[[], torch.Tensor]:
    """The denoising loop of a preset."""
    scheduler, steps = PRESETS[preset].scheduler(pipe.scheduler), settings.steps_of(preset)
    sampling = {"latents": call.noise, "conditions": call.conditions, "steps": steps}
    return lambda: denoise(pipe.transformer, scheduler, **sampling)


def reference_loop(pipe: TryOffPipeline, plain: list[Any], call: Call, steps: int) -> Callable[[], torch.Tensor]:
    """The plain denoising loop for the same picture; its extractor runs once, beforehand."""
    generator, extractor = plain
    prompt, pooled = call.conditions.inputs["encoder_hidden_states"], call.conditions.pooled_embeds
    both = torch.cat([torch.zeros_like(call.image_embeds), call.image_embeds]).to(prompt)
    with torch.no_grad():
        reference = published.extract(extractor, torch.cat([call.person] * 2).to(prompt), both)
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)

    @torch.no_grad()
    def loop() -> torch.Tensor:
        return published.denoise(
            generator,
            scheduler,
            latents=call.noise,
            prompt_embeds=prompt,
            pooled=pooled,
            reference=reference,
            steps=steps,
            guidance_scale=GUIDANCE_SCALE,
        )

    return loop


def in_short(row: dict[str, Any]) -> str:
    """A row in one line."""
    line = f"{row['scale']} {row['preset']} batch {row['batch']}: {row['denoise_seconds']['median']:.3f} s"
    if "speedup" in row:
        line += f", {row['speedup']:.2f} x the reference, difference {row['max_difference']:.1e}"
    return line + "; " + ", ".join(f"{stage} {s:.3f}" for stage, s in row["stage_seconds"].items())
