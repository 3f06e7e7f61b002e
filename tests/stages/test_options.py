"""Options: every default, what goes with what, and mistakes that name the argument."""

import math

import pytest

from temu_vtoff import Options
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.sources import PUBLISHED_BASE, PUBLISHED_CAPTIONER, PUBLISHED_SEGMENTER, PUBLISHED_TRYOFF
from tests.script_calls import heavy_imports


def test_nothing_named_is_the_built_in_model():
    sources = Options().sources
    assert {sources.base, sources.tryoff, sources.segmenter, sources.captioner} == {"builtin"}
    assert sources.is_builtin and Options().size() == (192, 256)


@pytest.mark.parametrize("named", [{"tryoff": PUBLISHED_TRYOFF}, {"base": PUBLISHED_BASE}])
def test_one_published_source_brings_the_others(named):
    sources = Options(**named).sources
    assert (sources.base, sources.tryoff) == (PUBLISHED_BASE, PUBLISHED_TRYOFF)
    assert (sources.segmenter, sources.captioner) == (PUBLISHED_SEGMENTER, PUBLISHED_CAPTIONER)
    assert not sources.is_builtin


def test_a_stage_named_by_itself_is_taken():
    sources = Options(segmenter="mine", tryoff="builtin").sources
    assert sources.segmenter == "mine" and sources.captioner == "builtin"
    assert Options(image_encoder_large="mine").image_encoders == {"image_encoder_large": "mine"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("precision", "fp8"),
        ("offload", "disk"),
        ("preset", "warp"),
        ("attention_backend", "abacus"),
        ("quantize_text_encoder", 3),
        ("quantize_transformers", 16),
        ("resize_mode", "squash"),
        ("num_inference_steps", 0),
        ("num_inference_steps", 10**9),
        ("batch_size", 0),
        ("guidance_scale", math.nan),
        ("guidance_scale", math.inf),
    ],
)
def test_a_value_out_of_range_names_its_argument(name, value):
    with pytest.raises(ArgumentError, match=name) as raised:
        Options(**{name: value})
    assert raised.value.argument == name
    assert raised.value.phrase(lambda argument: f"--{argument}").startswith(f"--{name} is ")


def test_options_are_read_without_torch():
    assert heavy_imports("from temu_vtoff import Options; Options().size()") == set()
