"""Labels by name: the label maps of other people's segmenters, in any order and spelling, and what is made of them."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from drawn_people import draw_person
from temu_vtoff import segment_clothing
from temu_vtoff.segmentation.categories import CATEGORIES, DATASET_CATEGORIES, LAYERED_SEGMENTER, TRYOFF_CATEGORIES
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.details import join_details
from temu_vtoff.segmentation.labels import ATR, PARTS, VITON_HD, Labels
from temu_vtoff.segmentation.masks import GarmentNotFoundError, garment_mask, garments_present
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from tests.tiny_models import save_tiny_segformer

FASHIONPEDIA = Labels(
    (
        *("unlabelled", "shirt, blouse", "top, t-shirt, sweatshirt", "sweater", "cardigan", "jacket", "vest", "pants"),
        *("shorts", "skirt", "coat", "dress", "jumpsuit", "cape", "glasses", "hat"),
        *("headband, head covering, hair accessory", "tie", "glove", "watch", "belt", "leg warmer"),
        *("tights, stockings", "sock", "shoe", "bag, wallet", "scarf", "umbrella", "hood", "collar", "lapel"),
        *("epaulette", "sleeve", "pocket", "neckline", "buckle", "zipper", "applique", "bead", "bow", "flower"),
        *("fringe", "ribbon", "rivet", "ruffle", "sequin", "tassel"),
    )
)
FASHN = Labels(
    (
        *("background", "face", "hair", "top", "dress", "skirt", "pants", "belt", "bag", "hat", "scarf", "glasses"),
        *("arms", "hands", "legs", "feet", "torso", "jewelry"),
    )
)
LIP = Labels(tuple("Jumpsuits" if name == "Torso-skin" else name for name in VITON_HD.names))
LAYERED = Labels((*ATR.names, "Outer-clothes"))
SHUFFLED = Labels(tuple(ATR.names[i] for i in np.random.default_rng(0).permutation(len(ATR))))
SPELLED = Labels(
    (
        *("void", "HATS", "hair", "Sun_glasses", "upper_clothes", "Skirts", "TROUSERS", "Dress/Gown", "belts"),
        *("left shoe", "shoe-right", "head", "leftLeg", "right_leg", "Arm (left)", "Arm (right)", "handbag", "scarves"),
    )
)


@pytest.mark.parametrize(
    ("labels", "untold"),
    [
        (ATR, {"outer", "inner"}),
        (SHUFFLED, {"outer", "inner"}),
        (SPELLED, {"outer", "inner"}),
        (FASHIONPEDIA, set()),
        (FASHN, {"outer", "inner", "shoes"}),
        (LIP, {"bag", "belt"}),
        (LAYERED, set()),
    ],
    ids=["atr", "shuffled", "spelled", "fashionpedia", "fashn", "lip", "layered"],
)
def test_twins_load_and_segment(labels, untold, tmp_path):
    assert set(CATEGORIES) - set(labels.categories) == untold
    save_tiny_segformer(tmp_path, labels=labels)
    segmenter = ClothSegmenter.from_pretrained(tmp_path)
    assert segmenter.labels == labels
    photo = Image.fromarray(skimage.data.astronaut()).resize((96, 128))
    (label_map,) = segmenter.label_maps([photo])
    assert label_map.shape == (128, 96) and label_map.max() < len(labels)
    largest = labels.names[np.bincount(label_map[label_map > 0].ravel()).argmax()]
    mask, _ = segment_clothing(photo, clothes=[largest], model=tmp_path)
    assert mask.size == photo.size and mask.getextrema() == (0, 255)
    for category in untold:
        with pytest.raises(ValueError, match=r"which the segmenter's labels .* can't tell; the segmenter .*/.* can"):
            segment_clothing(photo, category, model=tmp_path)


def test_what_names_mean():
    assert SPELLED.parts == ATR.parts and SPELLED.sides == ATR.sides
    assert set(FASHIONPEDIA.parts) >= {"top", "outer", "dress", "detail", "upper detail", None}
    assert FASHIONPEDIA.parts[FASHIONPEDIA.names.index("umbrella")] is None
    assert Labels(("dress/skirt", "jacket/coat", "Jewellery", "dressing table")).parts == (
        None,
        "outer",
        "jewelry",
        None,
    )
    assert set(FASHN.parts) <= set(PARTS) and all(set(kind.parts) <= set(PARTS) for kind in CATEGORIES.values())


def test_the_same_map_in_other_ids_gives_the_same_masks():
    person = np.asarray(draw_person(7, "upper_body").label_map)
    shuffled = np.array([SHUFFLED.names.index(name) for name in ATR.names], np.uint8)[person]
    for category in DATASET_CATEGORIES:
        found = garment_mask(shuffled, category, labels=SHUFFLED)
        assert np.array_equal(found.mask, garment_mask(person, category).mask)
    assert garments_present(shuffled, SHUFFLED) == garments_present(person)
    with pytest.raises(GarmentNotFoundError) as here, np.errstate(all="raise"):
        garment_mask(shuffled, "scarf", labels=SHUFFLED)
    with pytest.raises(GarmentNotFoundError) as there:
        garment_mask(person, "scarf")
    assert str(here.value) == str(there.value)


def test_a_category_that_no_label_tells_names_a_segmenter_that_can():
    with pytest.raises(
        ValueError, match=rf"'outer'.*\(Hat, Hair, .*\) can't tell; the segmenter {LAYERED_SEGMENTER} can"
    ):
        garment_mask(np.zeros((4, 4), np.uint8), "outer")


def test_clothes_are_names_of_the_model():
    assert FASHIONPEDIA.named(["T-Shirt", "wallet", "SLEEVES", "shirt, blouse"]) == (2, 25, 32, 1)
    assert ATR.named(["upper_clothes", "left shoe"]) == (4, 9)
    with pytest.raises(ValueError, match="no labels shoe; the labels are Hat, Hair"):
        ATR.named(["shoe"])


def layered_person() -> np.ndarray:
    return np.asarray(draw_person(3, "upper_body", layers=True).label_map)


def test_layers_share_no_pixel_and_make_up_the_upper_body():
    person = layered_person()
    outer, inner, both = (garment_mask(person, c, labels=LAYERED).mask for c in ("outer", "inner", "upper_body"))
    assert outer.any() and inner.any() and not (outer & inner).any()
    assert (both != (outer | inner)).mean() < 0.002  # specks and holes
    assert garments_present(person, LAYERED) == ["outer", "inner", "lower_body"]
    alone = np.where(person == 18, 4, person)
    assert garments_present(alone, LAYERED) == ["upper_body", "lower_body"]
    with pytest.raises(
        GarmentNotFoundError, match=r"no outer garment \(Outer-clothes\).*found instead: .*Upper-clothes"
    ):
        garment_mask(alone, "outer", labels=LAYERED)


def masks(label_map: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """The masks of all categories that are there and need no neighbour."""
    found = {}
    for category in labels.categories:
        try:
            garment = garment_mask(label_map, category, labels=labels)
        except GarmentNotFoundError:
            continue
        if garment.note is None:
            found[category] = garment.mask
    return found


def disturbed(seed: int) -> np.ndarray:
    """A label map of many small holes, specks and rings."""
    rng = np.random.default_rng(seed)
    label_map = layered_person().copy()
    for _ in range(120):
        x, y, r = rng.integers(0, 192), rng.integers(0, 256), int(rng.integers(1, 7))
        label_map[y : y + r, x : x + r] = rng.choice([0, 1, 4, 5, 6, 7, 8, 9, 11, 16, 17, 18])
    return label_map


def test_masks_of_different_categories_never_overlap():
    filled = 0
    for seed in range(8):
        label_map = disturbed(seed)
        found = masks(label_map, LAYERED)
        assert len(found) > 5
        for left_out in ({"upper_body"}, {"outer", "inner"}):
            assert np.sum([found[name] for name in found.keys() - left_out], axis=0).max() == 1
        filled += sum((mask & ~np.isin(label_map, LAYERED.of_category(name))).sum() for name, mask in found.items())
    assert filled > 100  # or nothing was at stake


def test_details_belong_to_the_garment_that_they_touch():
    names = FASHIONPEDIA.names
    jacket, top, pants, sleeve, pocket, zipper = (
        names.index(name) for name in ("jacket", "top, t-shirt, sweatshirt", "pants", "sleeve", "pocket", "zipper")
    )
    label_map = np.zeros((60, 60), np.uint8)
    label_map[10:30, 20:40], label_map[12:30, 28:32], label_map[30:55, 20:40] = jacket, top, pants
    label_map[10:50, 14:20] = sleeve  # hangs along the trousers, too
    label_map[35:40, 22:26], label_map[37:38, 23:25] = pocket, zipper
    label_map[5, 55] = pocket  # touches nothing
    joined = join_details(label_map, FASHIONPEDIA)
    assert (joined[10:50, 14:20] == jacket).all() and (joined[35:40, 22:26] == pants).all() and joined[5, 55] == pocket
    outer = garment_mask(joined, "outer", labels=FASHIONPEDIA)
    assert outer.mask[45, 15] and not outer.mask[20, 30]
    assert join_details(label_map, ATR) is label_map


@pytest.mark.parametrize("category", DATASET_CATEGORIES)
def test_label_maps_of_the_datasets(category):
    person = draw_person(11, category)
    label_map = np.asarray(person.label_map)
    assert np.array_equal(np.asarray(convert_label_map(label_map, ATR, "dresscode")), label_map)
    picture = convert_label_map(label_map, ATR, "vitonhd")
    lip = np.array([0, 1, 2, 4, 5, 12, 9, 6, 6, 18, 19, 13, 16, 17, 14, 15, 0, 11])  # by ATR's ids
    assert np.array_equal(np.asarray(picture), lip[label_map])
    assert picture.mode == "P" and len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 5
    with pytest.raises(ValueError, match="label_maps is 'lip'; choose one of dresscode, vitonhd"):
        convert_label_map(label_map, ATR, "lip")


def test_label_maps_of_labels_without_sides_and_with_layers():
    layered = layered_person()
    assert {*np.unique(convert_label_map(layered, LAYERED, "dresscode"))} == {
        *np.unique(np.where(layered == 18, 4, layered))
    }
    assert np.array_equal(np.asarray(convert_label_map(layered, LAYERED, "vitonhd")) == 7, layered == 18)
    fashn = np.zeros((20, 20), np.uint8)
    fashn[5:15, 8:12], fashn[5:15, 4:8], fashn[5:15, 12:16] = (FASHN.names.index(n) for n in ("top", "arms", "arms"))
    fashn[4, 4:16], fashn[15, 4:8], fashn[0, 0] = (FASHN.names.index(n) for n in ("torso", "hands", "jewelry"))
    atr, lip = (np.asarray(convert_label_map(fashn, FASHN, layout)) for layout in ("dresscode", "vitonhd"))
    assert (atr[10, 5], atr[10, 14], atr[15, 5], atr[4, 9], atr[0, 0]) == (15, 14, 15, 11, 0)
    assert (lip[10, 5], lip[10, 14], lip[15, 5], lip[4, 9], lip[0, 0]) == (15, 14, 15, 10, 0)
    assert (atr[10, 10], lip[10, 10]) == (4, 5)


def test_the_categories_of_try_off_come_first():
    assert tuple(CATEGORIES)[: len(TRYOFF_CATEGORIES)] == TRYOFF_CATEGORIES
