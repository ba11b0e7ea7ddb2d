"""Which installed fonts have the characters of a text: matplotlib's own lacks Chinese and more."""

from collections.abc import Iterator
from functools import cache

# Ships with matplotlib, so it is always there.
DEFAULT_FAMILY = "DejaVu Sans"
# Boxes for every character; and pictures that matplotlib cannot draw.
_NO_LETTERS = ("last resort", "emoji")


def families_for(text: str) -> tuple[list[str], frozenset[str]]:
    """Font families that have a text's characters, and the characters that none has.

    Args:
        text: All that is to be drawn.
    Returns:
        Families in the order to try them, as few as will do; characters without a glyph.
    """
    families = [DEFAULT_FAMILY]
    missing = _lacking(frozenset(c for c in text if c > "\x7f"), DEFAULT_FAMILY)
    while missing:
        left, family = min(_candidates(missing), key=lambda found: (len(found[0]), found[1]))
        if len(left) == len(missing):
            break
        families.append(family)
        missing = left
    return families, missing


def _candidates(missing: frozenset[str]) -> Iterator[tuple[frozenset[str], str]]:
    """For each installed family: what it lacks of some characters."""
    for family in _files():
        if not any(word in family.lower() for word in _NO_LETTERS):
            yield _lacking(missing, family), family


def _lacking(characters: frozenset[str], family: str) -> frozenset[str]:
    if not characters:
        return characters
    glyphs = _glyphs(_files()[family])
    return frozenset(c for c in characters if ord(c) not in glyphs and not c.isspace())


def _files() -> dict[str, str]:
    """A file of each installed family, an upright one where there is one."""
    from matplotlib.font_manager import fontManager

    fonts = sorted(fontManager.ttflist, key=lambda font: font.style == "normal")
    return {font.name: font.fname for font in fonts}


@cache
def _glyphs(file: str) -> frozenset[int]:
    """Code points of a font; none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
