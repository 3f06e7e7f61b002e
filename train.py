"""Trains the feature extractor and the generator on pairs of photo and product picture.

Both at once, small, from nothing, on drawn people: so the built-in model was begun (`make builtin` has the rest):

    python -m drawn_people --layout dresscode --train 2100 --test 100 --seed 1 --output data/drawn
    python train.py --stage joint --from_scratch --pretrained_model_name_or_path builtin --dataset_root data/drawn \
        --caption_file data/drawn/truth/train.json data/drawn/truth/test.json --cache_dir data/drawn_encoded \
        --output_dir runs/joint --correct_clip_input --max_train_steps 7800 --learning_rate 2e-3 --shift 2 \
        --caption_dropout 0.6

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
import command_line.training

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from temu_vtoff.training.aligner import PatchTokens
    from temu_vtoff.training.latent_cache import LatentCache
    from temu_vtoff.training.live_encoding import LiveEncoding
    from temu_vtoff.tryoff.pipeline import TryOffPipeline


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.training.add_flags(parser)
    return parser.parse_args(argv)


def load_pipeline(args: argparse.Namespace, accelerator: Accelerator) -> TryOffPipeline:
    """The frozen models, on a GPU in the precision of the training, and both transformers at their start."""
    from temu_vtoff.hardware.devices import DTYPES
    from temu_vtoff.models.feature_extractor import FeatureExtractor
    from temu_vtoff.training import initialization as start
    from temu_vtoff.training.patches import with_smaller_patches
    from temu_vtoff.training.person_denoiser import PersonDenoiser
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

    base, extractor_class = args.pretrained_model_name_or_path, FeatureExtractor
    if args.stage == "extractor":
        extractor_class = PersonDenoiser
    encoders = {"image_encoder_large": args.image_encoder_large, "image_encoder_bigG": args.image_encoder_bigG}
    half = DTYPES[accelerator.mixed_precision] if accelerator.device.type == "cuda" else DTYPES["no"]
    parts = start.load_frozen(base, encoders, half)
    if args.from_scratch:
        shape = start.TransformerShape(
            patch_size=args.patch_size or start.TransformerShape.patch_size,
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
        if args.patch_size is not None and args.stage != "generator":
            extractor = with_smaller_patches(extractor, args.patch_size)
        if args.patch_size is not None and args.stage != "extractor":
            generator = with_smaller_patches(generator, args.patch_size)
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

    from temu_vtoff.training.aligner import PUBLISHED_HIDDEN, Aligner, PatchTokens
    from temu_vtoff.training.correspondence import CorrespondenceLesson
    from temu_vtoff.training.garment_regressor import GarmentRegressor
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
    vit = aligner = regressor = correspondence = None
    if args.align_weight:
        vit = PatchTokens.from_pretrained(args.align_model, args.align_size).to(pipeline.vae.device)
        hidden = PUBLISHED_HIDDEN if generator.inner_dim > 1000 else 2 * generator.inner_dim
        aligner = Aligner(generator, args.align_block, vit.side, vit.width, hidden)
    if args.regress_weight:
        regressor = GarmentRegressor(extractor, generator.config.out_channels)
    if args.correspondence_weight:
        correspondence = CorrespondenceLesson(generator, args.correspondence_block, extractor.config.patch_size)
    objective = GeneratorObjective(
        extractor,
        generator,
        flow,
        aligner=aligner,
        align_weight=args.align_weight,
        regressor=regressor,
        regress_weight=args.regress_weight,
        correspondence=correspondence,
        correspondence_weight=args.correspondence_weight,
    )
    return objective, vit


def load_data(
    args: argparse.Namespace, pipeline: TryOffPipeline, vit: PatchTokens | None, accelerator: Accelerator
) -> tuple[LatentCache | LiveEncoding, LiveEncoding]:
    """The training data, encoded beforehand or as it comes; and the test split."""
    from tqdm.auto import tqdm

    from temu_vtoff.training.latent_cache import LatentCache, add_garment_tokens, add_places, build_cache
    from temu_vtoff.training.live_encoding import LiveEncoding
    from temu_vtoff.training.pairs import open_pairs

    size = pipeline.working_size.choose(args.width, args.height)
    taught = bool(args.correspondence_weight)
    where = (args.category, args.caption_file, args.mask_dir, args.correspondence_dir if taught else None)
    train, test = (
        open_pairs(args.dataset_name, args.dataset_root, phase, size, *where, with_mirrored=mirrored)
        for phase, mirrored in (("train", args.random_flip), ("test", False))
    )
    if args.cache_dir is None:
        data = LiveEncoding(train, pipeline, vit)
    else:
        if accelerator.is_main_process:
            how = {"batch_size": args.encode_batch_size, "autocast": accelerator.autocast}
            passes = {"encoding": build_cache(args.cache_dir, train, pipeline, **how)}
            if vit is not None:
                passes["encoding to align with"] = add_garment_tokens(args.cache_dir, train, vit, **how)
            if taught:
                passes["reading correspondences"] = add_places(args.cache_dir, train, args.encode_batch_size)
            for name, encoding in passes.items():
                with tqdm(total=len(train), desc=name) as progress:
                    for done in encoding:
                        progress.update(done - progress.n)
        accelerator.wait_for_everyone()
        data = LatentCache(args.cache_dir, with_garment_tokens=vit is not None, with_places=taught)
    return data, LiveEncoding(test, pipeline, vit)


def main(args: argparse.Namespace) -> int:
    import torch
    from accelerate import Accelerator, DistributedType, InitProcessGroupKwargs
    from torch.utils.data import DataLoader
    from tqdm.auto import tqdm

    from temu_vtoff.files import writable_folder
    from temu_vtoff.hardware.devices import DTYPES, choose_device, choose_training_precision, keep_freed_memory
    from temu_vtoff.runs.record import write_run_record
    from temu_vtoff.training.condition_dropout import ConditionDropout
    from temu_vtoff.training.export import Exporter
    from temu_vtoff.training.optimization import WeightAverage, learning_rate_at, make_optimizer, set_learning_rate
    from temu_vtoff.training.run_folder import RunFolder
    from temu_vtoff.training.session import Session
    from temu_vtoff.training.step_sampler import StepSampler, step_generator
    from temu_vtoff.training.validation import Validation

    started = time.time()
    command_line.training.refuse_contradictions(args)
    if args.report_to != "none" and find_spec(args.report_to) is None:
        raise ValueError(f"--report_to {args.report_to} needs a package: pip install {args.report_to}, or say none.")
    command_line.quiet_libraries()
    run = RunFolder(writable_folder(args.output_dir), args.checkpoints_total_limit)
    accelerator = Accelerator(
        mixed_precision=choose_training_precision(args.mixed_precision, choose_device(None)),
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.report_to == "none" else args.report_to,
        project_dir=args.output_dir,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],  # one process encodes, the others wait
    )
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    if args.optimizer == "muon" and accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise ValueError("--optimizer muon needs whole matrices, which FSDP and DeepSpeed cut: take adamw with them.")

    if accelerator.is_main_process:
        run.lock()
    if device.type == "cpu":
        keep_freed_memory()

    # 1. The frozen models in a pipeline, the trained ones in an objective, the data
    torch.manual_seed(args.seed)
    pipeline = load_pipeline(args, accelerator).to(device)
    pipeline.vae.to(memory_format=torch.channels_last)  # encodes faster, on GPUs and CPUs alike
    objective, vit = make_objective(args, pipeline)
    data, test = load_data(args, pipeline, vit, accelerator)
    dropout = ConditionDropout(args.condition_dropout, args.caption_dropout, args.image_embedding_dropout)

    # 2. Optimizer, average of the weights, and all of it back where an earlier run stopped
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimizer = make_optimizer(
        objective.named_parameters(),
        learning_rate=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        weight_decay=args.adam_weight_decay,
        epsilon=args.adam_epsilon,
        name=args.optimizer,
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
    session = Session(run, accelerator, average, validation, export, args.optimizer)
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
        write_run_record(run.path, vars(args), started, steps=step, processes=world, first_loss=first, last_loss=latest)
        command_line.say(f"{step} steps; loss {first:.3f} -> {latest:.3f}; weights and pictures are in {run.path}")
    return 130 if session.asked_to_stop() else 0


if __name__ == "__main__":
    command_line.run(main, parse_args())
