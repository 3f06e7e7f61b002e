import itertools

import numpy as np
import pytest

from drawn_people import CATEGORIES, draw_person
from drawn_people.attributes import EDGES, VOCABULARY, attributes_from_caption, bin_word, caption_from_attributes
from drawn_people.body import draw_body_parameters
from drawn_people.garments import draw_design


def test_caption_has_the_agreed_form() -> None:
    attributes = {
        "Cloth Type": "t-shirt",
        "Waist": "natural",
        "Fit": "regular",
        "Hem": "straight",
        "Neckline": "crew",
        "Sleeve Length": "short",
        "Cloth Length": "hip",
    }
    caption = "a t-shirt with natural waist, regular fit, straight hem, crew neckline, short sleeves, hip length"
    assert caption_from_attributes(attributes) == caption
    assert caption_from_attributes({"Cloth Type": "jeans"}) == "a jeans"


@pytest.mark.parametrize("category", CATEGORIES)
def test_caption_and_attributes_are_inverse_for_every_word(category: str) -> None:
    words = VOCABULARY[category]
    longest = max(len(values) for values in words.values())
    for i, shift in itertools.product(range(longest), range(3)):
        attributes = {key: values[(i + shift * n) % len(values)] for n, (key, values) in enumerate(words.items())}
        assert attributes_from_caption(caption_from_attributes(attributes)) == attributes


def test_junk_gives_what_can_be_found() -> None:
    assert attributes_from_caption("") == {}
    assert attributes_from_caption("§§ lorem, ipsum 42!") == {}
    found = attributes_from_caption("  The garment is A Shirt Dress, with LONG sleeves; purple, and V neckline...")
    assert found == {"Cloth Type": "shirt dress", "Sleeve Length": "long", "Neckline": "v"}
    assert attributes_from_caption("slim fit, loose fit")["Fit"] == "slim"
    assert "Waist" not in attributes_from_caption("a hoodie with midnight waist")


@pytest.mark.parametrize("category", CATEGORIES)
def test_drawn_captions_keep_to_the_vocabulary(category: str) -> None:
    for seed in range(8):
        garment = draw_person(seed, category, 96, 128).garments[category]
        assert list(garment.attributes) == list(VOCABULARY[category])
        assert all(value in VOCABULARY[category][key] for key, value in garment.attributes.items())
        assert attributes_from_caption(garment.caption) == garment.attributes


@pytest.mark.parametrize("category", CATEGORIES)
def test_words_are_bins_of_the_measures(category: str) -> None:
    for seed in range(8):
        garment = draw_person(seed, category, 96, 128).garments[category]
        assert bin_word("fit", garment.measures["ease"], VOCABULARY[category]["Fit"]) == garment.attributes["Fit"]
        assert min(abs(garment.measures["ease"] - edge) for edge in EDGES["fit"]) >= 0.1
        lengths = VOCABULARY[category]["Cloth Length"]
        measure = "top length" if category == "upper_body" else "leg length"
        assert bin_word(measure, garment.measures["length"], lengths) == garment.attributes["Cloth Length"]


def test_the_word_for_a_tops_waist_is_seen_in_its_outline() -> None:
    """Whatever body is beneath: what a photo can't show, no caption can tell."""
    seen = {"straight": [], "natural": [], "fitted": []}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        body, design = draw_body_parameters(rng), draw_design(rng, "upper_body", unit=1.0)
        top = design.on(body, pixel=1.0)
        waist = float(top.tube.half_width(design.cut.waist_at))
        seen[design.cut.attributes()["Waist"]].append(waist / top.chest)
    assert min(seen["straight"]) > 0.88 > max(seen["natural"])
    assert np.quantile(seen["fitted"], 0.95) < 0.8 < min(seen["natural"])
