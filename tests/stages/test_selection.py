"""Which pictures are kept: the best by quality, further tries, and how they are finished."""

import numpy as np
import pytest

from temu_vtoff import Finish, Selection, TryOff
from temu_vtoff.errors import ArgumentError
from tests.tiny_datasets import draw_person
from tests.tiny_stages import stage_options


@pytest.fixture(scope="module")
def toolkit(models) -> TryOff:
    finish = Finish(background="transparent", canvas="90x70")
    return TryOff(stage_options(models, num_inference_steps=2, batch_size=2, finish=finish), keep_loaded=True)


@pytest.fixture
def garments(toolkit):
    garments = toolkit.segment([draw_person("000000"), draw_person("000001")])
    for garment in garments:
        garment.caption = "a shirt"
    return garments


def test_every_picture_has_seed_score_and_finished_picture(toolkit, garments):
    for product in toolkit.generate(garments, seed=5, num_images=3):
        assert product.seeds == [5, 6, 7] and len(product.quality) == len(product.finished) == 3
        assert all("agreement" in quality.parts and "similarity" in quality.parts for quality in product.quality)
        assert {picture.size for picture in product.finished} == {(90, 70)} and product.finished[0].mode == "RGBA"
        assert product.images[0].mode == "RGB" and product.images[0].size == (48, 64)
        assert [fact["seed"] for fact in product.facts()] == product.seeds


def test_the_best_come_first(toolkit, garments):
    every = list(toolkit.generate(garments, num_images=3))
    best = list(toolkit.generate(garments, num_images=3, selection=Selection(keep=2)))
    for whole, some in zip(every, best, strict=True):
        order = sorted(range(3), key=lambda number: -whole.quality[number].score)
        assert some.seeds == [whole.seeds[number] for number in order[:2]]
        assert np.array_equal(some.images[0], whole.images[order[0]]) and len(some.finished) == 2


def test_poor_pictures_are_tried_again_with_other_seeds(toolkit, garments):
    tried = list(toolkit.generate(garments, selection=Selection(retries=2, min_quality=1.0)))
    assert [product.seeds for product in tried] == [[0, 1, 2]] * 2
    content = list(toolkit.generate(garments, selection=Selection(retries=2, min_quality=0.0)))
    assert [product.seeds for product in content] == [[0]] * 2
    alone = next(toolkit.generate(garments[1:], seed=1))
    assert np.abs(np.asarray(alone.images[0], int) - np.asarray(tried[1].images[1], int)).max() <= 1


def test_garments_of_a_batch_have_seeds_of_their_own(toolkit, garments):
    products = list(toolkit.generate(garments, seed=[3, 8], num_images=2))
    assert [product.seeds for product in products] == [[3, 4], [8, 9]]
    (alone,) = toolkit.generate(garments[1:], seed=9)
    assert np.abs(np.asarray(alone.images[0], int) - np.asarray(products[1].images[1], int)).max() <= 1
    with pytest.raises(ArgumentError, match="seed has 1 numbers for 2 pictures"):
        next(toolkit.generate(garments, seed=[3]))


def test_scores_can_be_left_out(toolkit, garments):
    plain, scored = (next(toolkit.generate(garments[:1], selection=Selection(score=score))) for score in (False, True))
    assert plain.facts() == [{"seed": 0}] and np.array_equal(plain.images[0], scored.images[0])


def test_captions_of_the_pictures_are_compared_when_asked_for(toolkit, garments):
    product = next(toolkit.generate(garments[:1], selection=Selection(check_captions=True)))
    assert "caption" in product.quality[0].parts


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": 1},
        {"min_quality": 0.5},
        {"retries": 1, "min_quality": 2},
        {"keep": 0},
        {"keep": 1, "score": False},
    ],
)
def test_contradictions_are_refused(options):
    with pytest.raises(ArgumentError):
        Selection(**options)
