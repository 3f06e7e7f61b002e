"""Models whose files are damaged: one sentence that names the component and the file, and no absurd allocation."""

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTextModelWithProjection

from temu_vtoff.builtin import FOLDER
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.model_files import check_model_files
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.tryoff.loading import load_components

PARTS = {path.name: path for path in [*(FOLDER / "tryoff").iterdir(), FOLDER / "segmenter", FOLDER / "captioner"]}
PARTS = {name: path for name, path in sorted(PARTS.items()) if path.is_dir()}
FILES = [(name, file.name) for name, path in PARTS.items() for file in sorted(path.iterdir())]
JSONS = [(name, file) for name, file in FILES if file.endswith(".json")]
WEIGHTS = [(name, file) for name, file in FILES if file.endswith(".safetensors")]
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 4265368608\n"
)


@pytest.fixture
def copy(tmp_path) -> Callable[[str], Path]:
    """Copies a component of the built-in model; its weights are links until somebody replaces them."""

    def copied(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in PARTS[name].iterdir():
            if file.suffix == ".safetensors":
                (folder / file.name).symlink_to(file)
            else:
                shutil.copy(file, folder)
        return folder

    return copied


def load(folder: Path) -> Any:
    """A component by its folder's name; nothing else of its pipeline is loaded."""
    if folder.name == "segmenter":
        return ClothSegmenter.from_pretrained(folder)
    if folder.name == "captioner":
        return Captioner.from_pretrained(folder)
    others = dict.fromkeys(set(PARTS) - {folder.name, "segmenter", "captioner"})
    return load_components(folder.parent, given=others)[folder.name]


def replace(file: Path, contents: bytes) -> None:
    file.unlink()
    file.write_bytes(contents)


def sentence(folder: Path) -> str:
    """What is said when it is loaded: one line about the component and its folder."""
    with pytest.raises(CheckpointError) as raised:
        load(folder)
    said = str(raised.value)
    assert "\n" not in said and said.startswith(f"the {folder.name}") and str(folder) in said, said
    assert "--" not in said
    return said


@pytest.mark.parametrize("name", PARTS)
def test_sound_copies_load(copy, name):
    assert load(copy(name)) is not None


@pytest.mark.parametrize(("name", "file"), FILES)
def test_lfs_pointers_and_empty_files_are_named(copy, name, file):
    folder = copy(name)
    replace(folder / file, LFS_POINTER)
    assert f"{folder / file} is a git LFS pointer, not the file itself: run `git lfs pull`" in sentence(folder)
    replace(folder / file, b"")
    assert f"{folder / file} is empty" in sentence(folder)


@pytest.mark.parametrize(("name", "file"), WEIGHTS)
def test_cut_weights_are_named(copy, name, file):
    folder = copy(name)
    whole = (folder / file).read_bytes()
    for size in (5, 400, len(whole) // 2, len(whole) - 1):
        replace(folder / file, whole[:size])
        assert str(folder / file) in sentence(folder) and "download it again" in sentence(folder)
    replace(folder / file, whole + b"x")
    assert f"has {len(whole) + 1} bytes where its header says {len(whole)}" in sentence(folder)
    replace(folder / file, b"\2\0\0\0\0\0\0\0{}")
    assert "holds no weights" in sentence(folder)
    replace(folder / file, b"<html>Sign in to download</html>")
    assert "not a safetensors file" in sentence(folder)
    (folder / file).unlink()
    assert f"{folder} has no weights" in sentence(folder)


@pytest.mark.parametrize(("name", "file"), JSONS)
def test_files_that_hold_no_json_object_are_named(copy, name, file):
    folder = copy(name)
    whole = (folder / file).read_bytes()
    for contents in (whole[: len(whole) // 2], b"\xff\xfe\x00", b"[]", b"null", b"5", b'"x"', b"[" * 100_000):
        replace(folder / file, contents)
        sentence(folder)
        if file != "tokenizer.json":  # up to 10 MB, and not read twice
            assert f"{folder / file} " in sentence(folder)


@pytest.mark.parametrize(
    ("name", "file"),
    [*((name, "config.json") for name, _ in WEIGHTS), ("scheduler", "scheduler_config.json")]
    + [("feature_extractor", "preprocessor_config.json"), ("segmenter", "preprocessor_config.json")]
    + [(name, "tokenizer.json") for name in ("tokenizer", "tokenizer_2", "tokenizer_3", "captioner")]
    + [("captioner", "processor_config.json"), ("captioner", "chat_template.jinja")],
)
def test_absent_files_are_no_silent_defaults(copy, name, file):
    folder = copy(name)
    (folder / file).unlink()
    sentence(folder)


SIZES = [  # component, file, path of the entry; what it counts exceeds the weights by far
    ("transformer", "config.json", "num_attention_heads"),
    ("transformer", "config.json", "num_layers"),
    ("transformer_vton", "config.json", "pos_embed_max_size"),
    ("transformer_vton", "config.json", "attention_head_dim"),
    ("vae", "config.json", "block_out_channels.3"),
    ("vae", "config.json", "layers_per_block"),
    ("text_encoder", "config.json", "hidden_size"),
    ("text_encoder_2", "config.json", "max_position_embeddings"),
    ("text_encoder_3", "config.json", "vocab_size"),
    ("image_encoder_large", "config.json", "image_size"),
    ("image_encoder_bigG", "config.json", "intermediate_size"),
    ("scheduler", "scheduler_config.json", "num_train_timesteps"),
    ("feature_extractor", "preprocessor_config.json", "size.height"),
    ("segmenter", "config.json", "depths.1"),
    ("segmenter", "config.json", "decoder_hidden_size"),
    ("segmenter", "preprocessor_config.json", "size.width"),
    ("captioner", "config.json", "text_config.num_hidden_layers"),
    ("captioner", "config.json", "vision_config.depth"),
    ("captioner", "config.json", "text_config.intermediate_size"),
    ("tokenizer_3", "tokenizer_config.json", "extra_ids"),
]


def change(file: Path, path: str, value: Any) -> None:
    """Writes another value into a JSON file."""
    contents = json.loads(file.read_text("utf-8"))
    place, *steps = [contents, *path.split(".")]
    for step in steps[:-1]:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(steps[-1]) if isinstance(place, list) else steps[-1]] = value
    file.write_text(json.dumps(contents), "utf-8")


@pytest.mark.parametrize(("name", "file", "entry"), SIZES)
def test_absurd_sizes_are_refused_before_memory_is_taken(copy, name, file, entry):
    folder = copy(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    change(folder / file, entry, 10**12)
    assert f"{folder / file} says {entry.split('.')[-2 if entry[-1].isdigit() else -1]} is 1000000000000" in sentence(
        folder
    )
    if file == "config.json" and not entry.startswith(("num_l", "depth", "layers", "pos", "text_config.num", "vision")):
        change(folder / file, entry, 2**18)  # possible, but not with these weights
        sentence(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KB


@pytest.mark.parametrize(("name", "file", "entry"), SIZES)
@pytest.mark.parametrize("value", [-1, "many", 1.5, True, [], {}], ids=str)
def test_values_of_the_wrong_kind_are_named(copy, name, file, entry, value):
    folder = copy(name)
    change(folder / file, entry, value)
    assert f"{folder / file} says " in sentence(folder)


@pytest.mark.parametrize("name", ["feature_extractor", "segmenter"])
@pytest.mark.parametrize("entry", ["image_mean", "image_std"])
@pytest.mark.parametrize("value", [[0.5], [0.5] * 4, []], ids=len)
def test_means_of_other_than_three_channels_are_refused(copy, name, entry, value):
    folder = copy(name)
    change(folder / "preprocessor_config.json", entry, value)
    assert f"says {entry} is {value}, not three numbers" in sentence(folder)


@pytest.mark.parametrize("entry", ["scaling_factor", "shift_factor", "block_out_channels"])
def test_a_vae_without_its_scale_is_refused(copy, entry):
    folder = copy("vae")
    contents = json.loads((folder / "config.json").read_text("utf-8"))
    del contents[entry]
    (folder / "config.json").write_text(json.dumps(contents), "utf-8")
    assert f"config.json lacks {entry}" in sentence(folder)


def test_the_model_type_must_fit(copy):
    folder = copy("text_encoder_3")
    change(folder / "config.json", "model_type", "bert")
    assert "is a bert, not a t5" in sentence(folder)


def test_weights_of_other_shapes_are_named(copy):
    folder = copy("text_encoder")
    change(folder / "config.json", "intermediate_size", 97)
    assert "weights whose shapes don't match its configuration (text_model.encoder" in sentence(folder)


def test_a_tokenizer_without_words_is_refused(copy):
    folder = copy("tokenizer")
    contents = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    special = {token["content"] for token in contents["added_tokens"]}
    contents["model"]["vocab"] = {word: i for word, i in contents["model"]["vocab"].items() if word in special}
    contents["model"]["merges"] = []
    (folder / "tokenizer.json").write_text(json.dumps(contents), "utf-8")
    assert "knows no words" in sentence(folder)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for", "TemplateSyntaxError"),
        ("hello", "its chat template leaves out the picture or the question"),
        ("{{ raise_exception('no') }}", "no"),
        ("{{ messages[0]['content'][1]['text'] }}", "leaves out the picture"),
        ("<|vision_start|><|image_pad|><|vision_end|>", "leaves out the picture or the question"),
    ],
)
def test_chat_templates_that_lose_something_are_refused(copy, template, words):
    folder = copy("captioner")
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    assert words in sentence(folder)


@pytest.fixture
def pickled(copy) -> Path:
    """A text encoder whose weights torch pickled."""
    folder = copy("text_encoder")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_pickled_weights_are_checked_before_they_are_loaded(pickled):
    assert load(pickled) is not None
    file = pickled / "pytorch_model.bin"
    whole = file.read_bytes()
    for contents, words in (
        (LFS_POINTER, "is a git LFS pointer"),
        (b"", "is empty"),
        (whole[: len(whole) // 2], "is cut off"),
        (b"<html>", "does not hold weights"),
        (b"\x80\2garbage", "can't be loaded from"),
    ):
        file.write_bytes(contents)
        assert words in sentence(pickled)


def test_an_unused_damaged_file_does_no_harm(copy):
    folder = copy("text_encoder")
    (folder / "pytorch_model.bin").write_bytes(LFS_POINTER)
    assert load(folder) is not None


def test_of_weights_in_several_files_each_is_checked(copy):
    folder = copy("text_encoder")
    model = CLIPTextModelWithProjection.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    index = folder / "model.safetensors.index.json"
    shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    assert len(shards) > 1 and load(folder) is not None
    whole = (folder / shards[0]).read_bytes()
    (folder / shards[0]).write_bytes(LFS_POINTER)
    assert f"{folder / shards[0]} is a git LFS pointer" in sentence(folder)
    (folder / shards[0]).unlink()
    assert f"names 1 files that are not there ({shards[0]})" in sentence(folder)
    (folder / shards[0]).write_bytes(whole)
    index.write_text('{"weight_map": []}', "utf-8")
    assert "does not say which file holds which weights" in sentence(folder)


def test_a_variant_that_was_not_asked_for_is_named(copy):
    folder = copy("image_encoder_large")
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert "it has model.fp16.safetensors, which needs a variant" in sentence(folder)
    assert check_model_files(folder, "it", ["config.json"], variant="fp16").tensors > 10


def test_our_own_mistakes_are_not_relabelled():
    with pytest.raises(KeyError), explain_loading("folder", "the segmenter"):
        {}["absent"]
    with pytest.raises(TypeError), explain_loading("folder", "the segmenter"):
        torch.load()
    with pytest.raises(ValueError, match="ours"), explain_loading("folder", "the segmenter"):
        raise ValueError("ours")
    with pytest.raises(RuntimeError, match="can't allocate memory"), explain_loading("folder", "the segmenter"):
        torch.empty(2**60)


def test_the_argument_is_named_as_the_front_end_names_it(tmp_path):
    with pytest.raises(CheckpointError) as raised, explain_loading(tmp_path, "the ViT", argument="align_model"):
        CLIPTextModelWithProjection.from_pretrained(tmp_path)
    assert raised.value.argument == "align_model" and "(argument align_model)" in str(raised.value)
    assert "(argument --align_model)" in raised.value.phrase(lambda name: f"--{name}")
