"""Lengths of time as people write them: `90s`, `10m`, `2h`, `1d`, `1h30m`, or plain seconds."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
LONGEST_S = 365 * SECONDS["d"]
PATTERN = r"^(\d+(\.\d+)?d)?(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s)?$"
WORDS = "a length of time such as 90s, 10m, 2h, 1d or 1h30m, or a number of seconds"


def duration_s(value: str | int | float) -> float:
    """The length of a duration in seconds.

    Raises:
        ValueError: If it is not a duration, not above zero, or above one year.
    """
    seconds = _parse(value) if isinstance(value, str) else value
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"must be {WORDS}, above zero and at most 365d")
    return float(seconds)


def _parse(text: str) -> float:
    compact = re.sub(r"\s+", "", text)
    if not compact or not compact.isascii() or not re.match(PATTERN, compact):
        raise ValueError(f"must be {WORDS}")
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", compact)
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def _checked(value: str | int | float) -> str | int | float:
    duration_s(value)
    return value


_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*[dhms]\s*)+$"},
        {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_S},
    ],
}

Duration = Annotated[
    str | int | Annotated[float, Field(allow_inf_nan=False)],
    AfterValidator(_checked),
    WithJsonSchema(_SCHEMA),
]
"""A field that takes a duration; it keeps what was written."""
