"""The captioner: its prompts, its batches, its sampling and its clean lines."""

import shutil

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from qwen_vl_utils import process_vision_info
from tiny_models import save_tiny_llava, save_tiny_qwen, save_tiny_qwen3, save_tiny_segformer
from transformers import BertConfig, BertModel

from temu_vtoff.captioning.captioner import Captioner, _GumbelNoise
from temu_vtoff.captioning.prompt import ATTRIBUTES, MAX_PIXELS, SOURCES, caption_prompt, clean_caption
from temu_vtoff.hub.errors import CheckpointError, HubUnreachableError

CATEGORIES = ["dresses", "upper_body", "lower_body", "dresses"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_qwen(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def captioner(folder) -> Captioner:
    return Captioner.from_pretrained(folder)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Photos of several sizes, so that a batch needs padding."""
    astronaut = Image.fromarray(skimage.data.astronaut()).resize((192, 256))
    return [astronaut, astronaut.resize((60, 200)), astronaut.rotate(180), astronaut.resize((1, 1))]


@pytest.fixture
def calls(captioner, monkeypatch) -> list[dict]:
    """What the model was asked to generate from, call by call."""
    seen, generate = [], captioner.model.generate
    monkeypatch.setattr(captioner.model, "generate", lambda **inputs: seen.append(inputs) or generate(**inputs))
    return seen


@pytest.mark.parametrize("category", ATTRIBUTES)
@pytest.mark.parametrize("source", SOURCES)
def test_prompts_name_the_attributes_and_what_to_leave_out(category, source):
    prompt = caption_prompt(category, source)
    assert all(name.lower() in prompt for name in ATTRIBUTES[category])
    assert '"a <cloth type> with <attributes>"' in prompt
    assert all(word in prompt for word in ("colours", "patterns", "background"))
    assert ("this person wears" in prompt) == (source == "person")
    assert len(prompt.split()) <= 90


def test_a_lower_body_has_no_neckline():
    assert ATTRIBUTES["lower_body"] == ("Cloth Type", "Waist", "Fit", "Cloth Length")
    assert "neckline" not in caption_prompt("lower_body")
    assert len({caption_prompt(category, source) for category in ATTRIBUTES for source in SOURCES}) == 2 * len(
        ATTRIBUTES
    )


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("a shirt with regular fit, long sleeves", "a shirt with regular fit, long sleeves"),
        ('"A shirt with regular fit."\n', "a shirt with regular fit"),
        ("**Caption:** An A-line dress with\n\n  midi length.", "an A-line dress with midi length"),
        ("a dress with\n- straight hem,\n- round neckline,", "a dress with straight hem, round neckline"),
        ("Answer: a women's t-shirt with high-low hem", "a women's t-shirt with high-low hem"),
        ("a\tskirt\x07 with\u2028high waist", "a skirt with high waist"),
        (" \n ", ""),
        ("<think>\nA shirt?\n</think>\n\nA shirt.", "a shirt"),
        ("A shirt? Yes.\n</think>\na shirt", "a shirt"),
        ("<think>A shirt, I", ""),
    ],
)
def test_answers_become_one_plain_line(answer, caption):
    assert clean_caption(answer) == caption
    assert clean_caption(caption) == caption


@pytest.mark.parametrize("temperature", [0, 0.2, 1.0])
def test_what_a_picture_gets_does_not_depend_on_its_batch(captioner, photos, temperature):
    options = {"temperature": temperature, "max_new_tokens": 12}
    together = captioner(photos, CATEGORIES, seed=[3, 4, 5, 6], **options)
    alone = [captioner(p, c, seed=s, **options)[0] for p, c, s in zip(photos, CATEGORIES, [3, 4, 5, 6], strict=True)]
    reversed_ = captioner(photos[::-1], CATEGORIES[::-1], seed=[6, 5, 4, 3], **options)[::-1]
    assert together == alone == reversed_
    assert len(set(together)) == 4


@pytest.mark.parametrize(("save", "token_side"), [(save_tiny_qwen3, 32), (save_tiny_llava, 1)])
def test_other_image_text_to_text_models_caption_too(save, token_side, photos, tmp_path):
    other = Captioner.from_pretrained(save(tmp_path), max_pixels=40_000)
    assert other._token_side == token_side
    options = {"temperature": 1.0, "max_new_tokens": 8}
    together = other(photos, CATEGORIES, seed=[3, 4, 5, 6], **options)
    alone = [other(p, c, seed=s, **options)[0] for p, c, s in zip(photos, CATEGORIES, [3, 4, 5, 6], strict=True)]
    assert together == alone and len(set(together)) == 4
    chats = [other._chat(picture, "a shirt") for picture in (photos[0], Image.new("RGB", photos[0].size))]
    seen, black = other.model(**other._inputs(chats)).logits[:, -1]
    assert not torch.allclose(seen, black, rtol=1e-3)


def test_nor_under_the_checkpoints_repetition_penalty(captioner, photos, monkeypatch):
    free = captioner(photos, CATEGORIES, max_new_tokens=12)
    monkeypatch.setattr(captioner.model.generation_config, "repetition_penalty", 1.5)
    together = captioner(photos, CATEGORIES, max_new_tokens=12)
    assert together == [captioner(p, c, max_new_tokens=12)[0] for p, c in zip(photos, CATEGORIES, strict=True)]
    assert together != free


def test_a_checkpoint_that_pads_right_is_padded_left(folder, captioner, photos):
    right = Captioner.from_pretrained(folder)
    right.processor.tokenizer.padding_side = "right"
    assert right(photos, CATEGORIES, max_new_tokens=8) == captioner(photos, CATEGORIES, max_new_tokens=8)


def test_the_seed_decides_unless_the_likeliest_words_are_taken(captioner, photos):
    once, again, other = (captioner(photos, "dresses", temperature=1.0, max_new_tokens=8, seed=s) for s in (0, 0, 1))
    assert once == again != other
    greedy = [captioner(photos, "dresses", temperature=0, max_new_tokens=8, seed=s) for s in (0, 1)]
    assert greedy[0] == greedy[1] != once


@pytest.mark.parametrize("temperature", [0, 0.2])
def test_values_that_are_not_finite_are_no_caption(folder, photos, temperature):
    damaged = Captioner.from_pretrained(folder)
    damaged.model.lm_head.weight.data[5, 0] = float("nan")
    with pytest.raises(ValueError, match=r"not finite in float32: is a weight of the checkpoint damaged\?"):
        damaged(photos[0], "dresses", temperature=temperature)
    damaged.model.half()
    with pytest.raises(ValueError, match="not finite in float16: use bfloat16 or float32"):
        damaged(photos[0], "dresses", temperature=temperature)


def test_greedy_is_transformers_own(captioner, photos):
    content = [{"type": "image", "image": photos[0]}, {"type": "text", "text": caption_prompt("dresses", "garment")}]
    chat = [{"role": "user", "content": content}]
    pictures, _ = process_vision_info(chat)
    text = captioner.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    inputs = captioner.processor(text=[text], images=pictures, return_tensors="pt")
    tokens = captioner.model.generate(**inputs, max_new_tokens=9, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    expected = clean_caption(captioner.processor.batch_decode(tokens, skip_special_tokens=True)[0])
    assert captioner(photos[0], "dresses", source="garment", temperature=0, max_new_tokens=9) == [expected]


def test_gumbel_noise_samples_the_softmax():
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(4000, 4)
    noise = _GumbelNoise(0.7, [torch.Generator().manual_seed(i) for i in range(4000)])
    drawn = torch.bincount(noise(torch.empty(0), scores).argmax(1), minlength=4) / 4000
    assert torch.allclose(drawn, torch.softmax(scores[0] / 0.7, 0), atol=0.03)  # four standard deviations


def test_pictures_are_bounded(folder, captioner, photos, calls):
    large = Image.fromarray(np.zeros((3000, 2000, 3), np.uint8))
    captioner(large, "dresses", max_new_tokens=1)
    assert 0.9 * MAX_PIXELS < calls[-1]["image_grid_thw"].prod() * 14**2 <= MAX_PIXELS
    captioner(photos[0], "dresses", max_new_tokens=1)
    assert calls[-1]["image_grid_thw"].tolist() == [[1, 18, 14]]  # 192x256 to the nearest multiples of 28
    bounded = Captioner(captioner.model, captioner.processor, max_pixels=20 * 28**2)
    bounded([large, photos[0]], "dresses", max_new_tokens=1)
    assert (calls[-1]["image_grid_thw"].prod(1) <= 20 * 4).all()


def test_the_checkpoints_own_bounds_hold(folder):
    captioner = Captioner.from_pretrained(folder)
    captioner.processor.image_processor.size = {"shortest_edge": 50_000, "longest_edge": 60_000}
    own = Captioner(captioner.model, captioner.processor)
    assert (own.min_pixels, own.max_pixels) == (50_000, 60_000)
    lower = Captioner(captioner.model, captioner.processor, max_pixels=40_000)
    assert (lower.min_pixels, lower.max_pixels) == (40_000, 40_000)


def test_longer_answers_are_cut(captioner, photos, calls):
    short = captioner(photos[0], "dresses", temperature=0, max_new_tokens=3)
    long = captioner(photos[0], "dresses", temperature=0, max_new_tokens=9)
    assert len(short[0]) < len(long[0])
    captioner(photos[0], "dresses")
    assert [call["max_new_tokens"] for call in calls] == [3, 9, 75]


def test_nothing_in_nothing_out(captioner):
    assert captioner([], "dresses") == []


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((1, "tie"), {}, "category is 'tie'; choose one of upper_body, lower_body, dresses"),
        ((1, "dresses"), {"source": "shop"}, "choose one of person, garment"),
        ((1, ["dresses"] * 2), {}, "1 pictures came with 2 categories and 1 seeds"),
        ((1, "dresses"), {"seed": [1, 2]}, "1 pictures came with 1 categories and 2 seeds"),
        ((1, "dresses"), {"temperature": -0.1}, "temperature is -0.1"),
        ((1, "dresses"), {"temperature": float("inf")}, "temperature is inf; give 0 or more"),
        ((1, "dresses"), {"max_new_tokens": 0}, "max_new_tokens is 0; give at least 1"),
        ((1, "dresses"), {"seed": -1}, "seed is -1; give a whole number from 0 to 9223372036854775807"),
        ((1, "dresses"), {"seed": 2**63}, "seed is 9223372036854775808"),
        ((Image.new("RGB", (3000, 2)), "dresses"), {}, "3000x2, too elongated"),
    ],
)
def test_wrong_arguments_are_named(captioner, photos, arguments, options, words):
    picture, category = arguments
    with pytest.raises(ValueError, match=words):
        captioner(photos[0] if picture == 1 else picture, category, **options)


@pytest.mark.parametrize(
    ("bounds", "least"), [({"max_pixels": 100}, 784), ({"min_pixels": 5000, "max_pixels": 4000}, 5000)]
)
def test_bounds_that_fit_no_picture_are_refused(folder, bounds, least):
    with pytest.raises(ValueError, match=f"give at least {least}"):
        Captioner.from_pretrained(folder, **bounds)


def test_other_checkpoints_are_refused(tmp_path):
    with pytest.raises(HubUnreachableError, match="the captioner nobody/nothing"):
        Captioner.from_pretrained("nobody/nothing")
    with pytest.raises(CheckpointError, match="the captioner can't be loaded"):
        Captioner.from_pretrained(save_tiny_segformer(tmp_path))


def test_a_model_without_pictures_or_without_a_chat_is_refused(folder, tmp_path):
    shape = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=50, **shape)).save_pretrained(tmp_path / "bert")
    with pytest.raises(CheckpointError, match=r"bert is a bert, not an image-text-to-text model.*Qwen3-VL\.$"):
        Captioner.from_pretrained(tmp_path / "bert")
    shutil.copytree(folder, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="it has no chat template"):
        Captioner.from_pretrained(tmp_path / "base")


def test_missing_weights_are_refused(folder, captioner, tmp_path):
    weights = {k: v for k, v in captioner.model.state_dict().items() if "layers.1.mlp" not in k}
    captioner.model.save_pretrained(tmp_path, state_dict=weights)
    captioner.processor.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="lacks 3 weights"):
        Captioner.from_pretrained(tmp_path)
