"""The built-in captioner: a small stock Qwen2.5-VL, and the heads that supervise its vision tower.

Letters: B pictures, N visual tokens (rows x columns of 48x48 pixels), D width, T text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from transformers import (
    BatchFeature,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from builtin_training import data, loop
from builtin_training.data import Item
from builtin_training.heads import AttributeHeads, LabelHead, MeasureHeads
from drawn_people.attributes import attributes_right
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.captioning.prompt import caption_prompt

WIDTH = 128  # width of the language model and of the visual tokens
TEXT_LAYERS = 3
HEADS = 4
VISION_WIDTH = 96
VISION_LAYERS = 6
VISION_HEADS = 2
PATCH = 12  # pixels
MERGED = 4  # patches along each side of the block that becomes one visual token
GRID = (5, 4)  # rows and columns of visual tokens of a 192x256 picture
PICTURE_SIZE = tuple(PATCH * MERGED * side for side in reversed(GRID))  # width and height in pixels that it covers
# Between these bounds Qwen's resizing gives this grid to pictures of that aspect from 96x128 pixels up.
PIXELS = {"shortest_edge": 43_000, "longest_edge": 50_000}
IGNORED = -100  # label of tokens outside the answer
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


class SupervisedCaptioner(nn.Module):
    """The captioner and the heads that supervise its vision tower: label maps, attributes, the measures behind them.

    Attributes and measures are predicted twice: from all tokens by their position, and by attention, as the language
    model has to. Without the first, the tower takes thousands of steps instead of hundreds to learn measuring.
    """

    def __init__(self, captioner: Qwen2_5_VLForConditionalGeneration, items: Sequence[Item]) -> None:
        super().__init__()
        self.captioner = captioner
        self.labels = LabelHead(WIDTH, GRID, cells=16)  # of 3x3 pixels
        self.by_place = nn.Sequential(
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, WIDTH // 4),
            nn.Flatten(),
            nn.Linear(GRID[0] * GRID[1] * WIDTH // 4, 2 * WIDTH),
            nn.SiLU(),
        )
        self.attributes_by_place = AttributeHeads(2 * WIDTH)
        self.measures_by_place = MeasureHeads(2 * WIDTH, items)
        self.questions = nn.Embedding(len(data.CATEGORIES), WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.attributes = AttributeHeads(WIDTH)
        self.measures = MeasureHeads(WIDTH, items)

    def look(self, inputs: BatchFeature) -> torch.Tensor:
        """(B, N, D): the vision tower's tokens, row by row."""
        tokens = self.captioner.model.visual(inputs["pixel_values"], inputs["image_grid_thw"]).pooler_output
        return tokens.view(len(inputs["image_grid_thw"]), -1, WIDTH)

    def find_attributes(self, tokens: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """(B, D): the input of the attribute heads, gathered from the tokens (B, N, D) by the category's query."""
        categories = [data.CATEGORIES.index(item.category) for item in items]
        query = self.questions(torch.tensor(categories, device=tokens.device))[:, None]  # (B, 1, D)
        return self.attention(query, tokens, tokens, need_weights=False)[0][:, 0]

    def garment_losses(self, tokens: torch.Tensor, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """Losses of attributes and measures from tokens (B, N, D), by position and by attention."""
        by_place, found = self.by_place(tokens), self.find_attributes(tokens, items)
        return {
            "attributes_by_place": self.attributes_by_place.loss(by_place, items),
            "attributes": self.attributes.loss(found, items),
            "measures_by_place": self.measures_by_place.loss(by_place, items),
            "measures": self.measures.loss(found, items),
        }

    def answer_loss(self, inputs: BatchFeature, tokens: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the answers in `dialogues`, given the tokens (B, N, D) of `look`."""
        embeds = self.captioner.get_input_embeddings()(inputs["input_ids"])  # (B, T, D)
        is_picture = inputs["input_ids"] == self.captioner.config.image_token_id  # (B, T)
        embeds = embeds.masked_scatter(is_picture[..., None], tokens.to(embeds.dtype))
        positions, _ = self.captioner.model.get_rope_index(
            inputs["input_ids"],
            inputs["mm_token_type_ids"],
            inputs["image_grid_thw"],
            attention_mask=inputs["attention_mask"],
        )
        logits = self.captioner(
            inputs_embeds=embeds,
            attention_mask=inputs["attention_mask"],
            position_ids=positions,
            logits_to_keep=inputs["answers"].shape[1] + 1,
        ).logits[:, :-1]  # (B, answer length, vocabulary): each predicts the next token
        return F.cross_entropy(logits.flatten(0, 1).float(), inputs["answers"].flatten(), ignore_index=IGNORED)


def dialogues(
    processor: Qwen2_5_VLProcessor, items: Sequence[Item], worn: Sequence[bool], pictures: Sequence[Image.Image]
) -> BatchFeature:
    """Question and true answer for each picture, left-padded, with the answers' own tokens as "answers".

    Args:
        worn: Whether the picture is the item's photo; otherwise it is its product picture.
        pictures: In the captioner's size.

    Returns:
        The model's inputs; "answers" is (B, length of the longest), padded with `IGNORED` on the left.
    """
    texts, answers = [], []
    for item, is_worn in zip(items, worn, strict=True):
        prompt = caption_prompt(item.category, "person" if is_worn else "garment")
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        answer = f"{item.caption}{processor.tokenizer.eos_token}"
        texts.append(processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) + answer)
        answers.append(processor.tokenizer(answer).input_ids)
    inputs = processor(
        text=texts, images=list(pictures), do_resize=False, padding=True, padding_side="left", return_tensors="pt"
    )
    longest = max(map(len, answers))
    inputs["answers"] = torch.tensor([[IGNORED] * (longest - len(answer)) + answer for answer in answers])
    return inputs


def build_processor(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLProcessor:
    """Turns chat and pictures into tokens and patches, as in the published checkpoints."""
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS, patch_size=PATCH, merge_size=MERGED),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )


def build_captioner(
    tokenizer: Qwen2Tokenizer, patch_size: int = PATCH, merge_size: int = MERGED
) -> Qwen2_5_VLForConditionalGeneration:
    """With random weights, and with full attention in every layer of the vision tower.

    Args:
        patch_size: Side in pixels; 14 in the published checkpoints.
        merge_size: Patches along each side of a visual token; 2 in the published checkpoints. With 4 the merger sees a
            large part of the picture by position, and the language model has few tokens to attend to.
    """
    token = tokenizer.convert_tokens_to_ids
    rotary = WIDTH // HEADS // 2  # rotary frequencies of a head, shared out to time, height and width
    across = 3 * rotary // 8
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": TEXT_LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "max_position_embeddings": 1024,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [rotary - 2 * across, across, across],
            },
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": VISION_LAYERS,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 2 * VISION_WIDTH,
            "num_heads": VISION_HEADS,
            "patch_size": patch_size,
            "spatial_merge_size": merge_size,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": list(range(VISION_LAYERS)),
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    loop.initialize(model)
    model.generation_config.eos_token_id = [token("<|im_end|>"), token("<|endoftext|>")]
    model.generation_config.pad_token_id = token("<|endoftext|>")
    return model


def attributes_seen(
    supervised: SupervisedCaptioner, processor: Qwen2_5_VLProcessor, items: list[Item]
) -> dict[str, float]:
    """Share of attributes that the heads predict correctly from the vision tower's tokens."""
    numbers = {}
    for source, is_worn in (("person", True), ("garment", False)):
        shares = []
        for start in range(0, len(items), 32):
            batch = items[start : start + 32]
            pictures = [item.open_photo() if is_worn else item.open_product() for item in batch]
            inputs = processor.image_processor(pictures, return_tensors="pt").to(supervised.questions.weight.device)
            found = supervised.find_attributes(supervised.look(inputs), batch)
            shares.append(supervised.attributes.accuracy(found, batch) * len(batch))
        numbers[f"seen_{source}"] = sum(shares) / len(items)
    return numbers


def attributes_in_captions(captioner: Captioner, items: list[Item]) -> dict[str, float]:
    """Share of attributes that are right in greedy captions of photos and of product pictures."""
    numbers = {}
    for source in ("person", "garment"):
        hits = []
        for start in range(0, len(items), 32):
            batch = items[start : start + 32]
            pictures = [item.open_photo() if source == "person" else item.open_product() for item in batch]
            captions = captioner(pictures, [item.category for item in batch], source, temperature=0)
            for item, caption in zip(batch, captions, strict=True):
                hits += attributes_right(caption, item.attributes)
        numbers[f"caption_{source}"] = sum(hits) / len(hits)
    return numbers
