"""The experiment: resolved form, identity, recipes, problems, pickling."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.errors import ExperimentError, Problem
from runner.experiment import Experiment, Recipe, is_free, load_experiment
from runner.experiment.experiment import experiment_schema
from runner.experiment.wording import resolve

FILES = Path(__file__).parent / "files"
Load = Callable[..., Experiment]


def photos() -> Experiment:
    return load_experiment(str(FILES / "photos_folder.yaml"))


def test_resolved_goes_through_json_and_back(experiment_files: list[Path]) -> None:
    for path in experiment_files:
        experiment = load_experiment(str(path))
        resolved = json.loads(json.dumps(experiment.resolved(), allow_nan=False))
        again = Experiment.from_resolved(resolved)
        assert again.resolved() == experiment.resolved()
        assert again.identity() == experiment.identity()
        assert again.space == experiment.space
        assert again.source_file is None


def test_resolved_is_itself_an_experiment_file(load: Load, experiment_files: list[Path]) -> None:
    for path in experiment_files:
        experiment = load_experiment(str(path))
        assert load(yaml.safe_dump(experiment.resolved())).resolved() == experiment.resolved()


def test_resolved_writes_numbers_one_way(load: Load, minimal: str) -> None:
    text = minimal + "search: {space: {dropout: {float: [0, 0.5]}}, first: [{dropout: 0}]}\n"
    assert json.dumps(load(text).resolved()) == json.dumps(
        load(text.replace("[0,", "[0.0,").replace(": 0}", ": 0.0}")).resolved()
    )


def test_from_resolved_of_something_else_is_refused() -> None:
    resolved = photos().resolved() | {"seed": "x"}
    with pytest.raises(ExperimentError) as info:
        Experiment.from_resolved(resolved)
    assert str(info.value) == (
        "resolved experiment: seed: must be a whole number, at least 0, at most 4,294,967,295 "
        "(seen: 'x')"
    )
    resolved = photos().resolved()
    resolved["search"]["space"]["epochs"] = 0
    with pytest.raises(ExperimentError, match=r"space\.epochs: epochs must be a whole number"):
        Experiment.from_resolved(resolved)


def test_experiment_made_in_python_with_a_wrong_space_is_refused() -> None:
    with pytest.raises(ValueError, match=r"space\.dropout: dropout must be a number, at least 0"):
        Experiment(
            name="x",
            data={"source": "bundled", "name": "digits"},
            model={"name": "resnet18"},
            search={"space": {"dropout": 3}},
        )


def test_experiment_survives_pickling_with_its_lines() -> None:
    experiment = photos()
    again = pickle.loads(pickle.dumps(experiment))
    assert again == experiment
    assert again.source_file == FILES / "photos_folder.yaml"
    assert again.problem("model.name", "x") == experiment.problem("model.name", "x")


def test_problem_names_file_line_value_and_nearest_spelling() -> None:
    path = str(FILES / "photos_folder.yaml")
    problem = load_experiment(path).problem(
        "model.name", "no such model", allowed=("resnet50.a1_in1k_", "vit")
    )
    assert problem.file.endswith("photos_folder.yaml")
    assert (problem.line, problem.key) == (17, "model.name")
    assert problem.rule == "no such model; allowed: resnet50.a1_in1k_, vit"
    assert problem.seen == "'resnet50.a1_in1k'"
    assert problem.nearest == "resnet50.a1_in1k_"


@pytest.mark.parametrize(
    ("key", "line", "seen"),
    [
        ("model.arguments.depth", 16, None),
        ("train.momentum", 19, "0.9"),
        ("tracking.uri", 3, "null"),
        ("search.space.epochs.int.1", 37, "6"),
        ("search.space.batch_size.choice.2", 36, "64"),
        ("search.first.1.momentum", 48, "0.9"),
    ],
)
def test_problem_of_a_key_not_written_names_its_nearest_parent(
    key: str, line: int, seen: str | None
) -> None:
    problem = photos().problem(key, "wrong")
    assert (problem.line, problem.key, problem.seen) == (line, key, seen)


def test_problem_lists_no_more_allowed_words_than_one_reads() -> None:
    problem = photos().problem("name", "wrong", allowed=[f"w{n}" for n in range(30)])
    assert problem.rule.endswith("w18, w19 and 10 more")


def test_problem_in_a_space_by_name_or_an_option_names_those() -> None:
    path = str(FILES / "cats_named_space.yaml")
    problem = load_experiment(path).problem("search.space.freeze_depth", "wrong")
    assert Path(problem.file).name == "tiny.yaml"
    assert (problem.line, problem.key) == (3, "freeze_depth")
    experiment = load_experiment(path, ["model.name=vit"])
    assert experiment.problem("model.name", "wrong") == Problem(
        "--set model.name=vit", None, "model.name", "wrong", "'vit'"
    )


def test_problem_never_shows_a_password(load: Load, minimal: str) -> None:
    experiment = load(minimal + "tracking: {uri: 'http://me:secret@host:5000'}\n")
    assert "secret" not in str(experiment.problem("tracking.uri", "cannot be reached"))


def test_recipe_of_a_trial_puts_its_parameters_on_top_of_train() -> None:
    recipe = photos().recipe({"learning_rate": 0.5, "epochs": 2, "freeze_depth": 3})
    assert (recipe.learning_rate, recipe.epochs, recipe.freeze_depth) == (0.5, 2, 3)
    assert (recipe.optimizer, recipe.grad_clip) == ("sgd", 1.0)


def test_recipe_with_wrong_parameters_names_each() -> None:
    with pytest.raises(ExperimentError) as info:
        photos().recipe({"epochs": 0, "lr": 1})
    first, second = info.value.problems
    assert str(first) == (
        "parameters of the trial: epochs: must be a whole number, at least 1, at most 100,000 "
        "(seen: 0)"
    )
    assert second.key == "lr"
    assert second.rule.startswith("unknown key; allowed here: epochs, batch_size")


def test_experiment_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        photos().seed = 5  # type: ignore[misc]


def identity(load: Load, text: str, *overrides: str) -> dict[str, Any]:
    return load(text, *overrides).identity()


@pytest.mark.parametrize(
    "override",
    [
        "description=other",
        "data.max_unreadable=0.5",
        "data.max_megapixels=150",
        "data.max_empty=0.5",
        "search.trials=7",
        "search.time=1h",
        "search.trial_time=5m",
        "search.slots=3",
        "search.devices=[cpu]",
        "search.max_failures=2",
        "search.retries=3",
        "search.silence=5m",
        "tracking.uri=sqlite:///x.db",
        "tracking.keep_weights=0",
    ],
)
def test_identity_does_not_change_with_a_free_key(load: Load, minimal: str, override: str) -> None:
    assert identity(load, minimal, override) == identity(load, minimal)


@pytest.mark.parametrize(
    "override",
    [
        "name=dogs",
        "seed=1",
        "data.name=cat-faces",
        "data.size=100",
        "data.split.seed=1",
        "data.image_size=64",
        "model.name=vit",
        "model.weights=none",
        "model.arguments={a: 1}",
        "train.epochs=9",
        "search.space={epochs: {int: [1, 4]}}",
        "search.metric=loss",
        "search.sampler=random",
        "search.pruner=none",
        "search.first=[{}]",
    ],
)
def test_identity_changes_with_any_other_key(load: Load, minimal: str, override: str) -> None:
    assert identity(load, minimal, override) != identity(load, minimal)


def test_identity_is_the_resolved_experiment_without_its_free_keys() -> None:
    experiment = photos()
    kept = experiment.identity()
    for section, part in experiment.resolved().items():
        if not isinstance(part, dict) or is_free(section):
            assert (section in kept) is not is_free(section)
            continue
        for key in part:
            assert (key in kept[section]) is not is_free(f"{section}.{key}")


def test_every_field_of_the_recipe_is_described_and_in_the_schema() -> None:
    schema = experiment_schema()
    sections = [schema, *(resolve(part, schema["$defs"]) for part in schema["$defs"].values())]
    undescribed = [
        key
        for section in sections
        for key, field in section.get("properties", {}).items()
        if not field.get("description")
    ]
    assert undescribed == []
    assert set(Recipe.model_fields) == set(schema["$defs"]["Recipe"]["properties"])


def test_paths_of_rays_environment_start_from_the_file(tmp_path):
    (tmp_path / "e.yaml").write_text(
        "name: e\ntask: custom\nobjective: 'o.py:f'\n"
        "search: {metric: m, direction: maximize}\n"
        "ray:\n  runtime_env:\n    working_dir: work\n    py_modules: [lib, s3://b/lib.zip]\n"
        "    pip: [numpy]\n    uv: needs.txt\n    conda: torch\n    env_vars: {A: b}\n"
    )
    there = load_experiment(str(tmp_path / "e.yaml"))

    assert there.ray.runtime_env == {
        "working_dir": str(tmp_path / "work"),
        "py_modules": [str(tmp_path / "lib"), "s3://b/lib.zip"],
        "pip": ["numpy"],
        "uv": str(tmp_path / "needs.txt"),
        "conda": "torch",
        "env_vars": {"A": "b"},
    }
