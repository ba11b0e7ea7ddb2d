"""Values as people write them on the command line, apart from `--set`."""

import math
import re

from runner.errors import ExperimentError, Problem
from runner.experiment.scalars import Scalar, plain_scalar, printable

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_setting(text: str) -> tuple[str, Scalar]:
    """Name and value of `name=value`, the value by the rules of the experiment file.

    Raises:
        ExperimentError: If there is no name or no equals sign, or a control character.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        rule = "must be written name=value, for example learning_rate=1e-3"
        raise ExperimentError([Problem("command line", None, "", rule, seen=printable(text))])
    if not text.strip().isprintable():
        rule = "control characters are not allowed"
        raise ExperimentError([Problem("command line", None, "", rule, seen=printable(text))])
    return name.strip(), plain_scalar(value.strip())


def parse_size(text: str) -> int:
    """Bytes of a size such as `10GB`, `500 MB` or `0`.

    Raises:
        ExperimentError: If it is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    size = math.inf
    if match is not None and match[2].upper() in _UNITS:
        size = float(match[1]) * _UNITS[match[2].upper()]
    if size == math.inf:
        rule = "must be a size such as 500MB, 10GB or 0"
        raise ExperimentError([Problem("command line", None, "", rule, seen=printable(text))])
    return int(size)
