"""Pydantic's errors as flaws: the key as it was written, the rule in plain words, a hint."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runner.errors import nearest_spelling
from runner.experiment.marks import Flaw, KeyPath
from runner.experiment.wording import ANYTHING, Schema, allowed_words, literal_values, resolve

_MEANT = {
    "yes": True,
    "on": True,
    "y": True,
    "no": False,
    "off": False,
    "n": False,
    "none": None,
    "nil": None,
    "nan": None,
    "": None,
}
"""What people write for the three words that YAML has."""
_MOST_LISTED = 40


def flaws_of(error: ValidationError, schema: dict[str, Any]) -> list[Flaw]:
    """Every flaw pydantic found, one per key, in the order of the model's fields.

    Args:
        error: What validation raised.
        schema: JSON Schema of the model that was validated.
    """
    flaws: dict[KeyPath, Flaw] = {}
    for details in error.errors(include_url=False):
        flaw = _flaw(details, schema)
        # Of several ways a value could have been right, our own check says more than a type.
        if flaw.path not in flaws or details["type"] == "value_error":
            flaws[flaw.path] = flaw
    # Where a part of a value is at fault, the value as a whole need not be named.
    wholes = {path[:length] for path in flaws for length in range(len(path))}
    return [flaw for path, flaw in flaws.items() if path not in wholes]


def _flaw(details: ErrorDetails, schema: dict[str, Any]) -> Flaw:
    definitions: Schema = schema.get("$defs", {})
    path, node = _walk(details["loc"], schema, definitions)
    seen = details["input"]
    match details["type"]:
        case "extra_forbidden":
            parent, node = _walk(details["loc"][:-1], schema, definitions)
            return _unknown_key((*parent, details["loc"][-1]), node, schema)
        case "missing":
            return Flaw(path, f"is missing; it must be {allowed_words(node, definitions)}")
        case "value_error":
            rule = str(details["ctx"]["error"])
            return Flaw(path, rule, seen, _meant(seen, node, definitions))
        case "union_tag_invalid" | "union_tag_not_found":
            return _unknown_tag(details, path, node)
        case "string_pattern_mismatch" if "description" in node:
            rule = f"does not have the form it needs. {node['description']}"
            return Flaw(path, rule, seen)
    words = allowed_words(node, definitions)
    if details["type"] == "finite_number":
        words = words.replace("a number", "a finite number", 1)
    if words != ANYTHING:
        return Flaw(path, f"must be {words}", seen, _meant(seen, node, definitions))
    return Flaw(path, details["msg"], seen)


def _walk(
    loc: tuple[str | int, ...], schema: Schema, definitions: Schema
) -> tuple[KeyPath, Schema]:
    """The key path and schema an error's location stands for, without pydantic's own tags."""
    path: KeyPath = ()
    node = resolve(schema, definitions)
    for part in loc:
        inner = _below(part, node, definitions)
        if inner is not None:
            path, node = (*path, part), inner
        elif "discriminator" in node:
            reference = node["discriminator"]["mapping"].get(part)
            node = resolve({"$ref": reference}, definitions) if reference else node
        elif "anyOf" not in node and part != "[key]":
            path, node = (*path, part), {}
    return path, node


def _below(part: str | int, node: Schema, definitions: Schema) -> Schema | None:
    """The schema of one key or item of a node; None if it has no such part."""
    if part in node.get("properties", {}):
        return resolve(node["properties"][part], definitions)
    if isinstance(part, int) and "prefixItems" in node:
        items = node["prefixItems"]
        return resolve(items[part], definitions) if part < len(items) else {}
    if isinstance(part, int) and isinstance(node.get("items"), dict):
        return resolve(node["items"], definitions)
    if isinstance(part, int) or "type" not in node:
        for option in node.get("anyOf", ()):
            inner = _below(part, resolve(option, definitions), definitions)
            if inner is not None:
                return inner
    return None


def _unknown_key(path: KeyPath, parent: Schema, schema: Schema) -> Flaw:
    allowed = list(parent.get("properties", {}))
    word = str(path[-1])
    near = nearest_spelling(word, allowed) or _elsewhere(word, schema)
    listed = ", ".join(allowed[:_MOST_LISTED])
    return Flaw(path, f"unknown key; allowed here: {listed}", nearest=near)


def _elsewhere(word: str, schema: Schema) -> str | None:
    """The dotted key of that very name in another part of the experiment, if only one has it."""
    definitions: Schema = schema.get("$defs", {})
    sections: Schema = schema.get("properties", {})
    found = [word] if word in sections else []
    for section, part in sections.items():
        if word in resolve(part, definitions).get("properties", {}):
            found.append(f"{section}.{word}")
    return found[0] if len(found) == 1 else None


def _unknown_tag(details: ErrorDetails, path: KeyPath, node: Schema) -> Flaw:
    key = node["discriminator"]["propertyName"]
    allowed = list(node["discriminator"]["mapping"])
    rule = f"must be {', '.join(allowed[:-1])} or {allowed[-1]}"
    given = details["input"]
    if not isinstance(given, Mapping) or key not in given:
        return Flaw((*path, key), f"is missing; it {rule}")
    seen = given[key]
    near = nearest_spelling(seen, allowed) if isinstance(seen, str) else None
    return Flaw((*path, key), rule, seen, near)


def _meant(seen: object, node: Schema, definitions: Schema) -> str | None:
    if not isinstance(seen, str):
        return None
    literals = literal_values(node, definitions)
    words = [value for value in literals if isinstance(value, str)]
    if near := nearest_spelling(seen.lower(), words):
        return near
    meant = _MEANT.get(seen.lower(), seen)
    spelt = {None: "null", True: "true", False: "false"}
    is_literal = any(meant is value for value in literals)
    return spelt[meant] if is_literal and not isinstance(meant, str) else None
