"""A command with places for values: {name} is filled in, {{name}} stands for {name} itself."""

import re
from collections.abc import Iterable, Iterator, Mapping

from runner.experiment import Scalar

# What a command may name beside its parameters.
OF_THE_TRIAL = ("checkpoint", "device", "folder", "number", "resume", "seed", "step")
_PLACE = re.compile(r"\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>[A-Za-z_]\w*)\}")


def names_in(command: Iterable[str]) -> Iterator[str]:
    """The names of all places, in order."""
    for word in command:
        for place in _PLACE.finditer(word):
            if place["name"]:
                yield place["name"]


def filled(command: Iterable[str], values: Mapping[str, Scalar]) -> list[str]:
    """The command with every place filled in; each name must have a value."""

    def text(place: re.Match[str]) -> str:
        return value_text(values[place["name"]]) if place["name"] else f"{{{place['literal']}}}"

    return [_PLACE.sub(text, word) for word in command]


def value_text(value: Scalar) -> str:
    """A value as a command gets it: numbers in full, true, false and null as in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
