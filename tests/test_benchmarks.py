"""The measurements run, and their yardstick is what it says: the published computation."""

import json
from itertools import product

import pytest
import torch
from golden_checkpoint import GOLDEN

from benchmarks import (
    bench_caption,
    bench_generation,
    bench_people,
    bench_picking,
    bench_segment,
    measuring,
    plot,
    reference,
    tables,
)
from temu_vtoff import FeatureExtractor, TryOffTransformer


@torch.no_grad()
def test_the_reference_is_the_published_computation(golden):
    extractor = reference.stock(FeatureExtractor.from_pretrained(GOLDEN, subfolder="transformer_vton"))
    person, pooled = golden["extractor.in.hidden_states"], golden["extractor.in.pooled_projections"]
    for i, (key, value) in enumerate(reference.extract(extractor, person, pooled)):
        torch.testing.assert_close(key, golden[f"extractor.out.key.{i}"], atol=1e-4, rtol=0)
        torch.testing.assert_close(value, golden[f"extractor.out.value.{i}"], atol=1e-4, rtol=0)

    generator = reference.stock(TryOffTransformer.from_pretrained(GOLDEN, subfolder="transformer"))
    names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep")
    for i, block in enumerate(generator.transformer_blocks):
        found = (golden[f"extractor.out.{part}.{i}"] for part in ("key", "value"))
        block.attn.processor = reference._HybridAttention(*found)
    velocity = generator(**{name: golden[f"generator.in.{name}"] for name in names}).sample
    torch.testing.assert_close(velocity, golden["generator.out.sample"], atol=1e-4, rtol=0)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    return tmp_path


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_generation_is_timed_against_the_reference(results, capsys):
    flags = "--scale builtin --vs reference --num_inference_steps 2 --repeats 1 --no-compile --batch_size 1 2"
    bench_generation.main(bench_generation.parse_args([*flags.split(), "--device", "cpu", "--mixed_precision", "no"]))
    found = rows(results / "generation.jsonl")
    assert [(row["batch"], row["preset"]) for row in found] == list(product((1, 2), ("exact", "fast", "turbo")))
    for row in found:
        assert row["speedup"] > 0 and row["size"] == [192, 256] and row["dtype"] == "float32"
        assert set(row["stage_seconds"]) == {"encode", "extract", "denoise", "decode", "write"}
    assert found[0]["max_difference"] < 1e-3 and "x the reference" in capsys.readouterr().out

    plot.main(plot.parse_args(["--input", str(results / "generation.jsonl"), "--output", str(results / "plot.png")]))
    assert (results / "plot.png").stat().st_size > 1000


def test_people_are_told_and_photos_of_somebody_refused(results):
    bench_people.main(bench_people.parse_args(["--crowds", "2", "--people", "2", "--device", "cpu"]))
    (row,) = rows(results / "people.jsonl")
    assert row["apart_number_right"] == row["apart_each_found"] == row["photos_refused"] == 1
    assert row["products_refused"] == 0 and "touching_number_right" not in row


@pytest.mark.parametrize("bench, kind", [(bench_segment, "segment"), (bench_caption, "caption")])
def test_stages_are_timed_by_batch_size(results, bench, kind):
    bench.main(bench.parse_args(["--batch_size", "1", "2", "--repeats", "1", "--device", "cpu"]))
    assert [row["batch"] for row in rows(results / f"{kind}.jsonl")] == [1, 2]


def test_operations_are_counted_as_the_layers_have_them():
    """413 TFLOP for a published picture: 28 guided steps of 3072 image and 154 text tokens."""
    config = TryOffTransformer.load_config(GOLDEN, subfolder="transformer")
    published = type("Config", (), config | {"num_layers": 24, "num_attention_heads": 24, "attention_head_dim": 64})
    total = 56 * measuring.denoising_flops(published, image_tokens=3072, text_tokens=154)
    assert total / 1e12 == pytest.approx(413, rel=0.03)


def test_tables_are_written_between_their_marks(tmp_path):
    made_by = {"commit": "0123456789", "versions": {"torch": "2", "diffusers": "0"}}
    one = {"scale": "builtin", "preset": "exact", "batch": 1, "dtype": "float32", "device": "a CPU", "steps": 28}
    one |= {"denoise_seconds": {"median": 1.0, "min": 0.9, "max": 1.1}, "product_tflops": 0.2, "denoise_tflops": 0.1}
    one |= {"reference_seconds": {"median": 1.5}, "speedup": 1.5, "max_difference": 1e-6}
    stages = dict.fromkeys(("encode", "extract", "denoise", "decode", "write"), 0.5)
    older, newer = (one | made_by | {"stage_seconds": stages, "speedup": ratio} for ratio in (1.4, 1.5))
    (tmp_path / "generation.jsonl").write_text(f"{json.dumps(older)}\n{json.dumps(newer)}\n")
    scores = {"silhouette_iou": 0.8, "ssim": 0.7, "color_error": 5.0}
    worse = {
        "guidance": "own",
        "dtype": "torch.float32",
        "preset": "fast",
        "people": 3,
        "scores": scores | {"ssim": 0.693},
    }
    exact = {"guidance": "own", "dtype": "torch.float32", "preset": "exact", "people": 3, "scores": scores}
    other = exact | {"guidance": "published", "scores": scores | {"ssim": 0.5}}
    (tmp_path / "quality.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (exact, worse, other)))
    page = tmp_path / "page.md"
    kept = "<!-- caption -->\nkept\n<!-- end -->\n"
    page.write_text(f"a\n<!-- speed -->\nold\n<!-- end -->\nb\n<!-- quality -->\n<!-- end -->\nc\n{kept}")
    tables.main(tables.parse_args(["--results", str(tmp_path), "--document", str(page)]))
    text = page.read_text()
    assert "| 1.5 | 1.5 | 1e-06 | 0.10 of 0.20 |" in text and "1.4" not in text and "old" not in text
    assert "| 0.5 | 0.4 |" in text  # one picture in five stages of half a second
    assert "| own | float32 | fast |" in text and "0.6930 (-1.0%)" in text and "0.5000 (+0.0%)" in text
    assert "kept" in text and text.startswith("a\n<!-- speed -->\nOn a CPU; torch 2")
    tables.main(tables.parse_args(["--results", str(tmp_path), "--document", str(page)]))
    assert page.read_text() == text


def test_picking_compares_the_best_by_score_with_a_random_one():
    good, bad = {"outline": 1.0}, {"outline": 0.5}
    rows = [
        {"seed": 1, "parts": [good, bad], "ssim": [0.8, 0.6], "silhouette_iou": [0.7, 0.9]},
        {"seed": 2, "parts": [bad, good], "ssim": [0.5, 0.9], "silhouette_iou": [0.8, 0.8]},
        {"seed": 3, "error": "no garment"},
    ]
    found = bench_picking.summary(rows)
    ssim, overlap = found["ssim"], found["silhouette_iou"]
    assert found["scored"] == 2
    assert (ssim["random"], ssim["picked"], ssim["gain"], ssim["best"]) == (0.7, 0.85, 0.15, 0.85)
    assert ssim["gain_error"] == pytest.approx(0.05 / 2**0.5, abs=1e-4)
    assert (overlap["random"], overlap["gain"], overlap["best"]) == (0.8, -0.05, 0.85)
