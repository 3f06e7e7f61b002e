"""What the parts learn from: crops, augmented label maps, contrast, dialogues."""

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from builtin_training import data
from builtin_training.captioner import (
    GRID,
    IGNORED,
    MERGED,
    PICTURE_SIZE,
    SupervisedCaptioner,
    build_captioner,
    build_processor,
    dialogues,
)
from builtin_training.captioner_data import open_pictures
from builtin_training.encoders import (
    PAIRS,
    Encoders,
    build_image_processor,
    build_tokenizers,
    contrastive_loss,
    shortened,
)
from builtin_training.heads import MeasureHeads
from builtin_training.segmenter import (
    BRIGHTNESS,
    LEFT_AND_RIGHT,
    augment,
    build_segmenter,
    build_segmenter_processor,
    garment_iou,
    overlap_loss,
    start_from,
)
from builtin_training.tokenizers_from_text import qwen_tokenizer
from builtin_training.vae import build_vae, cut_crops
from drawn_people.layouts import People, write_dresscode
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.captioning.prompt import caption_prompt


def test_a_new_vae_passes_the_signal_on() -> None:
    """Its residual blocks start as shortcuts, so that what comes out depends on what goes in, in scale."""
    vae = build_vae([8, 16, 16, 16])
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    decoded = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
    assert decoded.shape == pictures.shape
    assert 0.1 < (decoded[0] - decoded[1]).std() < 10


def test_crops_are_parts_of_the_pictures(items: list[data.Item]) -> None:
    crops = cut_crops(items, 64, torch.Generator().manual_seed(0))
    assert crops.shape == (9, 3, 64, 64)
    assert -1 <= crops.min() < crops.max() <= 1
    whole = cut_crops(items[:1] * 8, 192, torch.Generator().manual_seed(0))
    assert len({crop.mean().item() for crop in whole}) > 2  # several kinds, mirrored or not


def test_a_flip_exchanges_left_and_right(items: list[data.Item]) -> None:
    labels = data.read_label_maps(items)
    pictures = data.read_pictures(items, "photo") / 255
    left, right = LEFT_AND_RIGHT[2]

    def arms_reach(labels: torch.Tensor, label: int) -> torch.Tensor:
        columns = torch.arange(labels.shape[-1]).expand_as(labels)
        return torch.stack([row[one == label].float().mean() for row, one in zip(columns, labels, strict=True)])

    for seed in range(4):
        _, moved = augment(pictures, labels, torch.Generator().manual_seed(seed))
        before = arms_reach(labels, left) - arms_reach(labels, right)
        after = arms_reach(moved, left) - arms_reach(moved, right)
        seen = before.isfinite() & after.isfinite() & (before.abs() > 30)
        assert seen.any()
        assert torch.equal(before[seen].sign(), after[seen].sign())


def test_augmented_label_maps_follow_their_pictures(items: list[data.Item]) -> None:
    labels = torch.where(data.garment_masks(data.read_label_maps(items), items), 4, 0).to(torch.uint8)
    pictures = (labels[:, None] == 4).float().expand(-1, 3, -1, -1)  # white where the label is
    moved_pictures, moved = augment(pictures, labels, torch.Generator().manual_seed(1))
    white = moved_pictures[:, 0] > 0.5 * min(BRIGHTNESS)
    assert ((moved == 4) == white).float().mean() > 0.98
    assert ((moved == 4) != (labels == 4)).float().mean() > 0.02


def test_overlap_counts_each_label_that_is_shown_by_its_own_area() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, 0, 0] = 2  # one pixel of one label, six of another
    labels[0, 2:, 1:] = 1
    logits = torch.full((1, 4, 4, 4), -30.0).scatter(1, labels[:, None], 30.0)
    assert overlap_loss(logits, labels).item() == pytest.approx(0, abs=1e-6)
    logits[0, 2, 0, 0], logits[0, 3, 0, 0] = -30, 30  # the small one is missed
    assert overlap_loss(logits, labels).item() == pytest.approx(1 / 2)
    empty = torch.zeros_like(labels)
    assert overlap_loss(logits, empty).item() == 0  # a picture without a person


def test_contrast_takes_texts_that_read_alike_for_the_same(items: list[data.Item]) -> None:
    twins = [items[0], dataclasses.replace(items[1], caption=items[0].caption), items[3]]
    texts = torch.eye(4)[[0, 0, 1]]
    right = contrastive_loss(texts.repeat(2, 1), texts, twins)
    wrong = contrastive_loss(texts[[2, 0, 1]].repeat(2, 1), texts, twins)
    assert right < 0.9 < wrong  # what can't be told apart is shared: log 2 and log 4 for the twins


def test_shortened_captions_name_what_is_left(items: list[data.Item]) -> None:
    cut = [shortened(item, torch.Generator().manual_seed(seed)) for seed in range(20) for item in items]
    assert any(len(short.attributes) < 4 for short in cut)
    for short in cut:
        assert short.caption.startswith(f"a {short.attributes['Cloth Type']}")
        assert all(word in short.caption for word in short.attributes.values())


def test_every_encoder_gets_gradients(items: list[data.Item]) -> None:
    encoders = Encoders(build_tokenizers([item.caption for item in items]))
    products = data.read_pictures(items[:2], "product")
    pixels = build_image_processor()([*data.read_pictures(items[:2], "photo"), *products], return_tensors="pt")
    assert pixels.pixel_values.shape == (4, 3, 224, 224)
    losses = encoders.losses(items[:2], pixels.pixel_values, torch.rand(2, 3, 8, 6))
    sum(losses.values()).backward()
    for name, part in encoders.parts.items():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name
    assert len(PAIRS) == 2


def test_measures_are_learned_in_units_of_their_spread(items: list[data.Item]) -> None:
    torch.manual_seed(0)
    heads, embeddings = MeasureHeads(16, items), torch.randn(len(items), 16)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=0.05)
    first = heads.loss(embeddings, items)
    assert 0.2 < first < 1.5  # of one deviation, whether a measure is a fraction or a length
    for _ in range(200):
        optimizer.zero_grad()
        heads.loss(embeddings, items).backward()
        optimizer.step()
    learned = heads.loss(embeddings, items)
    assert learned < 0.05 * first
    longer = [
        dataclasses.replace(item, measures=item.measures | {"length": item.measures["length"] + 9}) for item in items
    ]
    assert heads.loss(embeddings, longer) > 5 * learned


def test_dialogues_end_with_the_answer_and_the_loss_is_the_models_own(items: list[data.Item]) -> None:
    some, worn = [items[0], items[4], items[8]], [True, False, True]
    prompts = [caption_prompt(category) for category in data.CATEGORIES]
    processor = build_processor(qwen_tokenizer([*prompts, *(item.caption for item in items)]))
    pictures, label_maps = open_pictures(some, worn)
    assert len(label_maps) == 3 and set(label_maps[1].unique().tolist()) == {0, 5}
    inputs = dialogues(processor, some, worn, pictures)
    for ids, answer, item in zip(inputs["input_ids"], inputs["answers"], some, strict=True):
        answer = answer[answer != IGNORED]
        assert torch.equal(ids[-len(answer) :], answer)
        assert processor.tokenizer.decode(answer) == f"{item.caption}<|im_end|>"

    supervised = SupervisedCaptioner(build_captioner(processor.tokenizer), items).eval()
    answers = inputs.pop("answers")
    labels = torch.full_like(inputs["input_ids"], IGNORED)
    labels[:, -answers.shape[1] :] = answers
    with torch.no_grad():
        own = supervised.captioner(**inputs, labels=labels).loss
        inputs["answers"] = answers
        ours = supervised.answer_loss(inputs, supervised.look(inputs))
    assert torch.allclose(own, ours, atol=1e-4)


@pytest.mark.parametrize("size", [(96, 128), (192, 256), (384, 512), (768, 1024)])
def test_pictures_of_any_size_come_to_the_built_in_captioner_as_it_was_trained(size, monkeypatch) -> None:
    tokenizer = qwen_tokenizer([caption_prompt("dresses"), "a slip dress"])
    captioner = Captioner(build_captioner(tokenizer), build_processor(tokenizer))
    seen, generate = [], captioner.model.generate
    monkeypatch.setattr(captioner.model, "generate", lambda **inputs: seen.append(inputs) or generate(**inputs))
    captioner(Image.new("RGB", size), "dresses", max_new_tokens=1)
    assert seen[0]["image_grid_thw"].tolist() == [[1, GRID[0] * MERGED, GRID[1] * MERGED]]
    supervised = captioner.processor.image_processor(
        Image.new("RGB", PICTURE_SIZE), do_resize=False, return_tensors="pt"
    )
    assert supervised["image_grid_thw"].tolist() == seen[0]["image_grid_thw"].tolist()


def test_a_segmenter_starts_from_one_that_knows_fewer_labels(tmp_path: Path) -> None:
    """The old labels are scored as before; the open jacket begins as upper clothes."""
    larger = build_segmenter().eval()
    config = type(larger.config).from_dict(larger.config.to_dict() | {"num_labels": 18})
    trained = type(larger)(config).eval()
    trained.save_pretrained(tmp_path)
    start_from(larger, tmp_path)
    pixels = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        old, new = trained(pixels).logits, larger(pixels).logits
    assert (old.shape[1], new.shape[1]) == (18, 19) and larger.config.id2label[18] == "Outer-clothes"
    assert torch.equal(new[:, :18], old) and torch.equal(new[:, 18], old[:, 4])


def test_jackets_are_scored_apart_from_the_categories(tmp_path: Path) -> None:
    write_dresscode(tmp_path, People(train=0, test=3, seed=5, layers=0.6))
    items = data.read_items(tmp_path, "test")
    layered = [item for item in items if item.layers]
    assert 0 < len(layered) < len(items)
    assert (data.read_label_maps(layered, layers=True) == 18).any() and not (data.read_label_maps(layered) == 18).any()
    segmenter = build_segmenter().eval()
    scores = garment_iou(segmenter, build_segmenter_processor(), items)
    assert {"iou", "iou_outer"} <= set(scores)
    assert {f"iou_{item.category}_layered" for item in layered} <= set(scores)
    own = [scores[f"iou_{name}"] for name in sorted({item.category for item in items if not item.layers})]
    assert scores["iou"] == pytest.approx(sum(own) / len(own))
