"""What training needs, tiny and real: the frozen models of a base, and a data set in DressCode's layout."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from PIL import Image, ImageDraw
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from builtin_training.tokenizers_from_text import clip_tokenizer, t5_tokenizer

CAPTIONS = ("a shirt with short sleeves", "a pair of trousers", "a dress with long sleeves", "a skirt")
LABELS = {"upper_body": 4, "lower_body": 6, "dresses": 7}


def tiny_vae(channels: Sequence[int], **how: float) -> AutoencoderKL:
    """A VAE as Stable Diffusion 3's, with 4 latent channels and without attention; `how` as for `AutoencoderKL`."""
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        **how,
    )


def save_tiny_base(folder: Path, seed: int = 0) -> Path:
    """Writes VAE (f8, 4 channels), scheduler, three text encoders with tokenizers, and two image encoders."""
    torch.manual_seed(seed)
    vae = tiny_vae((8, 8, 8, 16), norm_num_groups=4, scaling_factor=1.5, shift_factor=0.1)
    vae.save_pretrained(folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=2.0).save_pretrained(folder / "scheduler")
    clip, t5 = clip_tokenizer(CAPTIONS), t5_tokenizer(CAPTIONS)
    for suffix in ("", "_2"):
        clip.save_pretrained(folder / f"tokenizer{suffix}")
        CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(clip),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                projection_dim=8,
                max_position_embeddings=77,
                bos_token_id=clip.bos_token_id,
                eos_token_id=clip.eos_token_id,
                pad_token_id=clip.pad_token_id,
            )
        ).save_pretrained(folder / f"text_encoder{suffix}")
    t5.save_pretrained(folder / "tokenizer_3")
    T5EncoderModel(
        T5Config(vocab_size=len(t5), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    ).save_pretrained(folder / "text_encoder_3")
    for name in ("image_encoder_large", "image_encoder_bigG"):
        CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=32,
                patch_size=8,
                projection_dim=8,
            )
        ).save_pretrained(folder / name)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder / "feature_extractor"
    )
    return folder


def save_tiny_dresscode(root: Path, train: int = 4, test: int = 2, size: tuple[int, int] = (48, 64)) -> Path:
    """Writes `train` and `test` items a category, each a coloured block on a photo and at the same place on white.

    Captions lie in captions.json, correspondences where drawn people have them.
    """
    random = np.random.default_rng(0)
    captions = {}
    for number, (category, label) in enumerate(LABELS.items()):
        folder = root / category
        places = root / "truth" / "correspondences" / category
        for made in (folder / "images", folder / "label_maps", places):
            made.mkdir(parents=True)
        pairs = []
        for index in range(train + test):
            item = f"{number:02d}{index:04d}"
            colour, backdrop = (tuple(int(v) for v in random.integers(0, 200, 3)) for _ in range(2))
            left, top = (int(v) for v in random.integers(6, 16, 2))
            box = (left, top, left + 24, top + 32)
            photo, product = Image.new("RGB", size, backdrop), Image.new("RGB", size, (255, 255, 255))
            labels = Image.new("L", size, 0)
            for picture, fill in ((photo, colour), (product, colour), (labels, label)):
                ImageDraw.Draw(picture).rectangle(box, fill=fill)
            photo.save(folder / "images" / f"{item}_0.jpg")
            product.save(folder / "images" / f"{item}_1.jpg")
            labels.save(folder / "label_maps" / f"{item}_4.png")
            rows, columns = size[1] // 8, size[0] // 8
            y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
            inside = np.asarray(labels)[4::8, 4::8] > 0
            np.save(places / f"{item}.npy", np.where(inside[..., None], np.stack([x, y], axis=-1), np.nan))
            captions[item] = [CAPTIONS[index % len(CAPTIONS)]]
            pairs.append(f"{item}_0.jpg {item}_1.jpg")
        (folder / "train_pairs.txt").write_text("\n".join(pairs[:train]) + "\n")
        for order in ("paired", "unpaired"):
            (folder / f"test_pairs_{order}.txt").write_text("\n".join(pairs[train:]) + "\n")
    (root / "captions.json").write_text(json.dumps(captions))
    return root
