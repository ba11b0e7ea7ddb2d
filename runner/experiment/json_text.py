"""JSON that every reader takes: it knows no NaN and no infinity."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def json_text(
    value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> str:
    """A value as JSON, in which numbers that are not finite are null.

    Args:
        value: Of what JSON knows, and what `default` makes such of.
        indent: As in `json.dumps`.
        default: As in `json.dumps`.
    Raises:
        TypeError: If JSON has no form for something in it.
    """
    return json.dumps(_finite(value), indent=indent, default=default, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
