"""The segmenter: label maps of the photo's size, equal to transformers' own, whatever else is in the batch."""

import json

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from tiny_models import save_tiny_segformer
from transformers import SegformerForSemanticSegmentation

from temu_vtoff.hub.errors import CheckpointError, HubUnreachableError
from temu_vtoff.segmentation import segmenter as segmentation
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.segmenter import ClothSegmenter


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_segformer(tmp_path_factory.mktemp("segformer"))


@pytest.fixture(scope="module")
def segmenter(folder) -> ClothSegmenter:
    return ClothSegmenter.from_pretrained(folder)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut())


def test_label_maps_have_the_photos_sizes(segmenter, photo):
    sizes = [(512, 512), (90, 301), (1, 1), (64, 48)]
    maps = segmenter.label_maps([photo.resize(size) for size in sizes])
    assert [label_map.shape for label_map in maps] == [(height, width) for width, height in sizes]
    assert all(label_map.dtype == np.uint8 and label_map.max() < len(ATR) for label_map in maps)
    assert len(np.unique(maps[0])) > 3
    assert segmenter.label_maps([]) == []


def test_a_damaged_weight_is_not_taken_for_a_photo_without_people(folder, photo):
    segmenter = ClothSegmenter.from_pretrained(folder)
    with torch.no_grad():
        next(segmenter.model.parameters()).flatten()[0] = torch.nan
    with pytest.raises(CheckpointError, match="segmenter's values are not finite in float32"):
        segmenter.label_maps([photo.resize((64, 48))])


def test_label_maps_agree_with_transformers(segmenter, photo):
    photo = photo.resize((150, 200))
    with torch.no_grad():
        outputs = segmenter.model(**segmenter.processor(photo, return_tensors="pt"))
    (expected,) = segmenter.processor.post_process_semantic_segmentation(outputs, [(200, 150)])
    (found,) = segmenter.label_maps([photo])
    assert np.mean(found != expected.numpy()) < 1e-3
    coarse = Image.fromarray(outputs.logits[0].argmax(0).numpy().astype(np.uint8)).resize((150, 200), Image.NEAREST)
    assert np.mean(found != np.asarray(coarse)) > 0.01  # argmax first is something else


@pytest.mark.parametrize("pixels_at_once", [1, 500])
def test_stripes_change_nothing(segmenter, photo, monkeypatch, pixels_at_once):
    photos = [photo.resize((61, 47))]
    (whole,) = segmenter.label_maps(photos)
    monkeypatch.setattr(segmentation, "_PIXELS_AT_ONCE", pixels_at_once)
    assert np.array_equal(segmenter.label_maps(photos)[0], whole)


def test_batch_mates_do_not_matter(segmenter, photo):
    photos = [photo.resize((100, 120)), photo.rotate(90), photo.resize((300, 40))]
    together = segmenter.label_maps(photos)
    alone = [segmenter.label_maps([one])[0] for one in photos]
    for a, b in zip(together, alone, strict=True):
        assert np.mean(a != b) < 1e-3


def test_a_huge_photo_is_reduced_first_to_nearly_the_same_labels(segmenter, photo, monkeypatch):
    huge = photo.resize((1100, 1100))  # more than eight times the model's 64
    (reduced,) = segmenter.label_maps([huge])
    monkeypatch.setattr(segmenter, "_reduced", lambda image: image)
    (whole,) = segmenter.label_maps([huge])
    assert reduced.shape == whole.shape
    assert np.mean(reduced != whole) < 0.03


def test_dtype_is_chosen_or_float32_on_the_cpu(folder, segmenter, photo):
    assert segmenter.model.dtype == torch.float32
    rough = ClothSegmenter.from_pretrained(folder, dtype=torch.bfloat16)
    assert rough.model.dtype == torch.bfloat16
    agreement = np.mean(rough.label_maps([photo])[0] == segmenter.label_maps([photo])[0])
    assert agreement > 0.9


def test_labels_without_clothes_are_refused_with_what_is_understood(tmp_path):
    save_tiny_segformer(tmp_path, labels=Labels(("wall", "floor", "dress/skirt")))
    words = (
        r"no label of clothes.*: its labels are wall, floor, dress/skirt; understood are upper_body: top, .*belt: belt"
    )
    with pytest.raises(CheckpointError, match=words):
        ClothSegmenter.from_pretrained(tmp_path)


def test_labels_that_are_no_texts_are_refused(tmp_path):
    file = save_tiny_segformer(tmp_path) / "config.json"
    contents = json.loads(file.read_text("utf-8"))
    contents["id2label"]["3"] = ["Sunglasses"]
    file.write_text(json.dumps(contents), "utf-8")
    with pytest.raises(CheckpointError, match=r"a label that is no text: 3 is \['Sunglasses'\]"):
        ClothSegmenter.from_pretrained(tmp_path)


def test_missing_weights_are_refused(tmp_path):
    save_tiny_segformer(tmp_path)
    model = SegformerForSemanticSegmentation.from_pretrained(tmp_path)
    weights = {k: v for k, v in model.state_dict().items() if "classifier" not in k}
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(CheckpointError, match=r"lacks 2 weights \(decode_head\.classifier"):
        ClothSegmenter.from_pretrained(tmp_path)


def test_unreachable_hub_and_absent_folder():
    with pytest.raises(HubUnreachableError, match="the segmenter nobody/nothing"):
        ClothSegmenter.from_pretrained("nobody/nothing")
    with pytest.raises(CheckpointError, match="no folder /no/where"):
        ClothSegmenter.from_pretrained("/no/where")
