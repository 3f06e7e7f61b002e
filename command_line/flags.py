"""Flags that several scripts share: sampling, models, device, speed."""

import argparse

from command_line.common import positive

MIXED_PRECISION = ("no", "fp16", "bf16")
ATTENTION_BACKENDS = ("flash3", "flash2", "cudnn", "native", "onednn")


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Size and sampling: what `TryOffPipeline` takes."""
    from temu_vtoff.pictures import RESIZE_MODES

    add = parser.add_argument_group("sampling").add_argument
    add("--width", type=int, help="pixels, a multiple of 16; when absent the model's own: published 768, built-in 192")
    add("--height", type=int, help="likewise: published 1024, built-in 256")
    add("--resize_mode", default="pad", choices=RESIZE_MODES, help="for photos of another aspect ratio")
    add("--guidance_scale", type=float, default=2.0, help="1 or less turns guidance off")
    add("--num_inference_steps", type=positive, help="when absent the preset's own: exact 28")


def add_model_flags(parser: argparse.ArgumentParser, stages: bool = True, image_encoders: bool = True) -> None:
    """Which models to use: what `temu_vtoff.stages.options.ModelChoice.from_flags` takes.

    Args:
        stages: Whether the script segments and captions too.
        image_encoders: Whether it looks at photos by the pipeline's image encoders.
    """
    from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER, PUBLISHED_SEGMENTER

    group = parser.add_argument_group(
        "models", 'hub ids, folders or "builtin"; naming one of the two published sources fills in the other'
    )
    add = group.add_argument
    add("--pretrained_model_name_or_path", metavar="BASE", help="base model, or a whole pipeline; builtin when absent")
    add(
        "--pretrained_model_name_or_path_sd3_tryoff",
        metavar="TRYOFF",
        help="generator and feature extractor; builtin when absent",
    )
    if stages:
        beside = "when absent, the built-in one beside the built-in try-off model, else"
        add("--segmentation_model", help=f"SegFormer; {beside} {PUBLISHED_SEGMENTER}")
        add("--caption_model", help=f"Qwen2.5-VL; {beside} {PUBLISHED_CAPTIONER}")
    if image_encoders:
        own = "when absent, the pipeline's own, else"
        add("--image_encoder_large", help=f"CLIP-L vision encoder; {own} openai/clip-vit-large-patch14")
        add("--image_encoder_bigG", help=f"bigG vision encoder; {own} laion/CLIP-ViT-bigG-14-laion2B-39B-b160k")
    add("--revision", help="revision of BASE")
    add("--variant", help="variant of BASE's weights, e.g. fp16")


def add_device_flags(parser: argparse.ArgumentParser, offload: bool = True) -> None:
    """Where and in which precision models run: what `temu_vtoff.hardware.devices` takes.

    Args:
        offload: Whether the script loads the whole pipeline, which may be too much for a GPU.
    """
    group = parser.add_argument_group("device")
    add = group.add_argument
    add("--device", help="cpu, cuda, cuda:1 or mps; the best there is when absent")
    add("--mixed_precision", choices=MIXED_PRECISION, help="when absent, bf16 where it is native and faster, else no")
    if offload:
        add(
            "--offload",
            default="auto",
            choices=("auto", "none", "model", "sequential"),
            help="keep models in host memory until they are used: less GPU memory, more time; auto: as memory needs",
        )


def add_speed_flags(parser: argparse.ArgumentParser) -> None:
    """Speed and memory: what `Means.from_flags` takes. docs/performance.md has the figures."""
    from temu_vtoff.tryoff.presets import PRESETS

    add = parser.add_argument_group("speed and memory").add_argument
    add(
        "--preset", default="exact", choices=PRESETS, help="how much quality may be given for speed: none, little, more"
    )
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the transformers' blocks; when absent, for many photos only",
    )
    add("--attention_backend", choices=ATTENTION_BACKENDS, help="kernel; the fastest at hand when absent")
    add("--quantize_text_encoder", type=int, choices=(8, 4), help="bits of T5's weights: less memory")
    add("--quantize_transformers", type=int, choices=(8, 4), help="bits of both transformers' weights; 4 on a GPU only")
    add("--vae_tiling", action="store_true", help="encode and decode in tiles: less memory, faint seams")
