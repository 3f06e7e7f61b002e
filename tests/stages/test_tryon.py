"""TryOn: persons and garments of any number, lazily loaded models, each pair for itself."""

import numpy as np
import pytest
from PIL import Image

from drawn_people import draw_person
from temu_vtoff import ArgumentError, TryOn, TryOnOptions
from temu_vtoff.stages.tryon_options import OFFSETS
from temu_vtoff.tryon.joints import Joints
from tests.tryon.test_tryon_parity import GOLDEN

SIZE = (192, 256)


@pytest.fixture(scope="module")
def options() -> TryOnOptions:
    return TryOnOptions(tryon=str(GOLDEN), segmenter="builtin", device="cpu", num_inference_steps=1)


@pytest.fixture(scope="module")
def people() -> list[Image.Image]:
    return [draw_person(seed, "upper_body").photo for seed in (901, 904)]


@pytest.fixture(scope="module")
def shirt() -> Image.Image:
    return draw_person(905, "upper_body").garments["upper_body"].product


def joints() -> Joints:
    keypoints = draw_person(901, "upper_body").keypoints
    body = np.concatenate([np.nan_to_num(keypoints), ~np.isnan(keypoints[:, :1])], axis=1)
    return Joints(body.astype(np.float32))


def test_batches_and_neighbours_that_fail_change_nothing(options, people, shirt, tmp_path):
    toolkit = TryOn(options, keep_loaded=True)
    persons = toolkit.prepare([people[0], tmp_path / "gone.png", people[1]])
    assert [person.name for person in persons] == ["photo_1", "gone", "photo_3"]
    assert isinstance(persons[1].error, FileNotFoundError) and persons[1].region is None
    together = list(toolkit.generate(persons, [shirt, tmp_path / "none.png"], batch_size=6))
    assert [result.error is None for result in together] == [True, False, False, False, True, False]
    assert together[0].pair.name == "photo_1_photo_1" and together[0].panel().height > SIZE[1]
    (alone,) = toolkit.generate(persons[2:], shirt)
    difference = np.abs(np.asarray(alone.images[0], int) - np.asarray(together[4].images[0], int))
    assert difference.max() <= 2
    assert set(toolkit._models) == {"segmenter", "pipeline"}


def test_models_are_loaded_when_needed_and_let_go(options, people, shirt):
    toolkit = TryOn(options)
    persons = toolkit.prepare(Image.new("RGB", SIZE, "green"))
    assert persons[0].error is not None and not toolkit._models
    (result,) = toolkit.generate(persons, shirt)
    assert result.error is persons[0].error and result.images == [] and not toolkit.taken
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (60, 80, 120, 160))
    toolkit.segmenter = None  # not needed with a mask
    (person,) = toolkit.prepare(people[0], mask=mask)
    (result,) = toolkit.generate([person], shirt)
    assert result.error is None and toolkit.taken["device"] == "cpu" and not toolkit._models


def test_joints_guide_the_picture_and_without_them_one_warning(options, people, shirt, caplog):
    toolkit = TryOn(options, keep_loaded=True)
    with_joints = toolkit.prepare(people[0], joints=joints())
    (posed,) = toolkit.generate(with_joints, shirt, paste=False)
    assert "pose is left out" not in caplog.text
    with_joints[0].joints = None
    (plain,) = toolkit.generate(with_joints, shirt, paste=False)
    assert caplog.text.count("pose is left out") == 1
    assert (np.asarray(posed.images[0]) != np.asarray(plain.images[0])).any()
    mixed = [*toolkit.prepare(people[0], joints=joints()), *with_joints]
    both = list(toolkit.generate(mixed, shirt, paste=False, batch_size=2))
    for ours, theirs in zip(both, (posed, plain), strict=True):
        assert np.abs(np.asarray(ours.images[0], int) - np.asarray(theirs.images[0], int)).max() <= 2


def test_photos_of_any_shape_keep_their_size(options, people, shirt):
    wide = Image.new("RGB", (500, 300), "white")
    wide.paste(people[0].resize((225, 300)), (120, 0))
    toolkit = TryOn(options)
    (result,) = toolkit.generate(toolkit.prepare(wide), shirt)
    region = np.asarray(result.region) == 255
    assert result.images[0].size == result.region.size == (500, 300)
    assert np.array_equal(np.asarray(result.images[0])[~region], np.asarray(wide)[~region])
    assert region[:, :110].sum() == 0 and region[:, 120:345].any()


def test_options_are_checked(people):
    small, published = TryOnOptions(), TryOnOptions(tryoff="davidelobba/TEMU-VTOFF")
    assert (small.tryon, small.region, small.sources.tryoff) == ("builtin", "tight", "builtin")
    assert (published.tryon, published.region) == ("BoyuanJiang/FitDiT", "rectangle")
    assert TryOnOptions(region="rectangle", offset_top=3).offset_top == 3
    with pytest.raises(ArgumentError, match="rectangle, tight"):
        TryOnOptions(tryon="x", region="round")
    for name in OFFSETS:
        with pytest.raises(ArgumentError, match=name):
            TryOnOptions(tryon="x", region="tight", **{name: -3})
    options = TryOnOptions(tryon="x", width=64, preset="fast", device="cpu")
    assert options.sources.tryoff == "davidelobba/TEMU-VTOFF" and "segformer" in options.sources.segmenter
    off = options.of_tryoff()
    assert (off.width, off.preset, off.device, off.base) == (None, "fast", "cpu", options.sources.base)
    named = TryOnOptions(tryon="x", tryoff="builtin")
    assert named.sources.is_builtin and named.sources.segmenter == "builtin"


def test_what_is_for_one_person_is_refused_for_several(people):
    toolkit = TryOn(TryOnOptions(tryon=str(GOLDEN)))
    for given in ({"mask": people[0]}, {"joints": joints()}, {"pose": people[0]}):
        with pytest.raises(ArgumentError, match="single photo"):
            toolkit.prepare(people, **given)
    with pytest.raises(ArgumentError, match="choose one of"):
        toolkit.prepare(people, "all")
