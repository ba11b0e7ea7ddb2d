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
    problem = load(minimal).problem("seed", "is wrong", seen="http://me:s3/c@ret@host:5000")
    assert str(problem).endswith("is wrong (seen: 'http://***@host:5000')")


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:hunter2@host:5000",
        "https://hunter2@host",
        "postgresql://me:hun/ter2@host/mlflow",
        "postgresql://me@host/mlflow?password=hunter2",
    ],
)
def test_tracking_address_with_a_password_is_refused_and_says_where_it_belongs(
    load: Load, minimal: str, uri: str
) -> None:
    for text, overrides in ((f"tracking: {{uri: '{uri}'}}\n", []), ("", [f"tracking.uri={uri}"])):
        with pytest.raises(ExperimentError, match="must be an address without password") as caught:
            load(minimal + text, *overrides)
        assert "$MLFLOW_TRACKING_URI" in str(caught.value)
        assert "$MLFLOW_TRACKING_PASSWORD" in str(caught.value)
        assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "postgresql://me@host/mlflow?sslmode=require", "sqlite:///x.db"]
)
def test_tracking_address_without_a_password_is_kept(load: Load, minimal: str, uri: str) -> None:
    assert load(minimal + f"tracking: {{uri: '{uri}'}}\n").resolved()["tracking"]["uri"] == uri


@pytest.mark.parametrize(
    ("environment", "rule"),
    [
        ("{env_vars: {HF_TOKEN: hunter2}}", "must not hold HF_TOKEN, which would be kept with"),
        ("{env_vars: {PGPASSWORD: hunter2}}", "must not hold PGPASSWORD, which"),
        ("{env_vars: {AWS_SECRET_ACCESS_KEY: hunter2}}", "must not hold AWS_SECRET_ACCESS_KEY, "),
        ("{env_vars: {X: 'http://me:hunter2@h'}}", "must not hold a password, which would be"),
        ("{pip: ['x @ git+https://hunter2@h/x']}", "must not hold a password, which would be"),
        ("{working_dir: 'https://h/x.zip?sig=hunter2'}", "must not hold a password, which"),
        ("{py_executable: hunter2}", "has no 'py_executable'; allowed: working_dir, excludes, "),
        ("{worker_process_setup_hook: hunter2}", "has no 'worker_process_setup_hook'; allowed: "),
        ("{work_dir: hunter2}", "did you mean 'working_dir'?"),
    ],
)
def test_rays_environment_holds_no_secrets_and_known_keys_alone(
    load: Load, minimal: str, environment: str, rule: str
) -> None:
    with pytest.raises(ExperimentError) as caught:
        load(minimal + f"ray: {{runtime_env: {environment}}}\n")
    assert "ray.runtime_env: " in str(caught.value)
    assert rule in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_rays_environment_may_hold_what_only_sounds_like_a_secret(
    load: Load, minimal: str
) -> None:
    names = (
        "TOKENIZERS_PARALLELISM",
        "RAY_AUTH_TOKEN_PATH",
        "MAX_TOKENS",
        "MONKEY",
        "SSH_KEY_FILE",
    )
    kept = {"env_vars": dict.fromkeys(names, "1"), "pip": ["x @ git+ssh://git@github.com/o/x"]}
    text = minimal + f"ray: {{runtime_env: {json.dumps(kept)}}}\n"
    assert load(text).ray.runtime_env == kept


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
        "data.max_empty=0.5",
        "search.trials=7",
        "search.time=1h",
        "search.trial_time=5m",
        "search.slots=3",
        "search.devices=[cpu]",
        "search.max_failures=2",
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
