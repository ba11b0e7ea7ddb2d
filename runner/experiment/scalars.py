"""What one plain YAML scalar means here: YAML 1.2's core rules, without YAML 1.1's traps."""

import re

from runner.experiment.masking import without_secrets

Scalar = None | bool | int | float | str

_CONSTANTS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".inf": float("inf"),
    "+.inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}
# No leading zeros: 010 is eight in YAML 1.1 and ten in 1.2, so here it is neither but text.
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LARGEST_DIGITS = 18
"""More digits than this do not fit 64 bits; such a number is read as a float."""


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar.

    `1e-5` is a number; `no`, `yes`, `on`, `off` are text; only true and false are booleans;
    dates, `1:30`, `010`, `0x1F` and `1_000` stay text.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text) and len(text.lstrip("+-")) <= _LARGEST_DIGITS:
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def printable(value: object) -> str:
    """A value as an error message shows it: YAML's spelling, short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple) and len(value) > 8:
        return f"a list of {len(value)}"
    if isinstance(value, list | tuple):
        return _short("[" + ", ".join(printable(item) for item in value) + "]")
    if isinstance(value, str):
        return _short(repr(without_secrets(value)))
    return _short(without_secrets(repr(value)))


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
