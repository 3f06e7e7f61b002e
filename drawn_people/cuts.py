"""Random measures of a garment, and the words for them.

Every measure varies continuously; the words are bins (attributes.EDGES). So the outline follows from the person's
photo, never from the caption alone.
"""

from dataclasses import dataclass

import numpy as np

from drawn_people.attributes import EDGES, FITS, LEG_LENGTHS, SLEEVES, TOP_LENGTHS, WAISTS, bin_word

LOW_NECKS = ("v", "scoop", "square")


@dataclass
class TopCut:
    """Upper-body garments and dresses. Heights in figure units from the base of the neck.

    Attributes:
        neck_width: Half width of the neckline at the shoulders. neck_depth: Its lowest point.
        strap: Half width up to which the shoulder is covered, as a fraction of it; 1 is a full shoulder.
        ease: 0 close to the body, 1 loose. taper: 0 straight sides, 1 much narrower at the waist than at the chest, as
            far as the body allows. waist_at: Height of the narrowest place. length: Height of the hem.
        flare: Widening below the waist, in units of width per unit of height.
        sleeve: Fraction of the arm covered, 0 to 1. sleeve_ease: 0 close, 1 wide. cuff: Width at the sleeve's end
            relative to its course.
        closure: "", "buttons" or "zip".
    """

    kind: str
    neckline: str
    neck_width: float
    neck_depth: float
    strap: float
    ease: float
    taper: float
    waist_at: float
    length: float
    flare: float
    sleeve: float
    sleeve_ease: float
    cuff: float
    hem: str
    hem_curve: float = 0.0
    closure: str = ""
    pocket: str = ""
    seam: bool = False
    dress: bool = False
    skirt_folds: float = 0.0

    @property
    def fitted(self) -> bool:
        return self.taper >= EDGES["taper"][-1]

    def attributes(self) -> dict[str, str]:
        waist = bin_word("taper", self.taper, WAISTS[::-1])
        if self.dress and waist != "straight":
            waist = _waist_place(self.waist_at)
        if self.dress or self.kind == "coat":
            length = bin_word("leg length", self.length, LEG_LENGTHS)
        else:
            length = bin_word("top length", self.length, TOP_LENGTHS)
        none, *sleeves = SLEEVES
        sleeve = none if self.sleeve == 0 else bin_word("sleeve", self.sleeve, sleeves)
        return {
            "Cloth Type": self.kind,
            "Waist": waist,
            "Fit": bin_word("fit", self.ease, FITS),
            "Hem": self.hem,
            "Neckline": self.neckline,
            "Sleeve Length": sleeve,
            "Cloth Length": length,
        }

    def measures(self) -> dict[str, float]:
        names = ("ease", "taper", "waist_at", "length", "flare", "sleeve", "neck_width", "neck_depth")
        return {name: getattr(self, name) for name in names}


@dataclass
class BottomCut:
    """Trousers and skirts. `rise` is the height of the waistband's upper edge, `length` of the hem.

    Attributes:
        hem_width: Of a leg: relative to a straight leg; of a skirt: widening per unit of height below the hips.
        pleats: Number of pleats around the front; 0 is none.
    """

    kind: str
    rise: float
    length: float
    ease: float
    hem_width: float
    pleats: int = 0
    slit: bool = False

    @property
    def skirt(self) -> bool:
        return self.kind.endswith("skirt")

    def attributes(self) -> dict[str, str]:
        return {
            "Cloth Type": self.kind,
            "Waist": bin_word("rise", self.rise, ("high", "mid", "low")),
            "Fit": bin_word("fit", self.ease, FITS),
            "Cloth Length": bin_word("leg length", self.length, LEG_LENGTHS),
        }

    def measures(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("ease", "rise", "length", "hem_width")}


def between(
    rng: np.random.Generator, low: float, high: float, measure: str | None = None, margin: float = 0.0
) -> float:
    """Uniform in [low, high], but no nearer than the margin to an edge of the measure's bins."""
    edges = EDGES[measure] if measure else ()
    while True:
        value = float(rng.uniform(low, high))
        if all(abs(value - edge) >= margin for edge in edges):
            return value


# kind: share, necklines, sleeves (range, or none), ease, length, hem, closures
_TOPS = {
    "t-shirt": (0.2, ("crew", "crew", "v", "scoop"), (0.2, 0.56), (0.0, 0.95), (54, 92), ("straight",), ("",)),
    "tank top": (0.12, ("scoop", "v", "square", "strap"), None, (0.0, 0.7), (52, 84), ("straight", "flared"), ("",)),
    "blouse": (
        0.15, ("v", "boat", "square", "off-shoulder"), (0.25, 1.0), (0.2, 0.95), (56, 92), ("straight", "flared"),
        ("", "buttons"),
    ),
    "shirt": (0.15, ("shirt collar",), (0.25, 1.0), (0.1, 0.95), (64, 98), ("curved", "straight"), ("buttons",)),
    "sweater": (0.14, ("crew", "high", "v", "boat"), (0.66, 1.0), (0.1, 1.0), (54, 92), ("ribbed",), ("",)),
    "hoodie": (0.1, ("hooded",), (0.84, 1.0), (0.3, 1.0), (58, 92), ("ribbed",), ("", "zip")),
    "jacket": (
        0.08, ("lapel", "lapel", "shirt collar"), (0.82, 1.0), (0.2, 0.9), (58, 98), ("straight",), ("buttons", "zip"),
    ),
    "cardigan": (0.06, ("v", "crew"), (0.66, 1.0), (0.2, 0.95), (58, 98), ("ribbed",), ("buttons",)),
}  # fmt: skip


def draw_top(rng: np.random.Generator) -> TopCut:
    kind = str(rng.choice(list(_TOPS), p=_shares(_TOPS)))
    _, necklines, sleeves, ease, length, hems, closures = _TOPS[kind]
    neckline, hem = str(rng.choice(necklines)), str(rng.choice(hems))
    cut = TopCut(
        kind=kind,
        neckline=neckline,
        **_neck(rng, neckline, kind),
        ease=between(rng, *ease, "fit", 0.12),
        taper=between(rng, 0, 1, "taper", 0.12),
        waist_at=float(rng.uniform(45, 51)),
        length=between(rng, *length, "top length", 1.6),
        flare=float(rng.uniform(0.32, 0.58)) if hem == "flared" else float(rng.uniform(0, 0.06)),
        sleeve=between(rng, *sleeves, "sleeve", 0.03) if sleeves else 0.0,
        sleeve_ease=float(rng.uniform(0.05, 1.0)),
        cuff=float(rng.uniform(0.75, 1.0)),
        hem=hem,
        closure=str(rng.choice(closures)),
    )
    if hem == "curved":
        cut.hem_curve = float(rng.uniform(7, 12))
    if kind == "blouse":
        cut.cuff = float(rng.uniform(0.7, 1.75))
        if neckline != "v":
            cut.closure = ""
    if neckline == "lapel":
        cut.closure = "buttons"
    if kind == "hoodie":
        cut.pocket = "kangaroo" if cut.closure == "" else "side"
    elif kind == "jacket":
        cut.pocket = "side"
    elif kind in ("shirt", "t-shirt") and rng.random() < 0.4:
        cut.pocket = "chest"
    return cut


_DRESSES = {  # share, necklines, ease, length, flare, waist heights
    "shift dress": (0.18, ("crew", "boat", "v"), (0.2, 0.95), (96, 150), (0.0, 0.14), None),
    "sheath dress": (0.18, ("scoop", "square", "boat", "v"), (0.0, 0.5), (100, 152), (-0.06, 0.02), (46, 50)),
    "flared dress": (
        0.28, ("crew", "v", "scoop", "square", "off-shoulder"), (0.05, 0.8), (94, 156), (0.26, 0.68), (36, 62),
    ),
    "maxi dress": (0.14, ("v", "scoop", "off-shoulder", "strap"), (0.05, 0.9), (161, 176), (0.12, 0.42), (36, 60)),
    "slip dress": (0.1, ("strap",), (0.05, 0.7), (98, 158), (0.04, 0.2), (44, 50)),
    "shirt dress": (0.12, ("shirt collar",), (0.2, 0.95), (98, 150), (0.04, 0.26), (46, 50)),
}  # fmt: skip


def draw_dress(rng: np.random.Generator) -> TopCut:
    kind = str(rng.choice(list(_DRESSES), p=_shares(_DRESSES)))
    _, necklines, ease, length, flare, waists = _DRESSES[kind]
    neckline = str(rng.choice(necklines))
    bare = neckline == "strap" or (neckline in LOW_NECKS and rng.random() < 0.5)
    flare_value = float(rng.uniform(*flare))
    hem = "flared" if kind == "flared dress" else "straight"
    if kind == "shirt dress" and rng.random() < 0.5:
        hem = "curved"
    return TopCut(
        kind=kind,
        neckline=neckline,
        **_neck(rng, neckline, "tank top" if bare else kind),
        ease=between(rng, *ease, "fit", 0.12),
        taper=float(rng.uniform(0.0, 0.22)) if waists is None else float(rng.uniform(0.5, 1.0)),
        waist_at=48.0 if waists is None else _dress_waist(rng, *waists),
        length=between(rng, *length, "leg length", 1.8),
        flare=flare_value,
        sleeve=0.0 if bare else between(rng, 0.2, 1.0, "sleeve", 0.03),
        sleeve_ease=float(rng.uniform(0.05, 0.9)),
        cuff=float(rng.uniform(0.75, 1.5)),
        hem=hem,
        hem_curve=float(rng.uniform(7, 12)) if hem == "curved" else 0.0,
        closure="buttons" if kind == "shirt dress" else "",
        pocket="chest" if kind == "shirt dress" and rng.random() < 0.5 else "",
        seam=kind in ("flared dress", "maxi dress", "shirt dress"),
        dress=True,
        skirt_folds=float(np.clip(flare_value * 1.6, 0, 1)),
    )


_BOTTOMS = {  # share, ease, length, hem width
    "jeans": (0.24, (0.0, 0.95), (140, 175), (0.7, 1.35)),
    "trousers": (0.2, (0.05, 1.0), (140, 175), (0.72, 1.6)),
    "shorts": (0.15, (0.1, 1.0), (98, 136), (1.0, 1.12)),
    "leggings": (0.1, (0.0, 0.26), (120, 174), (0.9, 1.0)),
    "pencil skirt": (0.09, (0.0, 0.6), (102, 156), (-0.07, 0.0)),
    "flared skirt": (0.13, (0.1, 0.95), (96, 172), (0.16, 0.62)),
    "pleated skirt": (0.09, (0.1, 0.95), (96, 168), (0.12, 0.5)),
}


def draw_bottom(rng: np.random.Generator) -> BottomCut:
    kind = str(rng.choice(list(_BOTTOMS), p=_shares(_BOTTOMS)))
    _, ease, length, hem_width = _BOTTOMS[kind]
    return BottomCut(
        kind=kind,
        rise=between(rng, 45.5, 65, "rise", 1.0),
        length=between(rng, *length, "leg length", 1.8),
        ease=between(rng, *ease, "fit", 0.12),
        hem_width=float(rng.uniform(*hem_width)),
        pleats=int(rng.integers(7, 13)) if kind == "pleated skirt" else 0,
        slit=kind == "pencil skirt" and bool(rng.random() < 0.3),
    )


def _shares(table: dict) -> np.ndarray:
    shares = np.array([row[0] for row in table.values()])
    return shares / shares.sum()


def _dress_waist(rng: np.random.Generator, low: float, high: float) -> float:
    while True:
        value = float(rng.uniform(low, high))
        if abs(value - 42.5) > 2.5 and abs(value - 54) > 2.5:
            return value


def _waist_place(height: float) -> str:
    return "high" if height < 42.5 else "natural" if height < 54 else "low"


def _neck(rng: np.random.Generator, neckline: str, kind: str) -> dict[str, float]:
    """Width, depth and strap of a neckline."""
    width, depth = {
        "crew": ((7.5, 9.5), (5.5, 8.0)),
        "v": ((7.5, 11.0), (16, 27)),
        "scoop": ((9.0, 13.0), (13, 21)),
        "boat": ((13.5, 17.0), (3.6, 5.5)),
        "square": ((9.5, 12.5), (12, 18)),
        "high": ((6.6, 7.4), (2.5, 4.0)),
        "shirt collar": ((7.5, 8.5), (7.5, 12)),
        "lapel": ((7.5, 9.0), (24, 36)),
        "hooded": ((8.0, 9.5), (6.5, 10)),
        "off-shoulder": ((22.0, 24.0), (13, 18)),
        "strap": ((9.5, 12.0), (13, 20)),
    }[neckline]
    strap = 1.0
    if neckline == "strap":
        strap = 0.0
    elif kind == "tank top":
        strap = float(rng.uniform(0.25, 0.8))
    return {"neck_width": float(rng.uniform(*width)), "neck_depth": float(rng.uniform(*depth)), "strap": strap}
