"""The flags of train.py, by what they are about."""

import argparse

import command_line
from temu_vtoff.hardware import PRECISIONS


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All of them, with their defaults."""
    add = parser.add_argument_group("what is trained").add_argument
    add("--stage", choices=("extractor", "generator", "joint"), required=True, help="see above")
    add(
        "--pretrained_model_name_or_path",
        default="stabilityai/stable-diffusion-3-medium-diffusers",
        help="hub id or folder with the frozen parts, and with the transformers to start from (SD3 has one for both)",
    )
    add("--pretrained_model_name_or_path_sd3_tryoff", help="start from these transformers instead (hub id or folder)")
    add("--pretrained_extractor_name_or_path", help="of stage generator: where the trained extractor is")
    add("--image_encoder_large", help="hub id or folder; needed when the base doesn't hold it")
    add("--image_encoder_bigG", help="likewise")
    add(
        "--correct_clip_input",
        action="store_true",
        help="feed the image encoders correctly scaled pictures, unlike the published model",
    )
    add("--from_scratch", action="store_true", help="start from fresh weights, of the shape below")
    add("--num_layers", type=int, default=6, help="blocks of each transformer")
    add("--num_attention_heads", type=int, default=3, help="heads of 64 channels: 3 make a width of 192")
    add(
        "--patch_size",
        type=command_line.positive,
        help="side of a token's patch in the latents; 2 from scratch; trained weights can go on with smaller ones",
    )
    add("--qk_norm", choices=("rms_norm",), help="normalise queries and keys of the generator")
    add("--lora_rank", type=int, help="train low-rank adapters of the generator only")
    add("--align_weight", type=float, default=0.0, help="weight of the alignment with a vision transformer; 0 is off")
    add("--align_model", default="facebook/dinov2-base", help="that vision transformer: hub id or folder")
    add("--align_size", type=int, help="side of its input in pixels; its own by default (published: 448)")
    add("--align_block", type=int, default=8, help="block of the generator that is aligned, counted from 1")
    add(
        "--regress_weight",
        type=float,
        default=0.0,
        help="weight of a regression of the garment from the extractor's tokens, which teaches an extractor without "
        "trained weights to see outlines; stage joint only; 0 is off",
    )
    add(
        "--correspondence_weight",
        type=float,
        default=0.0,
        help="weight of a lesson for the generator's attention: where in the photo the garment's places are; 0 is off",
    )
    add("--correspondence_block", type=int, nargs="+", default=(4, 5), help="blocks that are taught, counted from 1")

    add = parser.add_argument_group("data").add_argument
    add("--dataset_name", choices=("dresscode", "vitonhd"), default="dresscode", help="layout of the data set")
    add("--dataset_root", required=True, help="its folder")
    add("--category", default="all", help="upper_body, lower_body, dresses or all")
    add("--caption_file", nargs="+", default=(), help="JSON of captions; without one every caption is empty")
    add(
        "--mask_dir", help="masks made by SegCloth.py, such as inference has; those of the label maps where it has none"
    )
    add(
        "--correspondence_dir",
        help="those places: DATA/truth/correspondences of python -m drawn_people --correspondences",
    )
    add("--random_flip", action="store_true", help="learn from mirrored pictures as well: every item then counts twice")
    add("--width", type=int, help="of the pictures, in pixels; the model's own by default")
    add("--height", type=int, help="likewise")
    add("--cache_dir", help="encode all pictures once into this folder, instead of at every step")
    add("--encode_batch_size", type=int, default=16, help="pictures at once while filling the cache")
    add("--dataloader_num_workers", type=int, default=0, help="processes that read pictures")

    add = parser.add_argument_group("flow matching and guidance").add_argument
    add(
        "--weighting_scheme",
        choices=("logit_normal", "uniform", "mode"),
        default="logit_normal",
        help="how times are drawn",
    )
    add("--logit_mean", type=float, default=0.0, help="of logit_normal")
    add("--logit_std", type=float, default=1.0, help="of logit_normal")
    add("--shift", type=float, help="of times towards noise, in training and in the exported scheduler; the base's own")
    add("--loss_weighting", choices=("none", "sigma_sqrt", "cosmap"), default="none", help="of the loss over time")
    add("--condition_dropout", type=float, default=0.1, help="share of items without caption and image embedding")
    add("--caption_dropout", type=float, default=0.25, help="further share without caption")
    add("--image_embedding_dropout", type=float, default=0.0, help="further share without image embedding")

    add = parser.add_argument_group("optimization").add_argument
    add("--max_train_steps", type=int, default=5000, help="optimizer steps")
    add("--train_batch_size", type=int, default=16, help="items a step, process and accumulation")
    add("--gradient_accumulation_steps", type=int, default=1, help="batches summed for one optimizer step")
    add(
        "--optimizer",
        choices=("adamw", "muon"),
        default="adamw",
        help="muon: the blocks' matrices by orthogonalized steps, the rest by AdamW; more is learned in a step",
    )
    add("--learning_rate", type=float, default=1e-4, help="after warm-up; 2e-3 made the built-in model, 1e-5 suits SD3")
    add(
        "--lr_scheduler",
        choices=("cosine", "linear", "constant", "trapezoid"),
        default="cosine",
        help="of the rate; trapezoid: constant for three quarters, until then a run can be lengthened, then linear",
    )
    add("--lr_warmup_steps", type=int, default=100, help="steps until the full rate")
    add("--adam_beta1", type=float, default=0.9, help="AdamW")
    add("--adam_beta2", type=float, default=0.98, help="AdamW")
    add("--adam_weight_decay", type=float, default=0.01, help="AdamW")
    add("--adam_epsilon", type=float, default=1e-8, help="AdamW")
    add("--use_8bit_adam", action="store_true", help="moments in 8 bits (needs bitsandbytes)")
    add("--max_grad_norm", type=float, default=1.0, help="gradients are clipped to this norm")
    add("--ema_decay", type=float, default=0.998, help="of the averaged weights, which are what is exported; 0 is off")
    add("--gradient_checkpointing", action="store_true", help="less memory for more time")
    add(
        "--mixed_precision",
        choices=PRECISIONS,
        help="when absent, as accelerate is configured, else bf16 where the device computes it itself",
    )
    add("--seed", type=int, default=0, help="decides data order, noise, times and dropped conditions")

    add = parser.add_argument_group("output").add_argument
    add("--output_dir", required=True, help="folder of the run")
    add("--checkpointing_steps", type=int, default=500, help="steps between checkpoints")
    add("--checkpoints_total_limit", type=int, default=2, help="checkpoints kept, the best one apart")
    add("--resume_from_checkpoint", help='"latest", or the name of a checkpoint')
    add("--validation_steps", type=int, default=500, help="steps between validations; 0 is never")
    add("--num_validation_items", type=command_line.positive, default=64, help="test items for the validation loss")
    add("--num_validation_images", type=int, default=8, help="how many of them become pictures and are scored; 0: none")
    add("--guidance_scale", type=float, default=2.0, help="of validation pictures")
    add("--num_inference_steps", type=int, default=28, help="of validation pictures")
    add("--logging_steps", type=int, default=10, help="steps between rows of metrics.jsonl")
    add("--report_to", choices=("tensorboard", "wandb", "none"), default="tensorboard", help="where curves go")
    add("--save_dtype", choices=("no", "fp16", "bf16"), default="no", help="precision of the exported weights")


def refuse_contradictions(args: argparse.Namespace) -> None:
    """
    Raises:
        ValueError: Flags that can't go together.
    """
    if args.from_scratch and args.lora_rank is not None:
        raise ValueError("--lora_rank adapts trained weights: it can't go with --from_scratch.")
    if args.regress_weight and args.stage != "joint":
        raise ValueError(f"--regress_weight teaches both transformers at once: it can't go with --stage {args.stage}.")
    if args.correspondence_weight and args.stage == "extractor":
        raise ValueError(
            "--correspondence_weight teaches the generator's attention: it can't go with --stage extractor."
        )
    if args.correspondence_weight and args.correspondence_dir is None:
        raise ValueError(
            "--correspondence_weight needs --correspondence_dir: the folder that python -m drawn_people "
            "--correspondences wrote, truth/correspondences."
        )
    if args.patch_size is not None and args.lora_rank is not None:
        raise ValueError("--lora_rank keeps the weights that another --patch_size would have learn anew.")
