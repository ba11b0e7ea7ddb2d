"""The published JSON Schema accepts what the loader accepts, and refuses what editors should."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runner.experiment import Experiment, load_experiment
from runner.experiment.document import read_document
from runner.experiment.json_schema import published_schema

REPOSITORY = Path(__file__).parents[2]
Load = Callable[..., Experiment]


@pytest.fixture(scope="module")
def jsonschema() -> ModuleType:
    """The package that checks; part of the test extra."""
    return pytest.importorskip("jsonschema")


@pytest.fixture
def errors(jsonschema: ModuleType) -> Callable[..., list[str]]:
    """What the schema says against a value, with the key first."""

    def found(value: object, schema: dict[str, Any] | None = None) -> list[str]:
        schema = schema or published_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    return found


def test_schema_accepts_every_experiment_file_as_written_and_resolved(
    errors: Callable[..., list[str]], experiment_files: list[Path]
) -> None:
    for path in experiment_files:
        document = read_document(path, shown=path.name, what="an experiment")
        assert errors(document.value) == []
        assert errors(load_experiment(str(path)).resolved()) == []


def test_schema_of_a_space_accepts_every_shipped_space(
    errors: Callable[..., list[str]], load: Load, minimal: str
) -> None:
    whole = published_schema()
    schema = {"$defs": whole["$defs"], "$ref": "#/$defs/SearchSpace"}
    paths = sorted((REPOSITORY / "search_spaces").glob("*.yaml"))
    assert len(paths) >= 4
    for path in paths:
        assert errors(read_document(path, shown=path.name, what="a space").value, schema) == []
        assert load(minimal + f"search: {{space: {path.stem}}}\n").space.parameters
        assert path.read_text().startswith("# ")


@pytest.mark.parametrize(
    "search",
    [
        {"space": "resnet"},
        {"space": {"epochs": 3, "grad_clip": None, "channels_last": True}},
        {"space": {"momentum": {"float": [0, 0.5], "when": {"epochs": {"not": [1, 2]}}}}},
        {"time": "1h30m"},
        {"time": "1h 30m", "trial_time": 90.5},
        {"time": None, "devices": "auto", "slots": "auto"},
        {"silence": "auto", "retries": 0},
        {"silence": None},
        {"silence": "90s", "retries": 3},
        {"devices": ["cuda:0", "mps"], "slots": 2},
        {"space": {"epochs": {"int": [1, 3]}}, "first": [{"epochs": 1}, {}]},
    ],
)
def test_schema_and_loader_accept_the_same_searches(
    errors: Callable[..., list[str]], search: dict[str, Any], minimal: str, load: Load
) -> None:
    document = load(minimal).resolved()
    spaceless = {key: value for key, value in search.items() if key != "space"}
    assert errors(document | {"search": search}) == []
    if isinstance(search.get("space"), dict):
        Experiment.from_resolved(document | {"search": search})
    else:
        Experiment.from_resolved(document | {"search": spaceless})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"search": {"trals": 5}}, "$.search: Additional properties are not allowed ('trals' was "
         "unexpected)"),
        ({"search": {"sampler": "tpa"}}, "$.search.sampler: 'tpa' is not one of ['tpe', 'random', "
         "'grid', 'gp', 'cmaes', 'qmc', 'pbt']"),
        ({"train": {"epochs": 0}}, "$.train.epochs: 0 is less than the minimum of 1"),
        ({"name": "a b"}, "$.name: 'a b' does not match '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'"),
        ({"search": {"time": "soon"}}, "$.search.time: 'soon' is not valid under any of the given "
         "schemas"),
        ({"search": {"first": [{"lr": 1}]}}, "$.search.first[0]: 'lr' is not one of"),
        ({"search": {"space": {"epochs": {"int": [1]}}}}, "$.search.space: "),
        ({"model": {"name": "x", "weights": "hubb"}}, "$.model.weights: 'hubb' is not valid"),
    ],
)  # fmt: skip
def test_schema_refuses_what_an_editor_should_underline(
    errors: Callable[..., list[str]], minimal: str, load: Load, change: dict[str, Any], error: str
) -> None:
    (message,) = errors(load(minimal).resolved() | change)
    assert message.startswith(error)
