"""Tiny real models with random weights, written as `save_pretrained` writes them: a SegFormer and a Qwen2.5-VL."""

from pathlib import Path

import torch
from transformers import (
    Qwen2VLImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from builtin_training.captioner import build_captioner, build_processor
from builtin_training.tokenizers_from_text import qwen_tokenizer
from temu_vtoff.captioning.prompt import ATTRIBUTES, SOURCES, caption_prompt
from temu_vtoff.segmentation.masks import LABELS


def save_tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """Writes the built-in captioner as it is before training, with Qwen2.5-VL's own patches and bounds on pictures."""
    prompts = [caption_prompt(category, source) for category in ATTRIBUTES for source in SOURCES]
    tokenizer = qwen_tokenizer([*prompts, "a shirt with regular fit, straight hem, round neckline, long sleeves"])
    torch.manual_seed(seed)
    build_captioner(tokenizer, patch_size=14, merge_size=2).save_pretrained(folder)
    processor = build_processor(tokenizer)
    processor.image_processor = Qwen2VLImageProcessor()
    processor.save_pretrained(folder)
    return folder


def save_tiny_segformer(folder: Path, seed: int = 0) -> Path:
    """Writes a SegFormer of some 20,000 parameters with the clothes labels, for pictures of 64x64 pixels."""
    torch.manual_seed(seed)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(LABELS)),
        label2id={name: index for index, name in enumerate(LABELS)},
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder
