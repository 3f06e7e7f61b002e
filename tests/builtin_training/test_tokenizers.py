"""The small tokenizers: captions in few tokens, anything else spelled, all of it surviving save and load."""

from pathlib import Path

import pytest

from builtin_training.tokenizers_from_text import TEXT_TOKENS, clip_tokenizer, qwen_tokenizer, t5_tokenizer
from drawn_people.attributes import VOCABULARY, caption_from_attributes

CAPTIONS = [
    caption_from_attributes({name: words[number % len(words)] for name, words in attributes.items()})
    for attributes in VOCABULARY.values()
    for number in range(40)
]
LONGEST = max(
    (
        caption_from_attributes(
            {name: max(words, key=lambda word: len(word.replace("-", " - ").split())) for name, words in a.items()}
        )
        for a in VOCABULARY.values()
    ),
    key=len,
)
BUILDERS = (clip_tokenizer, t5_tokenizer, qwen_tokenizer)


@pytest.mark.parametrize("build", BUILDERS)
def test_any_text_survives(build) -> None:
    tokenizer = build(CAPTIONS)
    text = "zebra-print kimono, 100% (wool)!"
    decoded = tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)
    assert decoded.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("build", [clip_tokenizer, t5_tokenizer])
def test_every_caption_fits(build) -> None:
    tokenizer = build([*CAPTIONS, LONGEST])
    assert tokenizer.model_max_length == TEXT_TOKENS
    assert max(len(ids) for ids in tokenizer([*CAPTIONS, LONGEST]).input_ids) < TEXT_TOKENS


@pytest.mark.parametrize("build", BUILDERS)
def test_save_and_load(build, tmp_path: Path) -> None:
    tokenizer = build(CAPTIONS)
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    assert loaded(CAPTIONS).input_ids == tokenizer(CAPTIONS).input_ids
    assert (loaded.model_max_length, loaded.eos_token, loaded.pad_token) == (
        tokenizer.model_max_length,
        tokenizer.eos_token,
        tokenizer.pad_token,
    )
