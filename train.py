"""Trains the feature extractor and the generator on pairs of photo and product picture.

Both at once, small, from nothing, on drawn people: so the built-in model was made:

    python -m drawn_people --layout dresscode --train 2100 --test 100 --seed 1 --output data/drawn
    python train.py --stage joint --from_scratch --pretrained_model_name_or_path builtin --dataset_root data/drawn \
        --caption_file data/drawn/truth/train.json data/drawn/truth/test.json --cache_dir data/drawn_encoded \
        --output_dir runs/joint --max_train_steps 2200 --learning_rate 2e-3 --shift 2 --mixed_precision bf16

The published model's two stages, on SD3's weights and Dress Code, on every GPU of the machine:

    accelerate launch train.py --stage extractor --dataset_name dresscode --dataset_root DressCode \
        --output_dir runs/extractor --learning_rate 1e-5 --train_batch_size 4 --gradient_checkpointing
    accelerate launch train.py --stage generator --dataset_name dresscode --dataset_root DressCode \
        --pretrained_extractor_name_or_path runs/extractor --align_weight 0.5 --align_size 448 \
        --caption_file captions_train.json captions_test.json \
        --output_dir runs/generator --learning_rate 1e-5 --train_batch_size 4 --gradient_checkpointing

A run that was interrupted goes on with --resume_from_checkpoint latest, to the same losses as if it never had been.
The output folder is what `inference.py --pretrained_model_name_or_path_sd3_tryoff` takes. See docs/training.md.
"""

from __future__ import annotations

import argparse
import time
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

import command_line

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from temu_vtoff.aligner import PatchTokens
    from temu_vtoff.pipeline import TryOffPipeline
    from temu_vtoff.training.latent_cache import LatentCache
    from temu_vtoff.training.live_encoding import LiveEncoding


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what is trained").add_argument
    add("--stage", choices=("extractor", "generator", "joint"), required=True, help="see above")
    add(
        "--pretrained_model_name_or_path",
        default="stabilityai/stable-diffusion-3-medium-diffusers",
        help="hub id or folder with the frozen parts, and with the transformer to start from",
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
    add("--patch_size", type=int, default=2, help="side of a token's patch in the latents")
    add("--qk_norm", choices=("rms_norm",), help="normalise queries and keys of the generator")
    add("--lora_rank", type=int, help="train low-rank adapters of the generator only")
    add("--align_weight", type=float, default=0.0, help="weight of the alignment with a vision transformer; 0 is off")
    add("--align_model", default="facebook/dinov2-base", help="that vision transformer: hub id or folder")
    add("--align_size", type=int, help="side of its input in pixels; its own by default (published: 448)")
    add("--align_block", type=int, default=8, help="block of the generator that is aligned, counted from 1")

    add = parser.add_argument_group("data").add_argument
    add("--dataset_name", choices=("dresscode", "vitonhd"), default="dresscode", help="layout of the data set")
    add("--dataset_root", required=True, help="its folder")
    add("--category", default="all", help="upper_body, lower_body, dresses or all")
    add("--caption_file", nargs="+", default=(), help="JSON of captions; without one every caption is empty")
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
    add("--learning_rate", type=float, default=1e-4, help="after warm-up; 2e-3 made the built-in model, 1e-5 suits SD3")
    add("--lr_scheduler", choices=("cosine", "linear", "constant"), default="cosine", help="of the rate")
    add("--lr_warmup_steps", type=int, default=100, help="steps until the full rate")
    add("--adam_beta1", type=float, default=0.9, help="AdamW")
    add("--adam_beta2", type=float, default=0.98, help="AdamW")
    add("--adam_weight_decay", type=float, default=0.01, help="AdamW")
    add("--adam_epsilon", type=float, default=1e-8, help="AdamW")
    add("--use_8bit_adam", action="store_true", help="moments in 8 bits (needs bitsandbytes)")
    add("--max_grad_norm", type=float, default=1.0, help="gradients are clipped to this norm")
    add("--ema_decay", type=float, default=0.998, help="of the averaged weights, which are what is exported; 0 is off")
    add("--gradient_checkpointing", action="store_true", help="less memory for more time")
    add("--mixed_precision", choices=command_line.MIXED_PRECISION, help="as accelerate is configured, when absent")
    add("--seed", type=int, default=0, help="decides data order, noise, times and dropped conditions")

    add = parser.add_argument_group("output").add_argument
    add("--output_dir", required=True, help="folder of the run")
    add("--checkpointing_steps", type=int, default=500, help="steps between checkpoints")
    add("--checkpoints_total_limit", type=int, default=2, help="checkpoints kept, the best one apart")
    add("--resume_from_checkpoint", help='"latest", or the name of a checkpoint')
    add("--validation_steps", type=int, default=500, help="steps between validations; 0 is never")
    add("--num_validation_items", type=int, default=64, help="items of the test split for the validation loss")
    add("--num_validation_images", type=int, default=8, help="of them, how many are made into pictures and scored")
    add("--guidance_scale", type=float, default=2.0, help="of validation pictures")
    add("--num_inference_steps", type=int, default=28, help="of validation pictures")
    add("--logging_steps", type=int, default=10, help="steps between rows of metrics.jsonl")
    add("--report_to", choices=("tensorboard", "wandb", "none"), default="tensorboard", help="where curves go")
    add("--save_dtype", choices=("no", "fp16", "bf16"), default="no", help="precision of the exported weights")
    return parser.parse_args(argv)


def load_pipeline(args: argparse.Namespace, accelerator: Accelerator) -> TryOffPipeline:
    """The frozen models, on a GPU in the precision of the training, and both transformers at their start."""
    from temu_vtoff.devices import DTYPES
    from temu_vtoff.feature_extractor import FeatureExtractor
    from temu_vtoff.pipeline import TryOffPipeline
    from temu_vtoff.training import initialization as start
    from temu_vtoff.training.person_denoiser import PersonDenoiser

    if args.from_scratch and args.lora_rank is not None:
        raise ValueError("--lora_rank adapts trained weights: it can't go with --from_scratch.")
    base, extractor_class = args.pretrained_model_name_or_path, FeatureExtractor
    if args.stage == "extractor":
        extractor_class = PersonDenoiser
    encoders = {"image_encoder_large": args.image_encoder_large, "image_encoder_bigG": args.image_encoder_bigG}
    half = DTYPES[accelerator.mixed_precision] if accelerator.device.type == "cuda" else DTYPES["no"]
    parts = start.load_frozen(base, encoders, half)
    if args.from_scratch:
        shape = start.TransformerShape(
            patch_size=args.patch_size,
            num_layers=args.num_layers,
            num_attention_heads=args.num_attention_heads,
            qk_norm=args.qk_norm,
        )
        extractor, generator = start.new_transformers(shape, parts, extractor_class)
        if args.pretrained_extractor_name_or_path is not None:
            extractor = extractor_class.from_pretrained(
                args.pretrained_extractor_name_or_path, subfolder="transformer_vton"
            )
    else:
        extractor, generator = start.load_transformers(
            extractor_class,
            base,
            args.pretrained_model_name_or_path_sd3_tryoff,
            args.pretrained_extractor_name_or_path,
        )
    if args.lora_rank is not None:
        start.add_lora(generator, args.lora_rank)
    if args.correct_clip_input:
        parts["rescale_clip_input_twice"] = False
    if args.shift is not None:
        parts["scheduler"].register_to_config(shift=args.shift)
    return TryOffPipeline(**parts | {"transformer": generator, "transformer_vton": extractor})


def make_objective(args: argparse.Namespace, pipeline: TryOffPipeline) -> tuple[torch.nn.Module, PatchTokens | None]:
    """What is minimised, with only the trained weights requiring gradients; and the ViT to align with, if any."""
    import torch

    from temu_vtoff.aligner import PUBLISHED_HIDDEN, Aligner, PatchTokens
    from temu_vtoff.training.objectives import ExtractorObjective, FlowSettings, GeneratorObjective

    flow = FlowSettings(
        scheme=args.weighting_scheme,
        logit_mean=args.logit_mean,
        logit_std=args.logit_std,
        shift=pipeline.scheduler.config.shift,
        weighting=args.loss_weighting,
    )
    extractor, generator = pipeline.transformer_vton, pipeline.transformer
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module) and part is not generator:
            part.requires_grad_(part is extractor and args.stage != "generator")
    trained = {"extractor": [extractor], "generator": [generator], "joint": [extractor, generator]}[args.stage]
    for transformer in trained:
        transformer.train()
        if args.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
    if args.stage == "extractor":
        return ExtractorObjective(extractor, flow), None
    if args.align_weight == 0:
        return GeneratorObjective(extractor, generator, flow), None
    vit = PatchTokens.from_pretrained(args.align_model, args.align_size)
    hidden = PUBLISHED_HIDDEN if generator.inner_dim > 1000 else 2 * generator.inner_dim
    aligner = Aligner(generator, args.align_block, vit.side, vit.width, hidden)
    return GeneratorObjective(extractor, generator, flow, aligner, args.align_weight), vit


def load_data(
    args: argparse.Namespace, pipeline: TryOffPipeline, vit: PatchTokens | None, accelerator: Accelerator
) -> tuple[LatentCache | LiveEncoding, LiveEncoding]:
    """The training data, encoded beforehand or as it comes; and the test split."""
    from tqdm.auto import tqdm

    from temu_vtoff.training.latent_cache import LatentCache, build_cache
    from temu_vtoff.training.live_encoding import LiveEncoding
    from temu_vtoff.training.pairs import open_pairs

    size = pipeline.working_size.choose(args.width, args.height)
    train, test = (
        open_pairs(args.dataset_name, args.dataset_root, phase, size, args.category, args.caption_file)
        for phase in ("train", "test")
    )
    if args.cache_dir is None:
        data = LiveEncoding(train, pipeline, vit)
    else:
        if accelerator.is_main_process:
            encoding = build_cache(args.cache_dir, train, pipeline, vit, args.encode_batch_size, accelerator.autocast)
            with tqdm(total=len(train), desc="encoding") as progress:
                for done in encoding:
                    progress.update(done - progress.n)
        accelerator.wait_for_everyone()
        data = LatentCache(args.cache_dir)
    return data, LiveEncoding(test, pipeline, vit)


def main(args: argparse.Namespace) -> int:
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs
    from torch.utils.data import DataLoader
    from tqdm.auto import tqdm

    from temu_vtoff.devices import DTYPES
    from temu_vtoff.files import writable_folder
    from temu_vtoff.run_record import write_run_record
    from temu_vtoff.training.condition_dropout import ConditionDropout
    from temu_vtoff.training.export import Exporter
    from temu_vtoff.training.optimization import WeightAverage, learning_rate_at, make_optimizer, set_learning_rate
    from temu_vtoff.training.run_folder import RunFolder
    from temu_vtoff.training.session import Session
    from temu_vtoff.training.step_sampler import StepSampler, step_generator
    from temu_vtoff.training.validation import Validation

    started = time.time()
    if args.report_to != "none" and find_spec(args.report_to) is None:
        raise ValueError(f"--report_to {args.report_to} needs a package: pip install {args.report_to}, or say none.")
    command_line.quiet_libraries()
    run = RunFolder(writable_folder(args.output_dir), args.checkpoints_total_limit)
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.report_to == "none" else args.report_to,
        project_dir=args.output_dir,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],  # one process encodes, the others wait
    )
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device

    if accelerator.is_main_process:
        run.lock()

    # 1. The frozen models in a pipeline, the trained ones in an objective, the data
    torch.manual_seed(args.seed)
    pipeline = load_pipeline(args, accelerator).to(device)
    objective, vit = make_objective(args, pipeline)
    data, test = load_data(args, pipeline, vit, accelerator)
    dropout = ConditionDropout(args.condition_dropout, args.caption_dropout, args.image_embedding_dropout)

    # 2. Optimizer, average of the weights, and all of it back where an earlier run stopped
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimizer = make_optimizer(
        trained,
        learning_rate=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        weight_decay=args.adam_weight_decay,
        epsilon=args.adam_epsilon,
        use_8bit=args.use_8bit_adam,
    )
    average = WeightAverage(trained, args.ema_decay)
    model, optimizer = accelerator.prepare(objective, optimizer)
    accelerator.register_for_checkpointing(average)
    validation = Validation(
        objective,
        test,
        args.num_validation_items,
        args.num_validation_images,
        pipeline if args.stage != "extractor" else None,
        args.num_inference_steps,
        args.guidance_scale,
        args.seed,
        args.train_batch_size,
        accelerator.autocast,
    )
    models = {"transformer": pipeline.transformer, "transformer_vton": pipeline.transformer_vton}
    if args.stage == "extractor":
        del models["transformer"]
    export = Exporter(models, pipeline.scheduler, DTYPES[args.save_dtype])
    session = Session(run, accelerator, average, validation, export)
    step = session.resume(args.resume_from_checkpoint)
    accelerator.init_trackers("temu-vtoff", config={name: str(value) for name, value in vars(args).items()})

    # 3. Step k depends on the weights, the optimizer's state and k, on nothing else
    share = args.gradient_accumulation_steps
    sampler = StepSampler(
        len(data), args.train_batch_size, step * share, args.max_train_steps * share, args.seed, rank, world
    )
    loader = DataLoader(data, batch_size=None, sampler=sampler, num_workers=args.dataloader_num_workers)
    progress = tqdm(total=args.max_train_steps, initial=step, disable=not accelerator.is_main_process)
    for number, batch in enumerate(loader, start=step * share):
        generator = step_generator(args.seed, number, rank)
        with accelerator.accumulate(model):
            batch = data.encode(batch).to(device)
            batch = batch.withhold(*dropout.draw(len(batch), generator), data.empty_caption)
            with accelerator.autocast():
                losses = model(batch, generator)
            accelerator.backward(losses["loss"])
            if accelerator.sync_gradients:
                rate = learning_rate_at(
                    step, args.learning_rate, args.max_train_steps, args.lr_warmup_steps, args.lr_scheduler
                )
                set_learning_rate(optimizer, rate)
                norm = accelerator.clip_grad_norm_(trained, args.max_grad_norm)
                session.skip_if_not_finite(norm, optimizer)
            optimizer.step()
            optimizer.zero_grad()
        session.add(losses)
        if not accelerator.sync_gradients:
            continue
        average.step()
        step += 1
        progress.update()
        last = step == args.max_train_steps or session.asked_to_stop()
        if step % args.logging_steps == 0 or last:
            progress.set_postfix(session.log(step, lr=rate, grad_norm=float(norm)))
        if last or (args.validation_steps and step % args.validation_steps == 0):
            session.validate(step)
        if last or step % args.checkpointing_steps == 0:
            session.save(step)
        if last:
            break
    progress.close()
    accelerator.end_training()
    if accelerator.is_main_process:
        run.unlock()
        first, latest = run.loss_range()
        write_run_record(run.path, args, started, steps=step, processes=world, first_loss=first, last_loss=latest)
        command_line.say(f"{step} steps; loss {first:.3f} -> {latest:.3f}; weights and pictures are in {run.path}")
    return 130 if session.asked_to_stop() else 0


if __name__ == "__main__":
    command_line.run(main, parse_args())
