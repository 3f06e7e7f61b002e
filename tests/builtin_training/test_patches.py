"""Trained transformers continued with smaller patches."""

import pytest
import torch
from torch.nn import functional as F

from builtin_training.patches import position_table, with_smaller_patches
from temu_vtoff import FeatureExtractor, TryOffTransformer
from temu_vtoff.training.person_denoiser import PersonDenoiser
from tests.tiny_transformers import SHAPE, C, H, P, T, W, make_extractor, make_generator


def test_smaller_patches_see_and_tell_what_the_old_ones_would_of_an_enlarged_picture():
    old = make_generator()
    smaller = with_smaller_patches(old, 1)
    assert smaller.config.patch_size == 1 and old.config.patch_size == 2
    for generator in (old, smaller):
        generator.pos_embed.pos_embed.zero_()
    x, others = torch.randn(2, C, H, W), (torch.randn(2, T, 12), torch.randn(2, P), torch.full((2,), 500.0))
    enlarged = old(F.interpolate(x, scale_factor=2, mode="nearest"), *others).sample
    torch.testing.assert_close(smaller(x, *others).sample, F.avg_pool2d(enlarged, 2))


@pytest.mark.parametrize("kind", [FeatureExtractor, PersonDenoiser])
def test_an_extractor_sees_smaller_patches_too(kind):
    old = make_extractor(kind)
    smaller = with_smaller_patches(old, 1)
    for extractor in (old, smaller):
        extractor.pos_embed.pos_embed.zero_()
    person, pooled = torch.randn(1, 2 * C + 1, H, W), torch.randn(1, P)
    features, enlarged = smaller(person, pooled), old(F.interpolate(person, scale_factor=2, mode="nearest"), pooled)
    torch.testing.assert_close(list(features.keys), list(enlarged.keys))
    torch.testing.assert_close(list(features.values), list(enlarged.values))


def test_smaller_patches_stand_around_the_old_places():
    old = TryOffTransformer(**SHAPE | {"patch_size": 3, "sample_size": 12, "pos_embed_max_size": 6}, in_channels=C)
    torch.testing.assert_close(position_table(old, old), old.pos_embed.pos_embed)
    smaller = with_smaller_patches(old, 1)
    assert smaller.config.pos_embed_max_size == 12
    tables = [t.pos_embed.cropped_pos_embed(12, 6).unflatten(1, (12 // p, 6 // p)) for t, p in ((old, 3), (smaller, 1))]
    torch.testing.assert_close(tables[1][:, 1::3, 1::3], tables[0])  # the middle of each three is the old place


def test_patches_only_get_smaller_by_division():
    generator = make_generator()
    assert with_smaller_patches(generator, 2) is generator
    with pytest.raises(ValueError, match="patch_size is 4"):
        with_smaller_patches(generator, 4)
