"""`--set key=value`: changes to an experiment from the command line."""

from collections.abc import Callable, Mapping

from runner.errors import ExperimentError, Problem
from runner.experiment.document import Document, parse_text
from runner.experiment.lookup import ascii_safe
from runner.experiment.marks import KeyPath, dotted, key_path
from runner.experiment.masking import without_secrets
from runner.experiment.scalars import plain_scalar, printable

Expand = Callable[[Document], Document]
"""Gives a document whose space is written out instead of named."""


def apply_override(document: Document, override: str, *, expand: Expand) -> Document:
    """The document with one `key=value` set.

    Args:
        document: What the file holds.
        override: Dotted key, equals sign, value by the rules of YAML.
        expand: Called first where the key lies inside a space that is given by name.
    Raises:
        ExperimentError: If the override itself cannot be understood or placed; whether the key
            exists is for the schema to say.
    """
    option = option_name(override)
    key, equals, text = override.partition("=")
    path = key_path(key.strip())
    if not equals or not all(part != "" for part in path) or not path:
        raise _refusal(option, "", "must have the form key=value, e.g. search.trials=5")
    value = _value(text.strip(), option, path)
    if path[:2] == ("search", "space") and len(path) > 2:
        document = expand(document)
    placed, made = _placed(document.value, path, value, option)
    marks = document.marks
    for length in range(made, len(path) + 1):
        marks = marks.with_option(path[:length], option)
    assert isinstance(placed, dict)  # the path is not empty, so the top level stays a mapping
    return Document(placed, marks)


def option_name(override: str) -> str:
    """The option as messages name it, without a password that a URI in it may hold."""
    hidden = without_secrets(ascii_safe(override))
    return f"--set {hidden}" if len(hidden) <= 100 else f"--set {hidden[:97]}..."


def _value(text: str, option: str, path: KeyPath) -> object:
    """The value after the equals sign; only brackets, braces and quotes are more than a scalar."""
    if text[:1] in ("[", "{", '"', "'"):
        try:
            value, _ = parse_text(text, shown=option)
        except ExperimentError as err:
            raise ExperimentError(
                Problem(option, None, dotted(path), p.rule, p.seen) for p in err.problems
            ) from err
        return value
    if any(not character.isprintable() for character in text):
        raise _refusal(option, dotted(path), "control characters are not allowed")
    return plain_scalar(text)


def _placed(node: object, path: KeyPath, value: object, option: str) -> tuple[object, int]:
    """A copy of the node with the value placed in it, and the length of the first path made."""
    copy: object = _copy(node)
    here = copy
    made = len(path)
    for depth, part in enumerate(path[:-1], 1):
        parent = path[: depth - 1]
        part = _checked(here, part, parent, option)
        child = here[part] if _has(here, part) else None  # type: ignore[index]
        if child is None:
            made = min(made, depth)
            child = {}
        here[part] = child  # type: ignore[index]
        here = child
    part = _checked(here, path[-1], path[:-1], option)
    here[part] = value  # type: ignore[index]
    return copy, made


def _checked(node: object, part: str | int, parent: KeyPath, option: str) -> str | int:
    """The key or index to use in a node, if it has room for one."""
    if isinstance(node, dict):
        return str(part)
    if not isinstance(node, list):
        rule = "is a single value, so nothing can be set inside it"
        raise _refusal(option, dotted(parent), rule, printable(node))
    if not isinstance(part, int) or part >= len(node):
        numbers = f"0 to {len(node) - 1}" if node else "none, it is empty"
        raise _refusal(option, dotted(parent), f"is a list; its items are {numbers}", str(part))
    return part


def _has(node: object, part: str | int) -> bool:
    return part in node if isinstance(node, dict) else isinstance(node, list)


def _copy(node: object) -> object:
    if isinstance(node, Mapping):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(item) for item in node] if isinstance(node, list) else node


def _refusal(option: str, key: str, rule: str, seen: str | None = None) -> ExperimentError:
    return ExperimentError([Problem(option, None, key, rule, seen)])
