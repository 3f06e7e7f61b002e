"""The built-in text and vision encoders, in one module for training.

Letters: B items, P projection width, T text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
)

from builtin_training import data
from builtin_training.data import Item
from builtin_training.heads import AttributeHeads
from builtin_training.tokenizers_from_text import TEXT_TOKENS, clip_tokenizer, t5_tokenizer
from drawn_people.attributes import caption_from_attributes

PAIRS = (("text_encoder", "image_encoder_large"), ("text_encoder_2", "image_encoder_bigG"))
TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2", "text_encoder_3": "tokenizer_3"}
PROJECTION = 64  # of each CLIP encoder: the two of a kind make the transformers' pooled width, 128
T5_WIDTH = 128  # the transformers' joint attention width; the CLIP text encoders' widths are padded to it
THUMBNAIL = (8, 6)  # height and width of the product thumbnail predicted from an embedding
LOGIT_SCALE = 20.0  # learned in CLIP; a constant suffices here
PICTURE_SIZE = 224
SHORTENED_SHARE = 0.3  # share of captions that lack some attributes, like those of half hidden garments


class Encoders(nn.Module):
    """Three text encoders, two vision encoders, and the heads that supervise them."""

    def __init__(self, tokenizers: dict[str, PreTrainedTokenizerBase]) -> None:
        super().__init__()
        self.tokenizers = tokenizers
        self.parts = nn.ModuleDict(
            {
                "text_encoder": _clip_text(tokenizers["tokenizer"], width=48, heads=3),
                "text_encoder_2": _clip_text(tokenizers["tokenizer_2"], width=64, heads=4),
                "text_encoder_3": _t5(tokenizers["tokenizer_3"]),
                "image_encoder_large": _clip_vision(patch_size=32),
                "image_encoder_bigG": _clip_vision(patch_size=28),
            }
        )
        widths = {name: T5_WIDTH if name == "text_encoder_3" else PROJECTION for name in self.parts}
        self.attributes = nn.ModuleDict({name: AttributeHeads(width) for name, width in widths.items()})
        pixels = 3 * THUMBNAIL[0] * THUMBNAIL[1]
        self.thumbnails = nn.ModuleDict(
            {vision: nn.Linear(PROJECTION, len(data.CATEGORIES) * pixels) for _, vision in PAIRS}
        )

    @property
    def device(self) -> torch.device:
        return self.parts["text_encoder"].device

    def embed_texts(self, name: str, texts: Sequence[str]) -> torch.Tensor:
        """(B, P) pooled embeddings by a CLIP text encoder, or the mean of T5's tokens, padding included, as the
        generator sees them: (B, T5_WIDTH)."""
        encoded = self.tokenizers[TOKENIZERS[name]](
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        ).to(self.device)
        if name == "text_encoder_3":
            return self.parts[name](encoded.input_ids).last_hidden_state.mean(dim=1)
        return self.parts[name](encoded.input_ids).text_embeds

    def embed_pictures(self, name: str, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, P) embeddings of pictures (B, 3, 224, 224) that `build_image_processor` prepared."""
        return self.parts[name](pixel_values.to(self.device)).image_embeds

    def losses(self, items: Sequence[Item], pixel_values: torch.Tensor, thumbnails: torch.Tensor) -> dict:
        """
        Args:
            items: B garments with captions.
            pixel_values: (2 B, 3, 224, 224): their photos, then their product pictures.
            thumbnails: (B, 3, *THUMBNAIL) in [0, 1], of the product pictures.

        Returns:
            Scalars: "contrast" of the pairs, "attributes" of all encoders, "thumbnail" of the vision encoders.
        """
        texts = {name: self.embed_texts(name, [item.caption for item in items]) for name in TOKENIZERS}
        pictures = {name: self.embed_pictures(name, pixel_values) for _, name in PAIRS}
        twice = [*items, *items]
        attributes = [self.attributes[name].loss(texts[name], items) for name in texts]
        attributes += [self.attributes[name].loss(pictures[name], twice) for name in pictures]
        return {
            "contrast": sum(contrastive_loss(pictures[vision], texts[text], items) for text, vision in PAIRS),
            "attributes": sum(attributes),
            "thumbnail": sum(
                (self.draw_thumbnails(name, pictures[name], twice) - thumbnails.repeat(2, 1, 1, 1)).abs().mean()
                for name in pictures
            ),
        }

    def draw_thumbnails(self, name: str, embeddings: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
        """(B, 3, *THUMBNAIL): the product thumbnails predicted from embeddings (B, P) and the category."""
        drawn = self.thumbnails[name](embeddings).float().view(len(items), len(data.CATEGORIES), 3, *THUMBNAIL)
        return drawn[range(len(items)), [data.CATEGORIES.index(item.category) for item in items]]

    def save_pretrained(self, folder: Path) -> None:
        """Writes encoders, in half precision, tokenizers and image processor, each into its subfolder."""
        for name, part in self.parts.items():
            part.to(torch.float16).save_pretrained(folder / name)
        for name, tokenizer in self.tokenizers.items():
            tokenizer.save_pretrained(folder / name)
        build_image_processor().save_pretrained(folder / "feature_extractor")


def contrastive_loss(pictures: torch.Tensor, texts: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
    """CLIP's loss, where all texts equal to a picture's own count as right, in equal shares.

    Args:
        pictures: (n B, P), the items' pictures of n kinds, one kind after the other.
        texts: (B, P), of the items' captions.
    """
    captions = [item.caption for item in items]
    same = torch.tensor([[a == b for b in captions] for a in captions], device=texts.device).float()
    same = same.repeat(len(pictures) // len(texts), 1)  # (n B, B)
    logits = LOGIT_SCALE * F.normalize(pictures.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).T
    by_picture = F.cross_entropy(logits, same / same.sum(dim=1, keepdim=True))
    by_text = F.cross_entropy(logits.T, (same / same.sum(dim=0)).T)
    return (by_picture + by_text) / 2


def build_tokenizers(captions: Sequence[str]) -> dict[str, PreTrainedTokenizerBase]:
    """The pipeline's three tokenizers, learned from captions."""
    return {
        "tokenizer": clip_tokenizer(captions),
        "tokenizer_2": clip_tokenizer(captions),
        "tokenizer_3": t5_tokenizer(captions),
    }


def build_image_processor() -> CLIPImageProcessor:
    """Squeezes the whole picture into a square instead of cropping head and feet."""
    size = {"height": PICTURE_SIZE, "width": PICTURE_SIZE}
    return CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False)


def _clip_text(tokenizer: PreTrainedTokenizerBase, width: int, heads: int) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=heads,
        projection_dim=PROJECTION,
        max_position_embeddings=TEXT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModelWithProjection(config)


def _t5(tokenizer: PreTrainedTokenizerBase) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=T5_WIDTH,
        d_kv=32,
        d_ff=2 * T5_WIDTH,
        num_layers=3,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5EncoderModel(config)


def _clip_vision(patch_size: int) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        projection_dim=PROJECTION,
        image_size=PICTURE_SIZE,
        patch_size=patch_size,
    )
    return CLIPVisionModelWithProjection(config)


def shortened(item: Item, generator: torch.Generator) -> Item:
    """The item, sometimes with only some of its attributes, and the caption made of them."""
    if torch.rand((), generator=generator) >= SHORTENED_SHARE:
        return item
    kept = torch.rand(len(item.attributes), generator=generator) < 0.5
    named = dict(
        pair for pair, keep in zip(item.attributes.items(), kept, strict=True) if keep or pair[0] == "Cloth Type"
    )
    return replace(item, attributes=named, caption=caption_from_attributes(named))


def evaluate(
    encoders: Encoders, items: list[Item], pixel_values: torch.Tensor, thumbnails: torch.Tensor
) -> dict[str, float]:
    """By encoder: share of attributes right, share of pictures whose caption is retrieved, thumbnail error."""
    numbers = {}
    captions = [item.caption for item in items]
    texts = {name: encoders.embed_texts(name, captions) for name in TOKENIZERS}
    for name, embeddings in texts.items():
        numbers[f"attributes_{name}"] = encoders.attributes[name].accuracy(embeddings, items)
    for text, vision in PAIRS:
        embeddings = encoders.embed_pictures(vision, pixel_values).float()
        by_kind = dict(zip(("photos", "products"), embeddings.chunk(2), strict=True))
        for kind, pictures in by_kind.items():
            numbers[f"attributes_{vision}_{kind}"] = encoders.attributes[vision].accuracy(pictures, items)
            nearest = (F.normalize(pictures, dim=-1) @ F.normalize(texts[text], dim=-1).T).argmax(dim=1)
            found = [captions[i] == caption for i, caption in zip(nearest, captions, strict=True)]
            numbers[f"retrieval_{vision}_{kind}"] = sum(found) / len(found)
            drawn = encoders.draw_thumbnails(vision, pictures, items)
            numbers[f"thumbnail_{vision}_{kind}"] = (drawn - thumbnails).abs().mean().item()
    return numbers
