"""Photos that are given by an http(s) address instead of a path; light, because `--help` reads it."""

import re
from urllib.parse import unquote, urlsplit

from temu_vtoff.pictures.folders import short_stem

_UNSAFE = re.compile(r"[^\w.-]+")


def is_address(source: object) -> bool:
    """Whether a photo's source is an http(s) address."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def address_stem(address: str) -> str:
    """A name for the photo at an address: the stem of its path's last part, without what file names can't have."""
    try:
        last = unquote(urlsplit(address).path).rstrip("/").rsplit("/", 1)[-1]
    except ValueError:  # an address that can't be taken apart; fetching it gives the sentence
        last = ""
    stem = last.rsplit(".", 1)[0] if "." in last else last
    return short_stem(_UNSAFE.sub("_", stem).strip("._")) or "photo"
