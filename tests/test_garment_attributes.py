"""Attributes read from captions: every drawn one, what models answer otherwise, and the built-in captioner's."""

import itertools

import pytest

from builtin_training.cases import draw_cases
from drawn_people.attributes import VOCABULARY, caption_from_attributes
from temu_vtoff.captioning.attributes import NAMES, attributes_from_answer
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.captioning.prompt import clean_caption

DRAWN = {
    "Cloth Type": "type",
    "Fit": "fit",
    "Waist": "waist",
    "Hem": "hem",
    "Neckline": "neckline",
    "Sleeve Length": "sleeve_length",
    "Cloth Length": "length",
}


def expected(attributes: dict[str, str]) -> dict[str, str | None]:
    return dict.fromkeys(NAMES) | {DRAWN[name]: word for name, word in attributes.items()}


@pytest.mark.parametrize("category", VOCABULARY)
def test_every_word_of_the_drawn_captions_is_found(category):
    words = VOCABULARY[category]
    for chosen in itertools.zip_longest(*words.values()):  # every word of every attribute once
        attributes = {name: words[name][-1] if word is None else word for name, word in zip(words, chosen, strict=True)}
        assert attributes_from_answer(caption_from_attributes(attributes)) == expected(attributes)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            "A women's t-shirt with slim fit, v-neck and short sleeves.",
            {"type": "women's t-shirt", "fit": "slim", "neckline": "v", "sleeve_length": "short"},
        ),
        (
            "a sleeveless, high-waisted dress with ankle-length, flared hem",
            {
                "type": "sleeveless, high-waisted dress",
                "waist": "high",
                "sleeve_length": "sleeveless",
                "length": "ankle",
                "hem": "flared",
            },
        ),
        ("a crew-neck sweater", {"type": "crew-neck sweater", "neckline": "crew"}),
        ("a shirt with hem not visible, sleeves: n/a, straight fit", {"type": "shirt", "fit": "straight"}),
        (
            "**Cloth Type:** Shirt\n**Fit:** loose\n**Sleeve Length:** long\n**Hem:** unknown",
            {"type": "shirt", "fit": "loose", "sleeve_length": "long"},
        ),
        (
            '{"type": "shirt", "fit": "slim", "hem": null, "sleeve length": "long"}',
            {"type": "shirt", "fit": "slim", "sleeve_length": "long"},
        ),
        ("a skirt", {"type": "skirt"}),
        ("", {}),
    ],
)
def test_what_models_answer(answer, found):
    assert attributes_from_answer(answer) == dict.fromkeys(NAMES) | found
    assert attributes_from_answer(clean_caption(answer)) == attributes_from_answer(answer)


def test_the_built_in_captioner_names_the_drawn_attributes():
    captioner, right = Captioner.from_pretrained("builtin"), []
    for case in draw_cases(4):
        found = attributes_from_answer(captioner(case.photo, case.category, temperature=0)[0])
        truth = expected(case.attributes)
        assert all((found[name] is None) == (word is None) for name, word in truth.items()), found
        right += [found[name] == word for name, word in truth.items() if word is not None]
    assert sum(right) >= 0.75 * len(right), f"{sum(right)} of {len(right)}"
