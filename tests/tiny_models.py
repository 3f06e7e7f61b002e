"""Tiny real models with random weights, written as `save_pretrained` writes them: a SegFormer and a Qwen2.5-VL."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from temu_vtoff.captioning import ATTRIBUTES, SOURCES, caption_prompt
from temu_vtoff.segmentation import LABELS

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The turns as Qwen2.5-VL's own template writes them, without its system prompt and its video part.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer(texts: Iterable[str], vocabulary: int = 512) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer of Qwen2's kind, its merges learned from `texts`.

    Args:
        vocabulary: At most so many tokens: 256 bytes, the special tokens, the merges.
    """
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return Qwen2Tokenizer(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        padding_side="left",
    )


def qwen_processor(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLProcessor:
    """The processor that turns chat and pictures into tokens and patches, as in the published checkpoints."""
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )


def qwen_model(
    tokenizer: Qwen2Tokenizer, width: int = 32, layers: int = 2, heads: int = 2, vision_layers: int = 2
) -> Qwen2_5_VLForConditionalGeneration:
    """A Qwen2.5-VL with random weights for `tokenizer`; the picture side is as wide as the text side."""
    rotary = width // heads // 2  # rotary frequencies of a head, shared out to time, height and width
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "max_position_embeddings": 1024,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [rotary - 2 * (3 * rotary // 8), 3 * rotary // 8, 3 * rotary // 8],
            },
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
            "initializer_range": 0.3,  # at the usual 0.02 whatever it sees, an untrained model repeats one token
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_heads": heads,
            "out_hidden_size": width,
            "fullatt_block_indexes": [vision_layers - 1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [token("<|im_end|>"), token("<|endoftext|>")]
    model.generation_config.pad_token_id = token("<|endoftext|>")
    return model.eval()


def save_tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """Writes a Qwen2.5-VL of some 120,000 parameters with its processor."""
    prompts = [caption_prompt(category, source) for category in ATTRIBUTES for source in SOURCES]
    tokenizer = qwen_tokenizer([*prompts, "a shirt with regular fit, straight hem, round neckline, long sleeves"])
    torch.manual_seed(seed)
    qwen_model(tokenizer).save_pretrained(folder)
    qwen_processor(tokenizer).save_pretrained(folder)
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
