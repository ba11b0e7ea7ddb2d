"""The sets that are always there, without network: digits, cat-faces and glyphs."""

import hashlib
import importlib.util
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from runner.data.errors import DataSettingError
from runner.data.example import Example, Source
from runner.data.glyph_drawing import DRAWING_VERSION, draw_glyph, font_digest
from runner.errors import DataError, nearest_spelling

CAT_FACES = range(0x1F638, 0x1F641)
_CAT_FACES_SIZE = 100  # examples a class, unless told otherwise
_GLYPHS_SIZE = 40
_SEED = 0  # of the drawings; the split has its own
# Ranges of pictographs in DejaVu Sans 2.37, the cat faces left out.
_GLYPH_RANGES = (
    (0x2600, 0x269C),  # weather, chess, card suits, zodiac, dice, ...
    (0x269E, 0x26B8),
    (0x2701, 0x2704),
    (0x2706, 0x2709),
    (0x270C, 0x2727),
    (0x2729, 0x274B),
    (0x1F600, 0x1F623),  # faces
    (0x1F625, 0x1F62B),
    (0x1F62D, 0x1F637),
)
GLYPHS = tuple(code for first, last in _GLYPH_RANGES for code in range(first, last + 1))


def bundled_source(name: str, *, size: int | None) -> Source:
    """A bundled set.

    Args:
        name: `digits` (scikit-learn's 1,797 handwritten ones, 8x8), `cat-faces` (nine
            expressions, 64x64) or `glyphs` (several hundred other pictographs, 64x64).
        size: Examples a class; None takes the set's own number.
    Raises:
        DataSettingError: If there is no such set.
    """
    sets: dict[str, Callable[[int | None], Source]] = {
        "digits": _digits,
        "cat-faces": lambda size: _drawn("cat-faces", tuple(CAT_FACES), size or _CAT_FACES_SIZE),
        "glyphs": lambda size: _drawn("glyphs", GLYPHS, size or _GLYPHS_SIZE),
    }
    if name not in sets:
        near = nearest_spelling(name, sets)
        hint = f"; did you mean {near!r}?" if near else ""
        raise DataSettingError(
            "data.name",
            f"no bundled set of that name; there are {', '.join(sets)}{hint}",
            seen=name,
            allowed=tuple(sets),
        )
    return sets[name](size)


def _drawn(name: str, code_points: tuple[int, ...], size: int) -> Source:
    """A set of drawn glyphs, drawn when asked for; one class a code point."""
    places = [(code, index) for code in code_points for index in range(size)]
    examples = tuple(
        Example(f"U+{code:05X}/{index:05d}", label, _recipe_digest(code, index))
        for label, code in enumerate(code_points)
        for index in range(size)
    )

    def read(index: int, enough: int | None) -> Image.Image:
        """One picture, drawn now."""
        code, number = places[index]
        return draw_glyph(code, seed=_SEED, index=number)

    classes = tuple(_class_name(code) for code in code_points)
    return Source(f"bundled {name}", classes, examples, (), flip_is_safe=False, reader=read)


def _class_name(code_point: int) -> str:
    """The Unicode name in lower case, for example `grinning cat face with smiling eyes`."""
    return unicodedata.name(chr(code_point)).lower()


def _recipe_digest(code_point: int, index: int) -> str:
    """Digest of all that decides a picture, so that nothing has to be drawn to know it."""
    recipe = f"{DRAWING_VERSION} {font_digest()} {_SEED} {code_point} {index}"
    return hashlib.sha256(recipe.encode()).hexdigest()


def _digits(size: int | None) -> Source:
    """scikit-learn's copy of the UCI handwritten digits, 8x8, black on white."""
    table = _digits_table()
    labels, ink = table[:, -1], table[:, :-1].reshape(-1, 8, 8)  # ink in 0 to 16
    pixels = np.rint(255 - ink * (255 / 16)).astype(np.uint8)
    kept = _first_of_each(labels, size)
    examples = tuple(
        Example(
            f"digits/{index:04d}",
            int(labels[index]),
            hashlib.sha256(pixels[index].tobytes()).hexdigest(),
        )
        for index in kept
    )

    def read(index: int, enough: int | None) -> Image.Image:
        """One digit."""
        return Image.fromarray(pixels[kept[index]]).convert("RGB")

    classes = tuple(str(digit) for digit in range(10))
    return Source("bundled digits", classes, examples, (), flip_is_safe=False, reader=read)


def _digits_table() -> np.ndarray:
    """The file that `sklearn.datasets.load_digits` reads, [1797, 65], the label last.

    Read directly because importing scikit-learn costs every worker seconds.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("the bundled digits are scikit-learn's: pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise DataError(f"scikit-learn's file {path} is missing; install scikit-learn again")
    return np.loadtxt(path, delimiter=",", dtype=np.int64)


def _first_of_each(labels: np.ndarray, size: int | None) -> list[int]:
    """Positions of the first `size` examples of each class, in their order."""
    if size is None:
        return list(range(len(labels)))
    return sorted(
        int(index)
        for label in np.unique(labels)
        for index in np.flatnonzero(labels == label)[:size]
    )
