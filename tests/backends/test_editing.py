"""The image-editing back ends on tiny random pipelines, from disk through the real loading to the picture."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from drawn_people import draw_person
from temu_vtoff import Options, TryOff
from temu_vtoff.backends.adapters import load_loras
from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.stages.fitting_adapters import check_adapters
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.models import load_pipeline
from temu_vtoff.stages.tryon import TryOn
from temu_vtoff.stages.tryon_options import TryOnOptions
from tests.tiny_editors import SAVERS, SIZE, save_tiny_klein, save_tiny_lora

PHOTO = Image.effect_noise((120, 160), 80).convert("RGB")
MASK = Image.new("L", PHOTO.size)
MASK.paste(255, (20, 20, 80, 90))


def options(editors: dict[str, Path], backend: str, **more: object) -> Options:
    return Options(**{"backend": backend, "base": str(editors[backend]), "device": "cpu", **more})


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=int)


@pytest.mark.parametrize("backend", SAVERS)
def test_the_picture_depends_on_everything_that_it_is_made_of(editors, backend):
    editor = load_pipeline(options(editors, backend)).pipe
    how = {"caption": "a shirt", "category": "upper_body", "size": SIZE, "seed": 3, "steps": 2}

    def make(photo: Image.Image = PHOTO, **changes: object) -> np.ndarray:
        picture = editor(photo, MASK, **how | changes)
        assert picture.size == changes.get("size", SIZE)
        return pixels(picture)

    once = make()
    assert np.array_equal(once, make())
    for changed in (
        make(Image.new("RGB", PHOTO.size)),
        make(caption="a long red coat"),
        make(category="dresses"),
        make(seed=4),
        make(steps=3),
    ):
        assert not np.array_equal(once, changed)
    make(size=(96, 64))
    if backend != "flux2-klein":  # distilled
        assert not np.array_equal(once, make(guidance=8.0))


@pytest.mark.parametrize("backend", SAVERS)
def test_adapters_count_by_their_scale_and_foreign_ones_are_refused(editors, backend, tmp_path):
    made = {}
    pipe = load_pipeline(options(editors, backend)).pipe.pipe
    save_tiny_lora(pipe, tmp_path / "own")
    own = f"{tmp_path / 'own'}:pytorch_lora_weights.safetensors"
    for lora in ((), (own,), (f"{own}@0.5",), (f"{own}@0",), (own, f"{own}@-1")):
        editor = load_pipeline(options(editors, backend, lora=lora)).pipe
        made[lora] = pixels(editor(PHOTO, MASK, "", "upper_body", SIZE, 3, steps=2))
    nothing, whole, half, zero, undone = made.values()
    assert np.array_equal(nothing, zero) and np.abs(nothing - undone).max() <= 1
    assert np.abs(nothing - whole).max() > 0 and np.abs(half - whole).max() > 0

    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    write_lora(tmp_path / "sdxl.safetensors", f"unet.{layer}", width=16)
    with pytest.raises(CheckpointError, match=r"fits no layer of a \w+Pipeline.*It begins with unet\.down") as raised:
        load_pipeline(options(editors, backend, lora=(str(tmp_path / "sdxl.safetensors"),)))
    assert raised.value.argument == "lora"
    write_lora(tmp_path / "wide.safetensors", "transformer.transformer_blocks.0.attn.to_q", width=5)
    with pytest.raises(CheckpointError, match=r"of another width: its transformer\.transformer_blocks\.0"):
        load_pipeline(options(editors, backend, lora=(str(tmp_path / "wide.safetensors"),)))
    for name, words in (("sdxl", "fits no layer"), ("wide", "of another width")):  # before any weights are read
        with pytest.raises(CheckpointError, match=words):
            check_adapters(options(editors, backend, lora=(str(tmp_path / f"{name}.safetensors"),)))
    check_adapters(options(editors, backend, lora=(own,)))


def write_lora(file: Path, layer: str, width: int) -> None:
    """Writes an adapter of one layer of this width."""
    ends = {"lora_A": (2, width), "lora_B": (width, 2)}
    save_file({f"{layer}.{end}.weight": torch.ones(shape) for end, shape in ends.items()}, file)


def test_the_adapters_file_is_named_where_there_are_several(editors, tmp_path):
    for name in ("a", "b"):
        write_lora(tmp_path / f"{name}.safetensors", "transformer.transformer_blocks.0.attn.to_q", width=16)
    for lora, words in (
        (tmp_path, r"needs the name of its file.*there are a\.safetensors, b\.safetensors"),
        (f"{tmp_path}:c.safetensors", r"has no file c\.safetensors; there are a\.safetensors, b"),
        (tmp_path / "nothing.safetensors", "the LoRA: there is no folder"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_pipeline(options(editors, "flux2-klein", lora=(str(lora),)))
    load_pipeline(options(editors, "flux2-klein", lora=(f"{tmp_path}:b.safetensors",)))


def test_keys_that_fit_no_layer_are_named_in_a_warning(editors, tmp_path, caplog):
    pipe = load_pipeline(options(editors, "flux2-klein")).pipe.pipe
    file = save_tiny_lora(pipe, tmp_path) / "pytorch_lora_weights.safetensors"
    weights = load_file(file)
    key = next(name for name in weights if "lora_A" in name)
    for end in ("lora_A", "lora_B"):
        some = weights[key.replace("lora_A", end)]
        weights[f"transformer.transformer_blocks.7.attn.to_q.{end}.weight"] = some.clone()
    save_file(weights, file)
    with caplog.at_level(logging.WARNING):
        load_loras(pipe, [str(tmp_path)])
    assert "2 of the LoRA" in caplog.text and "transformer_blocks.7" in caplog.text


def test_the_stages_run_and_every_photo_is_made_alone(editors, tmp_path):
    PHOTO.save(tmp_path / "photo.png")
    chosen = options(editors, "flux2-klein", segmenter="builtin", captioner="builtin", width=64, height=96)
    toolkit = TryOff(chosen, keep_loaded=True)
    garments = [Garment(tmp_path / "photo.png", "upper_body", mask=MASK), Garment(tmp_path / "gone.png", "dresses")]
    good, bad = toolkit.generate(garments, seed=5, num_images=2, batch_size=2)
    assert [image.size for image in good.images] == [SIZE, SIZE] and bad.images == [] and bad.error is not None
    assert toolkit.taken["num_inference_steps"] == 4 and toolkit.taken["guidance_scale"] == 1.0
    (again,) = toolkit.generate(garments[:1], seed=6)
    assert np.array_equal(pixels(again.images[0]), pixels(good.images[1]))


def test_a_mask_that_covers_everything_is_in_order(editors, caplog):
    toolkit = TryOff(options(editors, "flux2-klein", width=64, height=96))
    (garment,) = toolkit.segment(PHOTO, mask=Image.new("L", PHOTO.size, 255))
    assert garment.error is None and garment.mask is not None
    assert garment.warnings == [] and "covers" not in caplog.text


def test_shoes_go_all_the_way(editors, tmp_path):
    draw_person(919, "lower_body").photo.save(tmp_path / "photo.png")
    chosen = options(editors, "flux2-klein", segmenter="builtin", captioner="builtin", width=192, height=256)
    (product,) = TryOff(chosen)(tmp_path / "photo.png", "shoes")
    assert product.error is None and product.images[0].size == (192, 256) and product.garment.caption
    assert set(product.garment.labels) == {"Left-shoe", "Right-shoe"}


def test_a_focused_model_sees_the_garment_large(editors, tmp_path):
    large = Image.new("RGB", (480, 640), "gray")
    mask = Image.new("L", large.size)
    mask.paste(255, (200, 300, 280, 420))
    large.paste(Image.effect_noise((80, 120), 90).convert("RGB"), (200, 300))
    large.save(tmp_path / "large.png")
    seen = []
    toolkit = TryOff(options(editors, "flux2-klein", width=64, height=96, focus=True), keep_loaded=True)
    editor = toolkit.pipeline()
    editor.edit = lambda pictures, *args, **how: seen.extend(pictures) or pictures[0]
    list(toolkit.generate([Garment(tmp_path / "large.png", "upper_body", mask=mask)]))
    (picture,) = seen
    assert picture.size == SIZE
    assert pixels(picture)[24:72, 16:48].std() > 30 and pixels(picture)[:, :8].std() < 5
    assert ((pixels(picture) - 128) ** 2).sum(2).astype(bool).mean() > 0.25  # of the whole photo it would be 0.03


@pytest.mark.parametrize("backend", SAVERS)
def test_another_kind_of_folder_is_refused(editors, backend):
    other = editors[next(name for name in SAVERS if name != backend)]
    words = rf"is a \w+Pipeline; backend {backend} needs a {EDITORS[backend].pipeline}.*such as {EDITORS[backend].base}"
    with pytest.raises(CheckpointError, match=words) as raised:
        load_pipeline(options(editors, backend, base=str(other)))
    assert raised.value.arguments == ("base", "backend")


def test_damaged_folders_are_refused(editors, tmp_path):
    folder = tmp_path / "klein"
    shutil.copytree(editors["flux2-klein"], folder)
    broken = options({"flux2-klein": folder}, "flux2-klein")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"the transformer can't be loaded.*download it again"):
        load_pipeline(broken)
    weights.write_bytes(data)
    index = json.loads((folder / "model_index.json").read_text())
    for changed, words in (
        (index | {"vae": ["os", "system"]}, "the vae of .* is a system of os, which is not supported"),
        ({name: value for name, value in index.items() if name != "vae"}, "model_index.json lacks vae"),
    ):
        (folder / "model_index.json").write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=words):
            load_pipeline(broken)
    (folder / "model_index.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no model_index\.json; backend flux2-klein needs"):
        load_pipeline(broken)
    (folder / "model_index.json").write_text(json.dumps(index))
    shutil.rmtree(folder / "vae")
    with pytest.raises(CheckpointError, match="lacks vae/"):
        load_pipeline(broken)


def test_guidance_of_distilled_weights_is_refused_and_base_weights_have_their_own(editors, tmp_path):
    with pytest.raises(ArgumentError, match="guidance_scale has no effect"):
        load_pipeline(options(editors, "flux2-klein", guidance_scale=3.0))
    base = save_tiny_klein(tmp_path, is_distilled=False)
    assert load_pipeline(options({"flux2-klein": base}, "flux2-klein")).pipe.own_sampling() == (50, 4.0)


def test_try_on_by_two_pictures_leaves_the_rest_of_the_photo_alone(editors, tmp_path):
    chosen = TryOnOptions(
        backend="qwen-image-edit", base=str(editors["qwen-image-edit"]), segmenter="builtin", device="cpu"
    )
    chosen = replace(chosen, width=64, height=96, num_inference_steps=1)
    toolkit = TryOn(chosen, keep_loaded=True)
    persons = toolkit.prepare(PHOTO, mask=MASK)
    garments = [Image.new("RGB", (60, 80), color) for color in ("red", "blue")]
    red, blue = toolkit.generate(persons, garments, seed=1, num_images=2)
    assert [image.size for image in red.images] == [PHOTO.size] * 2
    outside, inside = pixels(MASK) == 0, pixels(MASK) > 0
    difference = np.abs(pixels(red.images[0]) - pixels(PHOTO)).max(2)
    assert difference[outside].max() == 0 and difference[inside].mean() > 5
    assert not np.array_equal(pixels(red.images[0]), pixels(red.images[1]))
    assert not np.array_equal(pixels(red.images[0]), pixels(blue.images[0]))
    taking_off = replace(chosen, prompt_template="dress up").of_tryoff()
    assert taking_off == Options(
        backend="qwen-image-edit",
        base=chosen.base,
        segmenter="builtin",
        device="cpu",
        width=64,
        height=96,
        num_inference_steps=1,
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "flux-kontext"}, "looks at one picture, and try-on needs two: choose qwen-image-edit or flux2"),
        ({"tryon": "mine"}, "tryon is for temu-vtoff: with backend flux2-klein give base"),
        ({"focus": True}, "focus is for try-off"),
        ({"prompt_template": "the {garment}"}, "prompt_template has fields"),
    ],
)
def test_what_does_not_go_with_try_on(given, words):
    with pytest.raises(ArgumentError, match=words):
        TryOnOptions(**{"backend": "flux2-klein", **given})
