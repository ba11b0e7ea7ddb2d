"""The published JSON Schema, with which editors complete and check experiment files."""

from functools import cache
from typing import Any

from runner.experiment.experiment import experiment_schema
from runner.experiment.recipe import MAX, Recipe
from runner.experiment.recipe_fields import recipe_schema
from runner.experiment.task_forms import CUSTOM

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR = ["string", "number", "boolean", "null"]
_WHEN: dict[str, Any] = {
    "description": "Conditions that must all hold for this parameter to be in use.",
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"description": "The value it must have.", "type": _SCALAR},
            {
                "description": "The values it may have.",
                "type": "array",
                "minItems": 1,
                "items": {"type": _SCALAR},
            },
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "not": {"description": "A value, or a list of values, it must not have."},
                    "below": {"anyOf": [{"type": "number"}, {"const": MAX}]},
                    "above": {"anyOf": [{"type": "number"}, {"const": MAX}]},
                },
            },
        ]
    },
}
_LOG: dict[str, Any] = {
    "description": "Whether orders of magnitude are equally likely.",
    "type": "boolean",
    "default": False,
}
_IS_CUSTOM = {"properties": {"task": {"const": CUSTOM}}, "required": ["task"]}
_STEP = "Distance between allowed values, counted from the lower end."


@cache
def published_schema() -> dict[str, Any]:
    """JSON Schema of an experiment file; accepts at least what the loader accepts."""
    own = experiment_schema()
    definitions = {**own["$defs"], **_kinds(), "SearchSpace": _search_space()}
    definitions["SearchSettings"] = _search_settings(own["$defs"]["SearchSettings"])
    whole = {"$schema": DIALECT, **own, "title": "runner experiment", "$defs": definitions}
    return {**whole, "if": _IS_CUSTOM, "else": _of_the_recipe()}


def _of_the_recipe() -> dict[str, Any]:
    """What holds of every task but custom: the space varies keys of `train`."""
    names = {"propertyNames": {"enum": list(Recipe.model_fields)}}
    space = {"if": {"type": "object"}, "then": names}
    search = {"properties": {"space": space, "first": {"items": names}}}
    return {"required": ["data", "model"], "properties": {"search": search}}


def _search_settings(own: dict[str, Any]) -> dict[str, Any]:
    properties = dict(own["properties"])
    properties["space"] = {
        "description": properties["space"]["description"],
        "anyOf": [
            {"description": "Name of a file in search_spaces/.", "type": "string"},
            {"$ref": "#/$defs/SearchSpace"},
        ],
    }
    properties["first"] = {**properties["first"], "items": {"type": "object"}}
    return {**own, "properties": properties}


def _search_space() -> dict[str, Any]:
    """Schema of a search space: keys of the recipe, fixed or varied; or those of one's own."""
    kinds = [{"$ref": f"#/$defs/{name}"} for name in _kinds()]
    properties = {
        name: {"description": own.get("description", ""), "anyOf": [_fixed(own), *kinds]}
        for name, own in recipe_schema()["properties"].items()
    }
    return {
        "description": "What each varied key of `train` (task: custom: of `params`) may be.",
        "type": "object",
        "properties": properties,
        "additionalProperties": {"anyOf": [{"type": _SCALAR}, *kinds]},
    }


def _fixed(own: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in own.items() if key not in ("default", "description")}


def _kinds() -> dict[str, dict[str, Any]]:
    number, whole = {"type": "number"}, {"type": "integer"}
    float_step = {"description": _STEP, "type": ["number", "null"], "exclusiveMinimum": 0}
    int_step = {"description": _STEP, "type": "integer", "minimum": 1}
    upper = {"anyOf": [whole, {"const": MAX}]}
    choices = {"type": "array", "minItems": 1, "items": {"type": _SCALAR}}
    return {
        "FloatRange": _kind("float", _ends(number, number), log=_LOG, step=float_step),
        "IntRange": _kind("int", _ends(whole, upper), log=_LOG, step=int_step),
        "Choice": _kind("choice", choices),
        "Fixed": _kind("fixed", {"type": _SCALAR}),
    }


def _ends(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [low, high]}


def _kind(name: str, value: dict[str, Any], **options: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "additionalProperties": False,
        "properties": {name: value, **options, "when": _WHEN},
    }
