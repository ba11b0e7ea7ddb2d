"""Allowed values in plain words, from the JSON Schema of the settings: one source for both the
error messages and the reference."""

from collections.abc import Iterator, Mapping
from typing import Any

from runner.experiment.scalars import printable

Schema = Mapping[str, Any]
ANYTHING = "any value"


def resolve(schema: Schema, definitions: Schema) -> Schema:
    """The schema a `$ref` points to, or the schema itself."""
    if "$ref" not in schema:
        return schema
    target: Schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    return resolve(target, definitions)


def allowed_words(schema: Schema, definitions: Schema) -> str:
    """What a value must be: "a whole number, at least 0, or 'max'"."""
    schema = resolve(schema, definitions)
    if "enum" in schema:
        return " or ".join(_listed(printable(value) for value in schema["enum"]))
    if "const" in schema:
        return printable(schema["const"])
    if "anyOf" in schema and schema.get("type") != "string":
        parts = [allowed_words(part, definitions) for part in schema["anyOf"]]
        return ", or ".join(parts)
    return _typed_words(schema, definitions)


def _typed_words(schema: Schema, definitions: Schema) -> str:
    match schema.get("type"):
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            return _list_words(schema, definitions)
        case "string":
            return "text, not empty" if schema.get("minLength") else "text"
        case "object":
            return "a mapping of keys to values"
    if "discriminator" in schema:
        return "a mapping of keys to values"
    return ANYTHING


def _list_words(schema: Schema, definitions: Schema) -> str:
    if "prefixItems" in schema:
        item = allowed_words(schema["prefixItems"][0], definitions)
        return f"a list of {len(schema['prefixItems'])}, each {item}"
    return f"a list, each {allowed_words(schema.get('items', {}), definitions)}"


def _range(schema: Schema) -> str:
    bounds = (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    )
    return "".join(f", {words} {schema[key]:,}" for key, words in bounds if key in schema)


def _listed(words: Iterator[str]) -> Iterator[str]:
    *most, last = list(words)
    if most:
        yield ", ".join(most)
    yield last


def literal_values(schema: Schema, definitions: Schema) -> list[object]:
    """The values a schema spells out: of enum, const, null, true and false."""
    schema = resolve(schema, definitions)
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    if schema.get("type") == "null":
        return [None]
    if schema.get("type") == "boolean":
        return [True, False]
    parts = schema.get("anyOf", ())
    return [value for part in parts for value in literal_values(part, definitions)]
