"""TryOff: the three stages over several photos, lazily loaded, each garment for itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from temu_vtoff import Garment, Options, TryOff
from temu_vtoff.captioning.captioner import Captioner
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.pictures import fit_picture
from temu_vtoff.segmentation.masks import masked_image
from tests.tiny_datasets import draw_person
from tests.tiny_stages import stage_options

SIZE = (48, 64)


@pytest.fixture(scope="module")
def options(models) -> Options:
    return stage_options(models, num_inference_steps=2)


@pytest.fixture
def photos(tmp_path):
    """Three sound photos, one of them a picture in memory, a file that is none, and one that is missing."""
    paths = [tmp_path / f"{name}.png" for name in ("first", "second")]
    for number, path in enumerate(paths):
        draw_person(f"00000{number}").save(path)
    (tmp_path / "text.jpg").write_text("no picture")
    return [*paths, draw_person("000002"), tmp_path / "text.jpg", tmp_path / "gone.jpg"]


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=int)


def test_all_three_stages_and_one_photo_never_ends_the_others(options, photos):
    toolkit = TryOff(options)
    products = list(toolkit(photos, category="upper_body", num_images=2))
    assert [product.garment.name for product in products] == ["first", "second", "photo_3", "text", "gone"]
    for product in products[:3]:
        assert product.error is None and [image.size for image in product.images] == [SIZE, SIZE]
        assert product.garment.labels == ("Upper-clothes",) and product.garment.caption
        assert product.mask.size == product.photo.size == SIZE and set(np.unique(product.mask)) == {0, 255}
        assert product.panel().height > SIZE[1]
    unreadable, missing = products[3:]
    assert unreadable.images == [] and "text.jpg can't be read as a picture" in str(unreadable.error)
    assert missing.images == [] and "There is no picture" in str(missing.error)
    assert set(toolkit.seconds) == {"segment", "caption", "try off"}
    assert toolkit.taken["dtype"] == "float32" and toolkit.taken["compiled"] is False


def test_nothing_is_loaded_before_it_is_needed_and_nothing_stays(options, photos, monkeypatch):
    toolkit = TryOff(options)
    loads = []
    for name in ("segmenter", "captioner", "pipeline"):
        load = getattr(toolkit, name)
        monkeypatch.setattr(toolkit, name, lambda *a, name=name, load=load: loads.append(name) or load(*a))
    bad = toolkit.segment(photos[3:])
    toolkit.caption(bad)
    assert len(list(toolkit.generate(bad))) == 2 and loads == []
    garments = toolkit.segment(photos[:1])
    assert loads == ["segmenter"] and toolkit._models == {}
    garments[0].caption = "a shirt"
    toolkit.caption(garments)
    assert loads == ["segmenter"]  # it has a caption already
    list(toolkit.generate(garments))
    assert loads == ["segmenter", "pipeline"] and toolkit._models == {}


def test_models_are_kept_when_told_to(options, photos):
    toolkit = TryOff(options, keep_loaded=True)
    list(toolkit(photos[:1]))
    pipe = toolkit.pipeline()
    list(toolkit(photos[:1]))
    assert toolkit.pipeline() is pipe and set(toolkit._models) == {"segmenter", "captioner", "pipeline"}
    toolkit.release()
    assert toolkit._models == {}


def test_the_pictures_are_those_of_the_pipeline(options, photos):
    toolkit = TryOff(options, keep_loaded=True)
    (garment,) = toolkit.segment(photos[0])
    garment.caption = "a shirt"
    (product,) = toolkit.generate([garment], seed=5)
    photo = fit_picture(Image.open(photos[0]).convert("RGB"), *SIZE)
    expected = toolkit.pipeline()(
        photo,
        mask=garment.mask,
        masked_image=masked_image(photo, garment.mask),
        prompt="a shirt",
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    assert np.array_equal(pixels(product.images[0]), pixels(expected))


def test_neither_batch_size_nor_number_of_images_changes_a_picture(options, photos):
    one = list(TryOff(options)(photos[:3], seed=3))
    toolkit = TryOff(options)
    garments = toolkit.segment(photos[:3])
    toolkit.caption(garments)
    several = list(toolkit.generate(garments, seed=3, num_images=2, batch_size=2))
    for alone, together in zip(one, several, strict=True):
        assert np.abs(pixels(alone.images[0]) - pixels(together.images[0])).max() <= 1
        assert np.abs(pixels(together.images[0]) - pixels(together.images[1])).max() > 1


def test_one_garment_at_fault_in_a_batch_fails_alone(options, photos):
    toolkit = TryOff(options, keep_loaded=True)
    garments = toolkit.segment(photos[:3])
    for garment in garments:
        garment.caption = "a shirt"
    garments[1].mask = Image.new("L", (7, 3), 255)
    good, bad, also_good = toolkit.generate(garments, batch_size=3)
    assert len(good.images) == len(also_good.images) == 1
    assert bad.images == [] and "the mask is 7x3" in str(bad.error)


def test_an_error_that_no_model_should_raise_fails_its_garment_alone(options, photos, monkeypatch):
    toolkit = TryOff(options, keep_loaded=True)
    for load, name in (("segmenter", "label_maps"), ("captioner", "__call__"), ("pipeline", "__call__")):
        kind = type(getattr(toolkit, load)())
        sound = getattr(kind, name)
        odd = fit_picture(Image.open(photos[1]), *SIZE, toolkit.options.resize_mode).tobytes()

        def fail(self, pictures, *more, sound=sound, odd=odd, **how):
            if any(picture.tobytes() == odd for picture in pictures):
                raise RuntimeError("shapes differ")
            return sound(self, pictures, *more, **how)

        with monkeypatch.context() as patched:
            patched.setattr(kind, name, fail)
            good, bad, also_good = toolkit(photos[:3], batch_size=3)
        assert len(good.images) == len(also_good.images) == 1, load
        assert bad.images == [] and "shapes differ" in str(bad.error), load


def test_all_takes_every_garment_found(options, photos):
    garments = TryOff(options).segment(photos[0], category="all")
    assert [(garment.name, garment.category) for garment in garments] == [
        ("first_upper_body", "upper_body"),
        ("first_lower_body", "lower_body"),
    ]
    assert not (pixels(garments[0].mask) & pixels(garments[1].mask)).any()


def test_a_neighbours_labels_are_noted(options):
    (garment,) = TryOff(options).segment(draw_person("000000"), category="dresses")
    assert garment.error is None and set(garment.labels) == {"Upper-clothes", "Pants"}
    assert "No Dress in the picture" in garment.note


def test_a_mask_of_ones_own(options, photos):
    mask = Image.new("L", draw_person("000000").size)
    mask.paste(255, (8, 8, 24, 24))
    toolkit = TryOff(options)
    (garment,) = toolkit.segment(photos[0], mask=mask)
    assert garment.labels == () and garment.mask.size == SIZE and garment.mask.getbbox() is not None
    (product,) = toolkit.generate([garment])  # the empty caption serves
    assert len(product.images) == 1
    (garment,) = toolkit.segment(photos[0], mask=Image.new("L", (50, 5), 255))
    assert "the mask is 50x5" in str(garment.error)
    for arguments in ((photos[:2], "upper_body"), (photos[0], "all")):
        with pytest.raises(ArgumentError, match="mask is for a single photo") as raised:
            toolkit.segment(*arguments, mask=mask)
        assert raised.value.argument == "mask"


def test_a_mask_that_covers_everything_is_warned_about_once(options, photos, tmp_path, caplog):
    Image.new("L", Image.open(photos[0]).size, 255).save(tmp_path / "white.png")
    toolkit = TryOff(options)
    (product,) = toolkit.generate(toolkit.segment(photos[0], mask=tmp_path / "white.png"))
    assert product.images
    assert [record.getMessage() for record in caplog.records if "covers 100%" in record.getMessage()] == [
        f"the mask {tmp_path / 'white.png'} covers 100% of the picture: only the garment should be white in it."
    ]
    assert any("cut off" in sentence for sentence in product.garment.warnings)


def test_of_several_people_the_captioner_sees_the_part_around_the_garment(options, photos, monkeypatch):
    seen = []
    monkeypatch.setattr(Captioner, "__call__", lambda self, images, categories: seen.extend(images) or ["x"] * 2)
    mask = Image.new("L", SIZE)
    mask.paste(255, (4, 20, 14, 40))
    alone, one_of_two = (Garment(photos[0], "upper_body", mask=mask) for _ in range(2))
    one_of_two.people = 2
    TryOff(options).caption([alone, one_of_two])
    whole = fit_picture(Image.open(photos[0]).convert("RGB"), *SIZE)
    assert np.array_equal(pixels(seen[0]), pixels(whole))
    assert np.array_equal(pixels(seen[1]), pixels(whole)[10:50, 0:19])


def test_mistakes_name_their_argument(options, photos):
    toolkit = TryOff(options)
    garments = [Garment(photos[0], "upper_body", mask=Image.new("L", SIZE, 255))]
    for name, call in {
        "category": lambda: toolkit.segment(photos[0], "shoes"),
        "num_images": lambda: list(toolkit.generate(garments, num_images=0)),
        "num_inference_steps": lambda: list(toolkit.generate(garments, num_inference_steps=10**9)),
        "seed": lambda: list(toolkit.generate(garments, seed=2**64)),
        "preset": lambda: list(toolkit.generate(garments, preset="warp")),
        "width": lambda: list(toolkit.generate(garments, width=50)),
    }.items():
        with pytest.raises(ArgumentError) as raised:
            call()
        assert raised.value.argument == name
    with pytest.raises(TypeError):
        list(toolkit.generate(garments, stepps=3))


def test_a_model_that_is_not_there_ends_the_stage(options, photos, tmp_path):
    with pytest.raises(CheckpointError, match="nothing"):
        TryOff(replace(options, segmenter=str(tmp_path / "nothing"))).segment(photos[0])


def test_progress_sees_every_batch(options, photos):
    seen = []
    toolkit = TryOff(options, progress=lambda batches, stage: seen.append((stage, len(batches))) or batches)
    list(toolkit(photos))
    assert seen == [("segment", 5), ("caption", 3), ("try off", 5)]
