"""What the back ends' options mean, read without loading anything, and mistakes that name the argument."""

import pytest
from PIL import Image

from temu_vtoff import Options
from temu_vtoff.backends.focus import focus_box
from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.prompt import product_prompt
from temu_vtoff.backends.registry import EDITORS, TEMU_VTOFF, check_category
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER, PUBLISHED_SEGMENTER
from temu_vtoff.segmentation.categories import CATEGORIES, TRYOFF_CATEGORIES
from tests.script_calls import heavy_imports


@pytest.mark.parametrize("backend", EDITORS)
def test_a_back_end_brings_its_own_weights_size_and_sampling(backend):
    options = Options(backend=backend)
    sources = options.sources
    assert sources.base == EDITORS[backend].base and not sources.is_builtin
    assert (sources.segmenter, sources.captioner) == (PUBLISHED_SEGMENTER, PUBLISHED_CAPTIONER)
    assert EDITORS[backend].working_size.choose() == (768, 1024) and options.guidance is None
    assert Options(backend=backend, base="mine").sources.base == "mine"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "dall-e"}, "backend is 'dall-e'; choose one of temu-vtoff, qwen-image-edit"),
        ({"tryoff": "mine"}, "tryoff is for temu-vtoff alone: leave it out with backend flux2-klein"),
        ({"base": "builtin"}, "base is the built-in model, which is none of backend flux2-klein"),
        ({"preset": "fast"}, "preset is for temu-vtoff alone"),
        ({"compile": True}, "compile is for temu-vtoff alone"),
        ({"lora": ["a@b"]}, "lora 'a@b': the scale 'b' is no finite number"),
        ({"lora": ["a@inf"]}, "the scale 'inf' is no finite number"),
        ({"lora": ["owner/name:"]}, r"give FILE_OR_ID\[:WEIGHT_NAME\]\[@SCALE\]"),
        ({"prompt_template": "the {cloth}"}, "has the fields cloth; there are {garment} and {caption}"),
        ({"prompt_template": "the {garment"}, "has an error in its braces"),
        ({"prompt_template": "{}"}, "there are {garment} and {caption}"),
        ({"prompt_template": " "}, "prompt_template is empty"),
        ({"focus": True, "resize_mode": "crop"}, "leave resize_mode at pad"),
        ({"backend": "temu-vtoff", "focus": True}, "focus is for the other back ends"),
        ({"backend": "temu-vtoff", "prompt_template": "a"}, "prompt_template is for the other back ends"),
    ],
)
def test_mistakes_name_their_argument(given, words):
    with pytest.raises(ArgumentError, match=words) as raised:
        Options(**{"backend": "flux2-klein", **given})
    assert raised.value.argument in given


def test_a_size_that_a_model_cant_make_is_refused(editors):
    with pytest.raises(ArgumentError, match="width 80 is not a multiple of 32; the nearest is 64"):
        Options(backend="qwen-image-edit", base=str(editors["qwen-image-edit"]), width=80).size()
    assert Options(backend="flux2-klein", base=str(editors["flux2-klein"]), width=80).size() == (80, 1024)


def test_adapters_are_read_from_words(tmp_path):
    assert Lora.parse("owner/name") == Lora("owner/name")
    assert Lora.parse("owner/name:file.safetensors@0.5") == Lora("owner/name", "file.safetensors", 0.5)
    assert Lora.parse("owner/name@-1") == Lora("owner/name", None, -1.0)
    odd = tmp_path / "a:b@2"
    odd.mkdir()
    assert Lora.parse(str(odd)) == Lora(str(odd)) and Lora.parse(f"{odd}@2") == Lora(str(odd), None, 2.0)


def test_the_prompt_names_the_garment_and_its_shape():
    plain, shaped = product_prompt("upper_body"), product_prompt("upper_body", "a shirt with long sleeves")
    assert "the upper-body garment that this person wears" in plain and "The garment is" not in plain
    assert shaped == f"{plain} The garment is a shirt with long sleeves."
    assert "the dress that" in product_prompt("dresses") and "the shoes that" in product_prompt("shoes")
    assert product_prompt("outer", "a coat", "TRYOFF {garment}: {caption}") == "TRYOFF outer garment: a coat"


def test_each_back_end_says_which_categories_it_makes():
    for backend in EDITORS:
        for category in (*CATEGORIES, "all"):
            check_category(category, backend)
    for category in (*TRYOFF_CATEGORIES, "all"):
        check_category(category, TEMU_VTOFF)
    words = "category is 'bag', which backend temu-vtoff doesn't make: choose backend qwen-image-edit or flux2-klein or"
    with pytest.raises(ArgumentError, match=words):
        check_category("bag", TEMU_VTOFF)
    with pytest.raises(ArgumentError, match=r"category is 'tie'; choose one of upper_body, .*, belt, all"):
        check_category("tie", "flux2-klein")


def test_the_box_around_a_garment():
    mask = Image.new("L", (300, 400))
    mask.paste(255, (140, 180, 180, 240))
    left, top, right, bottom = focus_box(mask, (3, 4))
    assert left <= 125 and right >= 195 and top <= 165 and bottom >= 255  # a quarter of 60 on each side
    assert abs((right - left) / (bottom - top) - 3 / 4) < 0.02
    mask.paste(255, (0, 0, 40, 60))
    assert focus_box(mask, (3, 4))[:2] == (0, 0)  # moved inside
    mask.paste(255, (0, 0, 300, 400))
    assert focus_box(mask, (4, 3)) == (0, 0, 300, 400)
    with pytest.raises(ValueError, match="the mask is empty"):
        focus_box(Image.new("L", (30, 40)), (3, 4))


def test_options_stay_light():
    assert heavy_imports("from temu_vtoff import Options; Options(backend='flux2-klein', lora=['a@0.5'])") == set()
