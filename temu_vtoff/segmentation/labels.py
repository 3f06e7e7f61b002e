"""The labels of a segmenter, understood by their names: "Upper-clothes" is a top, and so is "top, t-shirt, sweatshirt".

Case, plural, slashes, commas, underscores, "left" and "right" don't matter, nor do British and American words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from temu_vtoff.errors import ArgumentError, check_choice, first_few
from temu_vtoff.segmentation.categories import CATEGORIES

# What a label can stand for, with the names that segmenters have for it.
PARTS: dict[str, tuple[str, ...]] = {
    "background": ("background", "unlabelled", "unlabeled", "void", "none", "ignore"),
    "hat": ("hat", "cap", "headwear", "headband", "head covering", "helmet", "beanie"),
    "hair": ("hair",),
    "glasses": ("sunglasses", "glasses", "eyeglasses", "spectacles", "eyewear"),
    "face": (
        "face",
        "head",
        "face neck",
        "lip",
        "lower lip",
        "upper lip",
        "teeth",
        "lower teeth",
        "upper teeth",
        "tongue",
    ),
    "torso": ("torso", "torso skin", "neck", "chest"),
    "arms": ("arm", "upper arm", "lower arm", "forearm"),
    "hands": ("hand",),
    "legs": ("leg", "upper leg", "lower leg", "thigh", "calf"),
    "feet": ("foot", "feet"),
    "top": (
        *("top", "upper clothes", "upper clothing", "upper body", "upper body clothes", "shirt", "t-shirt", "tee"),
        *("blouse", "sweatshirt", "sweater", "jumper", "pullover", "hoodie", "polo", "tank top", "tunic", "inner"),
        *("undershirt", "tie", "necktie"),
    ),
    "outer": (
        *("outer", "outerwear", "outer clothes", "outer clothing", "coat", "overcoat", "jacket", "blazer", "cardigan"),
        *("vest", "waistcoat", "gilet", "cape", "poncho", "parka", "suit jacket"),
    ),
    "skirt": ("skirt",),
    "pants": (
        *("pants", "trousers", "jeans", "shorts", "leggings", "lower clothes", "lower clothing", "lower body"),
        *("lower body clothes", "bottoms", "slacks"),
    ),
    "dress": ("dress", "gown", "jumpsuit", "romper", "playsuit", "overalls", "dungarees", "one piece"),
    "belt": ("belt", "waistband"),
    "shoes": ("shoe", "footwear", "boot", "sneaker", "trainer", "sandal", "heels"),
    "bag": ("bag", "handbag", "purse", "backpack", "wallet", "rucksack"),
    "scarf": ("scarf", "scarves", "shawl", "neckwear"),
    "gloves": ("glove", "mitten"),
    "socks": ("sock", "leg warmer", "tights", "stockings", "pantyhose"),
    "jewelry": ("jewelry", "jewellery", "watch", "earring", "necklace", "bracelet", "ring"),
    # Fashionpedia's parts of garments. Those of the first kind are never on trousers or skirts.
    "upper detail": ("hood", "collar", "lapel", "epaulette", "sleeve", "neckline"),
    "detail": (
        *("pocket", "buckle", "zipper", "zip", "applique", "bead", "bow", "flower", "fringe", "ribbon", "rivet"),
        *("ruffle", "sequin", "tassel", "button"),
    ),
}
DETAILS = ("upper detail", "detail")


@dataclass(frozen=True)
class Labels:
    """The names of a label map's ids.

    Attributes:
        names: The name of each id, as the model has it.
    """

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def parts(self) -> tuple[str | None, ...]:
        """A key of `PARTS` for each id; None for a name that is not understood, or that could be two of them."""
        return tuple(_part(name) for name in self.names)

    @cached_property
    def sides(self) -> tuple[str | None, ...]:
        """ "left" or "right" of the person for each id, or None for both."""
        return tuple(next((word for word in _words(name) if word in _SIDES), None) for name in self.names)

    @cached_property
    def of_people(self) -> tuple[int, ...]:
        """The ids of people and what they wear."""
        return tuple(i for i, part in enumerate(self.parts) if part not in (None, "background"))

    def ids(self, *parts: str) -> tuple[int, ...]:
        """The ids that stand for the parts, ascending."""
        return tuple(i for i, part in enumerate(self.parts) if part in parts)

    def tell(self, category: str) -> bool:
        """Whether they tell a category from everything else."""
        kind = CATEGORIES[category]
        return bool(self.ids(*kind.parts)) and (kind.beside is None or bool(self.ids(kind.beside)))

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories that they tell."""
        return tuple(name for name in CATEGORIES if self.tell(name))

    def of_category(self, category: str) -> tuple[int, ...]:
        """The ids that make up a category.

        Raises:
            ArgumentError: An unknown category, or one that these labels can't tell.
        """
        check_choice("category", category, CATEGORIES)
        if not self.tell(category):
            raise ArgumentError(
                f"{{category}} is {category!r}, which the segmenter's labels ({self.listed()}) can't tell; the "
                f"segmenter {CATEGORIES[category].segmenter} can.",
                "category",
            )
        return self.ids(*CATEGORIES[category].parts)

    def named(self, clothes: Sequence[str]) -> tuple[int, ...]:
        """The ids of labels by their names, in any spelling; one of several words suffices for "bag, wallet".

        Raises:
            ArgumentError: No list, or a name that no label has.
        """
        if isinstance(clothes, str) or not clothes:
            raise ArgumentError(f"{{clothes}} is {clothes!r}; give a list of label names: {self.listed()}.", "clothes")
        found = [[i for i, name in enumerate(self.names) if _is_called(name, wanted)] for wanted in clothes]
        unknown = [wanted for wanted, ids in zip(clothes, found, strict=True) if not ids]
        if unknown:
            raise ArgumentError(
                f"{{clothes}} has no labels {', '.join(unknown)}; the labels are {self.listed()}.", "clothes"
            )
        return tuple(dict.fromkeys(i for ids in found for i in ids))

    def name_all(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The names of ids."""
        return tuple(self.names[i] for i in ids)

    def listed(self) -> str:
        """All names but the background's, for messages."""
        return ", ".join(name for name, part in zip(self.names, self.parts, strict=True) if part != "background")


_SIDES = ("left", "right")
_SEPARATORS = re.compile(r"[,/|&+;()]|\band\b|\bor\b")


def _words(name: str) -> list[str]:
    """Lower-case words in the singular."""
    words = re.findall("[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    return [re.sub(r"(?<=ss|ch|sh)es$|(?<!s)s$", "", word) for word in words]


def _key(name: str) -> str:
    return "".join(word for word in _words(name) if word not in _SIDES)


_PART_OF = {_key(name): part for part, names in PARTS.items() for name in names}


def _part(name: str) -> str | None:
    if (whole := _PART_OF.get(_key(name))) is not None:
        return whole
    parts = {_PART_OF.get(_key(piece)) for piece in _SEPARATORS.split(name)} - {None}
    return parts.pop() if len(parts) == 1 else None


def _is_called(name: str, wanted: str) -> bool:
    pieces = [name, *_SEPARATORS.split(name)]
    return any("".join(_words(piece)) == "".join(_words(wanted)) for piece in pieces)


def understood() -> str:
    """What is understood, for messages: the first names of each category."""
    return "; ".join(
        f"{name}: {first_few([word for part in category.parts for word in PARTS[part]], 4)}"
        for name, category in CATEGORIES.items()
    )


# The 18 classes of the ATR set in the order of their ids: SegFormer clothes' and DressCode's.
ATR = Labels(
    (
        *("Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt"),
        *("Left-shoe", "Right-shoe", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag", "Scarf"),
    )
)
# VITON-HD's: LIP's 20, but that 10, LIP's jumpsuits, is the skin of neck and chest.
VITON_HD = Labels(
    (
        *("Background", "Hat", "Hair", "Glove", "Sunglasses", "Upper-clothes", "Dress", "Coat", "Socks", "Pants"),
        *("Torso-skin", "Scarf", "Skirt", "Face", "Left-arm", "Right-arm", "Left-leg", "Right-leg"),
        *("Left-shoe", "Right-shoe"),
    )
)
