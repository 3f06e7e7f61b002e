"""The flags of train.py. `temu_vtoff.training.settings` has their defaults and checks. Settings that are rarely changed
are flags too, but the help only lists their names."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from command_line.common import positive, say
from command_line.config import add_config_flag, parse_with_config, refuse
from temu_vtoff.training.settings import PUBLISHED_ALIGN_SIZE, TrainingSettings

if TYPE_CHECKING:
    from temu_vtoff.training import Outcome

BUILTIN_FLAGS = (  # only for the training of the built-in model
    "optimizer",
    "patch_size",
    "qk_norm",
    "random_flip",
    "regress_weight",
    "correspondence_weight",
    "correspondence_block",
    "correspondence_dir",
)
RARE = "Rarely changed, as flags or keys of a config file (docs/training.md explains them): "
Flag = Callable[..., None]


def add_flags(parser: argparse.ArgumentParser, settings: type[TrainingSettings] = TrainingSettings) -> None:
    """All flags of a training, with the defaults and choices of its settings."""
    add_config_flag(parser)
    add_model_flags(adder(parser.add_argument_group("what is trained"), settings))
    add_data_flags(adder(parser.add_argument_group("data"), settings))
    add_loss_flags(adder(parser.add_argument_group("flow matching and guidance"), settings))
    add_optimization_flags(adder(parser.add_argument_group("optimization"), settings))
    add_output_flags(adder(parser.add_argument_group("output"), settings))
    hidden, shown = (
        {a.dest for a in parser._actions if (a.help is argparse.SUPPRESS) == rare} for rare in (True, False)
    )
    parser.epilog = textwrap.fill(RARE + ", ".join(sorted(hidden - shown)) + ".", width=79, break_on_hyphens=False)


def adder(group: argparse._ArgumentGroup, settings: type[TrainingSettings]) -> Flag:
    """A group's `add_argument` that takes default and choices from the setting of the flag's name.

    `rare=True` leaves the flag out of the help; further names are aliases.
    """
    defaults = {field.name: field.default for field in fields(settings)}
    choices = settings.choices()

    def add(name: str, *old_names: str, help: str, rare: bool = False, **options: Any) -> None:
        default = defaults[name]
        if name in choices:
            options["choices"] = [choice for choice in choices[name] if choice is not None]
        if default is MISSING:
            options["required"] = True
        elif options.get("action") != "store_true":
            options["default"] = default
        group.add_argument(f"--{name}", dest=name, help=argparse.SUPPRESS if rare else help, **options)
        for old in old_names:
            options.pop("required", None)
            group.add_argument(f"--{old}", dest=name, help=argparse.SUPPRESS, **options)

    return add


def add_model_flags(add: Flag) -> None:
    """What is trained, and from which weights."""
    add("task", help="what the model does")
    add("stage", help="of try_off: extractor (stage 1), generator (stage 2) or joint (both at once)")
    add("pretrained_model_name_or_path", help="base model: hub id, folder or builtin; also where the weights start")
    add("pretrained_model_name_or_path_sd3_tryoff", help="hub id or folder of transformers to start from instead")
    add("pretrained_extractor_name_or_path", help="folder of the trained extractor, for stage generator")
    add("image_encoder_large", help="CLIP-L vision encoder; default: the base's own, else the published one")
    add("image_encoder_bigG", help="CLIP-bigG vision encoder; default: the base's own, else the published one")
    add(
        "correct_clip_input",
        action="store_true",
        help="give the image encoders correctly scaled pictures, unlike the published model",
    )
    add("from_scratch", action="store_true", help="start from fresh weights")
    add("num_layers", type=int, rare=True, help="blocks of each fresh transformer")
    add("num_attention_heads", type=int, rare=True, help="heads of 64 channels of each fresh transformer")
    add("lora_rank", type=int, help="train low-rank adapters of the generator only, of this rank")
    add("align_weight", type=float, help="weight of the alignment loss; 0 is off")
    add("align_model", help="vision transformer to align with: hub id or folder")
    add("align_size", type=int, rare=True, help=f"side of its input in pixels (published: {PUBLISHED_ALIGN_SIZE})")
    add("align_block", type=int, help="block of the generator that is aligned, counted from 1")


def add_data_flags(add: Flag) -> None:
    """Which items, and how they are read."""
    add("dataset_name", help="layout of the data set")
    add("dataset_root", help="folder of the data set")
    add("category", help="upper_body, lower_body, dresses or all")
    add("caption_file", nargs="+", help="JSON files of captions; an item without caption has the empty one")
    add("mask_dir", help="masks made by SegCloth.py; an item without one has its label map's")
    add("region", rare=True, help="what try_on repaints: the rectangle around garment and limbs, or tight around both")
    add("width", type=int, help="width in pixels; default: the model's own")
    add("height", type=int, help="height in pixels; default: the model's own")
    add("cache_dir", help="encode the data once into this folder instead of at every step")
    add("encode_batch_size", type=positive, rare=True, help="pictures at once while the cache is filled")
    add("dataloader_num_workers", type=int, help="processes that read the data")


def add_loss_flags(add: Flag) -> None:
    """Times, weighting and dropped conditions."""
    add("timestep_sampling", "weighting_scheme", help="distribution of the times")
    add("logit_mean", type=float, rare=True, help="mean of logit_normal times")
    add("logit_std", type=float, rare=True, help="deviation of logit_normal times")
    add(
        "shift",
        type=float,
        help="shift of times towards noise, also of the exported scheduler",
    )
    add("loss_weighting", rare=True, help="weighting of the loss over time")
    add("condition_dropout", type=float, help="share of items without caption and image embedding")
    add("caption_dropout", type=float, help="share of the others without caption")
    add("image_embedding_dropout", type=float, rare=True, help="share of the others without image embedding")


def add_optimization_flags(add: Flag) -> None:
    """Length, optimizer and precision."""
    add("max_train_steps", type=positive, help="optimizer steps")
    add("train_batch_size", type=positive, help="items per step, process and accumulated batch")
    add("gradient_accumulation_steps", type=positive, help="batches per optimizer step")
    add("learning_rate", type=float, help="peak learning rate")
    add("lr_scheduler", help="learning rate after the warm-up")
    add("lr_warmup_steps", type=int, help="steps of linear warm-up")
    add("adam_beta1", type=float, rare=True, help="AdamW's decay of the gradient's mean")
    add("adam_beta2", type=float, rare=True, help="AdamW's decay of the gradient's variance")
    add("adam_weight_decay", type=float, rare=True, help="weight decay")
    add("adam_epsilon", type=float, rare=True, help="AdamW's epsilon")
    add("use_8bit_adam", action="store_true", help="keep AdamW's moments in 8 bits (needs bitsandbytes)")
    add("max_grad_norm", type=float, rare=True, help="gradients are clipped to this norm")
    add("ema_decay", type=float, help="decay of the averaged weights, which are exported; 0 is off")
    add("gradient_checkpointing", action="store_true", help="compute activations twice: less memory, more time")
    add("mixed_precision", help="default: as accelerate is configured, else bf16 where the device has it")
    add("seed", type=int, help="random seed")


def add_output_flags(add: Flag) -> None:
    """Checkpoints, validation and logs."""
    add("output_dir", help="folder of the run")
    add("checkpointing_steps", type=positive, help="steps between checkpoints")
    add("checkpoints_total_limit", type=int, rare=True, help="checkpoints kept beside the best one")
    add("resume_from_checkpoint", help='name of a checkpoint, or "latest"')
    add("validation_steps", type=int, help="steps between validations; 0 is off")
    add("num_validation_items", type=positive, rare=True, help="test items for the validation loss")
    add("num_validation_images", type=int, help="test items that become pictures and are scored")
    add("guidance_scale", type=float, rare=True, help="guidance of the validation pictures")
    add("num_inference_steps", type=positive, rare=True, help="sampling steps of the validation pictures")
    add("logging_steps", type=positive, rare=True, help="steps between rows of metrics.jsonl")
    add("report_to", help="where curves are written")
    add("save_dtype", rare=True, help="precision of the exported weights")


def parse(
    parser: argparse.ArgumentParser, argv: list[str] | None = None, without: tuple[str, ...] = ()
) -> argparse.Namespace:
    """Parses the flags and config files of a training.

    Args:
        without: Flags that another script has.
    """
    given = sys.argv[1:] if argv is None else argv
    for word in given:
        if word.split("=")[0].removeprefix("--") in without or (without and word == "trapezoid"):
            refuse(
                f"{word.split('=')[0]} belongs to the training of the built-in model: "
                "`python -m builtin_training.train_transformers` has it, and every flag of train.py."
            )
    return parse_with_config(parser, argv)


def report(outcome: Outcome, folder: str) -> int:
    """Prints the result of a training in its main process; returns the exit status."""
    if outcome.is_main:
        say(
            f"{outcome.steps} steps; loss {outcome.first_loss:.3f} -> {outcome.last_loss:.3f}; weights and pictures "
            f"are in {folder}"
        )
    return 130 if outcome.stopped else 0
