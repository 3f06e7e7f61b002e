"""Sources that can't be had are found before anything is written."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from temu_vtoff import Finish, Options
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.stages.checking import check_sources
from tests.script_calls import heavy_imports


@pytest.mark.parametrize("gone", ["./gone/here", "somebody/gone"])
@pytest.mark.parametrize("name", ["segmenter", "captioner", "image_encoder_large", "lora", "upscaler"])
def test_every_source_is_checked(name, gone):
    options = {"lora": {"lora": [gone]}, "upscaler": {"finish": Finish(upscale=2, upscaler=gone)}}.get(name)
    with pytest.raises(CheckpointError, match=gone) as raised:
        check_sources(Options(**({name: gone} if options is None else options)))
    assert raised.value.argument == name


def test_what_is_not_needed_is_not_checked(tmp_path):
    check_sources(Options(segmenter="somebody/gone", captioner="./gone"), segmenter=False, captioner=False)
    check_sources(Options(segmenter=str(tmp_path), captioner=str(tmp_path)))  # the loaders say what is missing there


def test_folders_of_other_models(tmp_path):
    for name, kind, architecture in (
        ("segformer", "segformer", "SegformerForSemanticSegmentation"),
        ("qwen", "qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
    ):
        (tmp_path / name).mkdir()
        config = {"model_type": kind, "architectures": [architecture]}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "empty").mkdir()
    segformer, qwen = str(tmp_path / "segformer"), str(tmp_path / "qwen")
    check_sources(Options(segmenter=segformer, captioner=qwen))
    for name, options in {
        "segmenter": Options(segmenter=qwen),
        "captioner": Options(captioner=segformer),
        "upscaler": Options(finish=Finish(upscale=2, upscaler=str(tmp_path / "empty"))),
    }.items():
        with pytest.raises(CheckpointError) as raised:
            check_sources(options)
        assert raised.value.argument == name


def test_adapters_of_a_folder_without_any():
    with pytest.raises(CheckpointError, match=r"there is no \.safetensors file"):
        check_sources(Options(lora=[str(Path(__file__).parent)]))


def test_adapters_of_another_model_are_refused_before_any_work(tmp_path):
    layer = "transformer_blocks.0.attn.to_q"
    files = {
        "foreign": ("transformer.single_blocks.0.linear", 192, "fits no layer of a TryOffPipeline"),
        "wide": (f"transformer.{layer}", 1536, "of a model of another width"),
        "sound": (f"transformer.{layer}", 192, None),
    }
    for name, (place, width, words) in files.items():
        ends = {"lora_A": torch.ones(2, width), "lora_B": torch.ones(width, 2)}
        save_file({f"{place}.{end}.weight": weight for end, weight in ends.items()}, tmp_path / f"{name}.safetensors")
        lora = Options(lora=[str(tmp_path / f"{name}.safetensors")])
        if words is None:
            check_sources(lora)
        else:
            with pytest.raises(CheckpointError, match=words) as raised:
                check_sources(lora)
            assert raised.value.argument == "lora"


def test_damaged_adapters_are_refused_before_any_work(tmp_path):
    down, up = (f"transformer.transformer_blocks.0.attn.to_q.lora_{end}.weight" for end in "AB")
    damaged = {
        "is empty": {},
        "of a model of another width": {down: torch.ones(192), up: torch.ones(192, 2)},
        "attn.to_q has no pair of matrices": {down: torch.ones(2, 192)},
        "has no pair of matrices of one": {down: torch.ones(2, 192), up: torch.ones(192, 3)},
        "matrices of one rank": {down: torch.ones(2, 192).int(), up: torch.ones(192, 2).int()},
    }
    for words, weights in damaged.items():
        save_file(weights, tmp_path / "lora.safetensors")
        with pytest.raises(CheckpointError, match=words):
            check_sources(Options(lora=[str(tmp_path / "lora.safetensors")]))


def test_it_stays_light():
    assert (
        heavy_imports(
            "from temu_vtoff.stages.checking import check_sources; import temu_vtoff as t; check_sources(t.Options())"
        )
        == set()
    )
