"""Structured attributes of a garment, read from a captioner's answer "a <cloth type> with <attributes>"."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from temu_vtoff.files import write_text

NAMES = ("type", "fit", "waist", "hem", "neckline", "sleeve_length", "length")
_NOUNS = {  # attribute -> the words that name it in a phrase; the first attribute that matches counts
    "sleeve_length": r"sleeves?(?: length)?|sleeved|sleeveless",
    "neckline": r"neck ?lines?|necked|neck|collar(?:ed)?",
    "waist": r"waist ?(?:line|band)?|waisted|rise",
    "hem": r"hem ?(?:line)?|hemmed",
    "fit": r"fit(?:ting)?|fitted|silhouette",
    "length": r"(?:cloth )?length",
}
_PHRASES = r",|;|\.(?:\s|$)|\band\b"
_LABEL = r"\b(?:(?:cloth|sleeve) )?(?:type|waist|fit|hem|neckline|length|sleeves?) ?:"
_UNSEEN = re.compile(r"\b(?:(?:not |in|un)(?:visible|seen|specified|applicable|known|clear)|n/?a|none|null|hidden)\b")


def attributes_from_answer(answer: str) -> dict[str, str | None]:
    """The attributes that an answer names.

    Reads captions, lists of "name: value" and JSON objects. Of several phrases on one attribute the first counts.

    Returns:
        A value for each of `NAMES`; None for what the answer leaves out or says can't be seen.
    """
    lines = re.sub(r"[{}\"*_`]+", " ", answer.lower()).splitlines()
    text = ", ".join(" ".join(line.split()) for line in lines if line.strip())
    text = re.sub(_LABEL, r", \g<0>", text).strip(" ,")  # `clean_caption` puts a list on one line
    garment, _, rest = text.partition(" with ")
    found: dict[str, str | None] = dict.fromkeys(NAMES)
    phrases = re.split(_PHRASES, rest if rest else garment)
    if ":" not in garment:
        found["type"] = _value(garment if rest else phrases[0])
        phrases = phrases if rest else phrases[1:]
    adjectives = re.split(r"[\s,]+", found["type"] or "")  # "a sleeveless, high-waisted dress"
    for phrase in [*phrases, *adjectives]:
        name, value = _read(phrase.strip())
        if name is not None and found[name] is None:
            found[name] = value
    return found


def write_attributes(path: Path, captions: str | Mapping[str, str]) -> None:
    """Writes the attributes of a caption, or of captions by item id, sorted by id, as JSON."""
    if isinstance(captions, str):
        content: dict = attributes_from_answer(captions)
    else:
        content = {item_id: attributes_from_answer(captions[item_id]) for item_id in sorted(captions)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _read(phrase: str) -> tuple[str | None, str | None]:
    """Attribute and value of one phrase, such as "crew neckline" or "neckline: crew"."""
    named, colon, value = phrase.partition(":")
    if colon and re.fullmatch(r"(?:cloth )?type", named.strip()):
        return "type", _value(value)
    for name, noun in _NOUNS.items():
        if colon and re.search(rf"\b(?:{noun})\b", named):
            return name, _value(value, noun)
        if not colon and re.search(rf"\b(?:{noun})\b", phrase):
            alone = re.fullmatch(noun, phrase.strip())  # "sleeveless", "fitted", "collared"
            return name, phrase.strip() if alone else _value(phrase, noun)
    return None, None


def _value(text: str, noun: str = r"(?!)") -> str | None:
    """The text without its article and the attribute's name; None if nothing is left or it can't be seen."""
    value = re.sub(r"^(?:an?|the)\b", "", text.strip())
    if names := list(re.finditer(rf"[-\s]*\b(?:{noun})\b(?!-)", value)):
        value = f"{value[: names[-1].start()]} {value[names[-1].end() :]}"  # "shirt collar neckline": shirt collar
    value = " ".join(value.split()).strip(" .-'’")
    return None if not value or _UNSEEN.search(value) else value
