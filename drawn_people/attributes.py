"""The words for a garment's shape, which are bins of continuous measures, and the caption made of them.

Captions never name colours or patterns: those come from the photo's pixels.
"""

import re
from collections.abc import Mapping, Sequence

CATEGORIES = ("upper_body", "lower_body", "dresses")

FITS = ("slim", "regular", "loose")
_HEMS = ("straight", "curved", "ribbed", "flared")
_NECKLINES = (
    "crew",
    "v",
    "scoop",
    "boat",
    "square",
    "high",
    "shirt collar",
    "lapel",
    "hooded",
    "off-shoulder",
    "strap",
)
SLEEVES = ("no", "short", "elbow", "three-quarter", "long")
WAISTS = ("fitted", "natural", "straight")
TOP_LENGTHS = ("cropped", "hip", "thigh")
LEG_LENGTHS = ("thigh", "knee", "calf", "ankle")

VOCABULARY: dict[str, dict[str, tuple[str, ...]]] = {
    "upper_body": {
        "Cloth Type": ("t-shirt", "tank top", "blouse", "shirt", "sweater", "hoodie", "jacket", "cardigan"),
        "Waist": WAISTS,
        "Fit": FITS,
        "Hem": _HEMS,
        "Neckline": _NECKLINES,
        "Sleeve Length": SLEEVES,
        "Cloth Length": TOP_LENGTHS,
    },
    "lower_body": {
        "Cloth Type": ("jeans", "trousers", "shorts", "leggings", "pencil skirt", "flared skirt", "pleated skirt"),
        "Waist": ("low", "mid", "high"),
        "Fit": FITS,
        "Cloth Length": LEG_LENGTHS,
    },
    "dresses": {
        "Cloth Type": ("shift dress", "sheath dress", "flared dress", "maxi dress", "slip dress", "shirt dress"),
        "Waist": ("straight", "high", "natural", "low"),
        "Fit": FITS,
        "Hem": _HEMS,
        "Neckline": _NECKLINES,
        "Sleeve Length": SLEEVES,
        "Cloth Length": LEG_LENGTHS,
    },
}
_NOUNS = {
    "Waist": "waist",
    "Fit": "fit",
    "Hem": "hem",
    "Neckline": "neckline",
    "Sleeve Length": "sleeves",
    "Cloth Length": "length",
}

# Upper edges of the bins, in the figure's units below the base of the neck (waist 48, hips 72, knees 128, ankles 176)
# or as the measure's own fraction. Measures keep away from them by a margin, so that the words are well defined.
EDGES = {
    "fit": (0.34, 0.66),
    "taper": (0.3, 0.64),
    "sleeve": (0.4, 0.58, 0.8),
    "top length": (62.0, 81.0),
    "leg length": (116.0, 137.0, 159.0),
    "rise": (53.0, 60.0),
}


def bin_word(measure: str, value: float, words: Sequence[str]) -> str:
    """The word of the bin that the value lies in; words run from the smallest to the largest value."""
    return words[sum(value >= edge for edge in EDGES[measure])]


def caption_from_attributes(attributes: dict[str, str]) -> str:
    """ "a <cloth type> with <attributes>", in the order of the vocabulary."""
    phrases = [f"{attributes[key]} {noun}" for key, noun in _NOUNS.items() if key in attributes]
    caption = f"a {attributes['Cloth Type']}"
    return f"{caption} with {', '.join(phrases)}" if phrases else caption


def attributes_from_caption(caption: str) -> dict[str, str]:
    """The inverse of `caption_from_attributes`. In other texts it finds the attributes that it can.

    Only values of the closed vocabulary are returned; of contradicting phrases the first one counts.
    """
    text = " ".join(re.sub(r"[^a-z\- ]+", " ", caption.lower()).split())
    found: dict[str, str] = {}
    types = {word for kinds in VOCABULARY.values() for word in kinds["Cloth Type"]}
    if cloth_type := _first(text, types, ""):
        found["Cloth Type"] = cloth_type
    for key, noun in _NOUNS.items():
        words = {word for kinds in VOCABULARY.values() for word in kinds.get(key, ())}
        if word := _first(text, words, f" {noun}"):
            found[key] = word
    return found


def attributes_right(caption: str, attributes: Mapping[str, str]) -> list[bool]:
    """Whether the caption has the right word, for each of the attributes."""
    found = attributes_from_caption(caption)
    return [found.get(name) == word for name, word in attributes.items()]


def _first(text: str, words: set[str], suffix: str) -> str | None:
    """The word that stands earliest in the text, followed by the suffix; the longest where several do."""
    hits = [
        (match.start(), -len(word), word)
        for word in words
        if (match := re.search(rf"(?<![a-z\-]){re.escape(word + suffix)}(?![a-z\-])", text))
    ]
    return min(hits)[2] if hits else None
