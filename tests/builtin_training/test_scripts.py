"""The training scripts from end to end, for a step or two, and the built-in folder that comes of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from builtin_training import (
    assemble,
    train_captioner,
    train_encoders,
    train_pattern_classifier,
    train_segmenter,
    train_vae,
)
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.segmentation.segmenter import ClothSegmenter

ROOT = Path(__file__).parents[2]
GO_ON = ["--optimizer", "muon", "--looking_only", "0", "--captioner"]  # and the folder of what to begin with


@pytest.fixture(scope="module")
def runs(drawn_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts, hardly trained."""
    folder = tmp_path_factory.mktemp("runs")
    for name, script, flags in (
        ("vae", train_vae, ["--block_out_channels", "8", "8", "16", "16"]),
        ("encoders", train_encoders, []),
        ("segmenter", train_segmenter, []),
        ("captioner", train_captioner, ["--steps", "2"]),
        ("captioner_longer", train_captioner, [*GO_ON, str(folder / "captioner" / "captioner")]),
        ("pattern_classifier", train_pattern_classifier, ["--steps", "40"]),
    ):
        common = ["--data_root", str(drawn_root), "--output_dir", str(folder / name), "--steps", "1"]
        small = ["--batch_size", "3", "--validation_items", "3", "--mixed_precision", "no"]
        AcceleratorState._reset_state(reset_partial_state=True)
        script.main(script.parse_args([*common, *small, *flags]))
    return folder


def test_the_parts_load_as_what_they_are(runs: Path, drawn_root: Path) -> None:
    from builtin_training.data import read_items

    photo = read_items(drawn_root, "test")[0].open_photo()
    (label_map,) = ClothSegmenter.from_pretrained(runs / "segmenter" / "segmenter").label_maps([photo])
    assert label_map.shape == (256, 192)
    (caption,) = Captioner.from_pretrained(runs / "captioner" / "captioner")(photo, "dresses", max_new_tokens=4)
    assert "\n" not in caption


def test_a_captioner_begins_with_the_weights_of_another(runs: Path) -> None:
    names = ("captioner", "captioner_longer")
    before, after = (Captioner.from_pretrained(runs / name / "captioner").model.state_dict() for name in names)
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_an_impossible_part_of_a_run_is_refused(drawn_root: Path, tmp_path: Path) -> None:
    flags = ["--data_root", str(drawn_root), "--output_dir", str(tmp_path), "--looking_only", "2"]
    with pytest.raises(ValueError, match="looking_only"):
        train_captioner.main(train_captioner.parse_args(flags))


def test_the_classifier_finds_the_patterns_it_was_trained_on(runs: Path, drawn_root: Path, tmp_path: Path) -> None:
    from builtin_training.data import read_items, read_pictures
    from builtin_training.pattern_classifier import PatternClassifier

    items = read_items(drawn_root, "train")
    found = PatternClassifier.from_pretrained(runs / "pattern_classifier").patterns(
        read_pictures(items, "product") / 255
    )
    right = [pattern == item.pattern for pattern, item in zip(found, items, strict=True)]
    assert sum(right) / len(right) > 0.7
    with pytest.raises(FileNotFoundError, match="train_pattern_classifier"):
        PatternClassifier.from_pretrained(drawn_root)
    whole = (runs / "pattern_classifier" / "pattern_classifier.safetensors").read_bytes()
    for kept in (0, len(whole) // 2):
        (tmp_path / "pattern_classifier.safetensors").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"pattern_classifier\.safetensors is damaged"):
            PatternClassifier.from_pretrained(tmp_path)


def test_a_decoder_can_be_trained_alone(runs: Path, drawn_root: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    common = ["--data_root", str(drawn_root), "--output_dir", str(tmp_path), "--steps", "1", "--batch_size", "3"]
    flags = ["--validation_items", "3", "--warmup_steps", "1", "--decoder_of", str(runs / "vae" / "vae")]
    train_vae.main(train_vae.parse_args([*common, *flags]))
    before, after = (AutoencoderKL.from_pretrained(folder / "vae") for folder in (runs / "vae", tmp_path))
    assert before.config.scaling_factor == after.config.scaling_factor
    for part, changes in (("encoder", False), ("decoder", True)):
        weights = (getattr(vae, part).conv_in.weight for vae in (before, after))
        assert (next(weights) != next(weights)).any() == changes, part


def test_assembled_without_transformers_then_with_them(runs: Path, tmp_path: Path) -> None:
    import torch

    from temu_vtoff import FeatureExtractor, TryOffPipeline, TryOffTransformer

    shape = {"num_layers": 1, "num_attention_heads": 1, "attention_head_dim": 64, "pooled_projection_dim": 128}
    transformers, output = tmp_path / "transformers", tmp_path / "builtin"
    output.mkdir()
    flags = ["--runs", str(runs), "--transformers", str(transformers), "--output_dir", str(output)]
    assemble.main(assemble.parse_args(flags))
    assert (output / "segmenter" / "config.json").is_file() and (output / "captioner" / "config.json").is_file()
    assert (output / "tryoff" / "vae").is_dir() and not (output / "tryoff" / "model_index.json").exists()

    FeatureExtractor(sample_size=32, in_channels=33, **shape).save_pretrained(transformers / "transformer_vton")
    generator = TryOffTransformer(
        sample_size=32, in_channels=16, joint_attention_dim=128, caption_projection_dim=64, **shape
    )
    generator.save_pretrained(transformers / "transformer")
    from diffusers import FlowMatchEulerDiscreteScheduler

    FlowMatchEulerDiscreteScheduler(shift=2.0).save_pretrained(transformers / "scheduler")
    assemble.main(assemble.parse_args(flags))
    pipeline = TryOffPipeline.from_pretrained(output / "tryoff")
    assert not pipeline.config.rescale_clip_input_twice
    embeds, pooled, *_ = pipeline.encode_captions(["a shirt with regular fit", ""])
    assert embeds.shape == (2, 2 * 32, 128) and pooled.shape == (2, 128)
    assert pipeline.encode_image(torch.rand(2, 3, 256, 192)).shape == (2, 128)

    other = tmp_path / "other"
    for name in ("transformer", "transformer_vton"):
        getattr(pipeline, name).pos_embed.proj.weight.data += 1
        getattr(pipeline, name).save_pretrained(other / name)
    assemble.main(assemble.parse_args([*flags, "--transformers", str(transformers), str(other)]))
    averaged = TryOffPipeline.from_pretrained(output / "tryoff")
    for name in ("transformer", "transformer_vton"):
        mean, end = (getattr(pipe, name).pos_embed.proj.weight for pipe in (averaged, pipeline))
        torch.testing.assert_close(mean, end - 0.5, atol=1e-2, rtol=0)


def test_too_large_a_file_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"0" * 100)
    monkeypatch.setattr(assemble, "MAX_FILE", 99)
    with pytest.raises(ValueError, match=r"model\.safetensors has 0\.0 MB"):
        assemble.check_sizes(tmp_path)


def test_missing_data_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "builtin_training.train_vae", "--data_root", str(tmp_path)]
    result = subprocess.run(
        [*command, "--output_dir", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert "holds no drawn people" in result.stderr and "Traceback" not in result.stderr


def test_the_losses_are_drawn_from_the_logs(runs: Path, tmp_path: Path) -> None:
    import json

    from PIL import Image

    from builtin_training import plot_losses

    rows = [{"step": step, "loss": 1 / step} for step in (20, 40)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--runs", str(runs), "--transformers", str(tmp_path), "--output", str(tmp_path / "losses.png")]
    plot_losses.main(plot_losses.parse_args(flags))
    assert Image.open(tmp_path / "losses.png").width > 1000
    alone = ["--runs", str(tmp_path), "--transformers", str(tmp_path), "--output", str(tmp_path / "alone.png")]
    plot_losses.main(plot_losses.parse_args(alone))
    assert Image.open(tmp_path / "alone.png").width < 400
    with pytest.raises(FileNotFoundError, match="train something first"):
        plot_losses.main(plot_losses.parse_args(["--runs", str(tmp_path), "--transformers", str(tmp_path / "no")]))
