"""Tiny real models with random weights, written as `save_pretrained` writes them: a SegFormer and three captioners."""

import shutil
from pathlib import Path

import torch
from transformers import (
    AutoProcessor,
    CLIPImageProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from builtin_training.captioner import build_captioner, build_processor
from builtin_training.tokenizers_from_text import qwen_tokenizer
from temu_vtoff.captioning.prompt import ATTRIBUTES, SOURCES, caption_prompt
from temu_vtoff.segmentation.labels import ATR, Labels


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


def save_tiny_segformer(folder: Path, seed: int = 0, labels: Labels = ATR) -> Path:
    """Writes a SegFormer of some 20,000 parameters with these labels, for pictures of 64x64 pixels."""
    torch.manual_seed(seed)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(labels.names)),
        label2id={name: index for index, name in enumerate(labels.names)},
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def save_tiny_qwen3(folder: Path, seed: int = 0) -> Path:
    """Writes a Qwen3-VL of two layers with the same tokens and chat template; it sees patches of 16 pixels."""
    qwen = save_tiny_qwen(folder / "qwen2.5")
    processor = AutoProcessor.from_pretrained(qwen)
    shutil.rmtree(qwen)
    token = processor.tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16),
        tokenizer=processor.tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16),
        chat_template=processor.chat_template,
    ).save_pretrained(folder)
    return folder


def save_tiny_llava(folder: Path, seed: int = 0) -> Path:
    """Writes a LLaVA of two layers, which resizes every picture to 28x28 pixels; its template is in its own words."""
    qwen = save_tiny_qwen(folder / "qwen2.5")
    tokenizer = AutoProcessor.from_pretrained(qwen).tokenizer
    shutil.rmtree(qwen)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    sides = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **sides,
        },
        vision_config={"model_type": "clip_vision_model", "image_size": 28, "patch_size": 14, **sides},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    torch.manual_seed(seed)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=(
            "{% for message in messages %}USER: {% for part in message['content'] %}"
            "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %} ASSISTANT:"
            "{% endfor %}"
        ),
    ).save_pretrained(folder)
    return folder
