"""Small tokenizers for the built-in text models, learned from captions, that can still spell any ASCII text."""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Iterable

from tokenizers import models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

TEXT_TOKENS = 32  # the longest caption, start and end included, has 28; CLIP and T5 pad and cut to this
VOCABULARY = 512  # at most so many tokens, bytes and special ones aside
SPELLING = tuple(string.ascii_lowercase + string.digits + string.punctuation)

QWEN_SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def clip_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """CLIP's byte-level BPE with end-of-word marks, its merges learned from `texts`."""
    untrained = CLIPTokenizer().backend_tokenizer  # for its normalizer and pre-tokenizer
    start, end = "<|startoftext|>", "<|endoftext|>"
    untrained.model = models.BPE(end_of_word_suffix="</w>", unk_token=end)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + VOCABULARY,
        special_tokens=[start, end],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    # Every byte alone is a word once, so that a word may end with any of them.
    untrained.train_from_iterator([*texts, " ".join(SPELLING)], trainer)
    trained = json.loads(untrained.to_str())["model"]
    merges = [tuple(merge) for merge in trained["merges"]]
    return CLIPTokenizer(vocab=trained["vocab"], merges=merges, model_max_length=TEXT_TOKENS)


def t5_tokenizer(texts: Iterable[str]) -> T5Tokenizer:
    """T5's unigram tokenizer whose pieces are the words of `texts`, by their frequency, and single characters."""
    words = Counter(f"▁{word}" for text in texts for word in re.findall(r"[\w-]+", text))
    total = words.total()
    pieces = [(word, math.log(count / total)) for word, count in words.most_common(VOCABULARY)]
    rare = math.log(1 / total) - 10  # spelling is for words that are not known
    pieces += [
        (piece, rare) for piece in dict.fromkeys(("▁", *SPELLING, *string.ascii_uppercase)) if piece not in words
    ]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return T5Tokenizer(vocab=special + pieces, extra_ids=0, model_max_length=TEXT_TOKENS)


def qwen_tokenizer(texts: Iterable[str]) -> Qwen2Tokenizer:
    """Qwen2's byte-level BPE with the special tokens of Qwen2.5-VL, its merges learned from `texts`."""
    untrained = Qwen2Tokenizer().backend_tokenizer  # for its normalizer and pre-tokenizer
    untrained.model = models.BPE()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + VOCABULARY,
        special_tokens=list(QWEN_SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    untrained.train_from_iterator(texts, trainer)
    trained = json.loads(untrained.to_str())["model"]
    merges = [tuple(merge) for merge in trained["merges"]]
    return Qwen2Tokenizer(
        vocab=trained["vocab"],
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN_SPECIAL_TOKENS),
        padding_side="left",
    )
