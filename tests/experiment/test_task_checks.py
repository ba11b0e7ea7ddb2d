"""An experiment's parts against its task: what belongs to another task is refused where it is."""

from collections.abc import Callable

import pytest

from runner.experiment import Experiment

Messages = Callable[..., list[str]]
Load = Callable[..., Experiment]

OWN = "name: cats\ntask: custom\nobjective: a.py:train\n"
SEARCH = "search: {metric: error, direction: minimize"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("objective: a.py:train", "objective"),
        ("command: [python, a.py]", "command"),
        ("evaluate: a.py:test", "evaluate"),
        ("params: {depth: 3}", "params"),
    ],
)
def test_load_experiment_of_a_model_with_keys_of_an_objective_refuses_them(
    messages: Messages, minimal: str, line: str, key: str
) -> None:
    (message,) = messages(f"{minimal}{line}\n")

    rule = "is for `task: custom` alone, and this is image_classification (seen: "
    assert message.startswith(f"cats.yaml:4: {key}: {rule}")


def test_load_experiment_of_an_objective_with_a_recipe_refuses_it(messages: Messages) -> None:
    (message,) = messages(f"{OWN}{SEARCH}}}\ntrain: {{epochs: 3}}\n")

    assert message.startswith("cats.yaml:5: train: is for the tasks image_classification, ")
    assert "task: custom has `params` and its own code" in message


def test_load_experiment_of_a_model_with_a_last_step_of_its_own_refuses_it(
    messages: Messages, minimal: str
) -> None:
    assert messages(f"{minimal}search: {{max_steps: 9}}\n") == [
        "cats.yaml:4: search.max_steps: is for `task: custom` alone, and this is "
        "image_classification, whose last step is `epochs` (seen: 9)"
    ]


def test_load_experiment_with_hyperband_and_no_last_step_refuses_it(messages: Messages) -> None:
    assert messages(f"{OWN}{SEARCH}, pruner: hyperband}}\n") == [
        "cats.yaml:4: search.max_steps: is missing; hyperband needs the last step that a trial "
        "reports, or `epochs` in the space or in `params`"
    ]


@pytest.mark.parametrize(
    ("space", "params"),
    [("epochs: {int: [2, 9]}", ""), ("epochs: {choice: [2, 9]}", ""), ("", "epochs: 9")],
)
def test_load_experiment_with_hyperband_takes_epochs_for_the_last_step(
    load: Load, space: str, params: str
) -> None:
    text = f"{OWN}{SEARCH}, pruner: hyperband, space: {{{space}}}}}\nparams: {{{params}}}\n"

    assert load(text).search.pruner == "hyperband"


def test_last_step_of_an_objective_wins_over_a_parameter_called_epochs(load: Load) -> None:
    own = load(f"{OWN}params: {{epochs: 10}}\n{SEARCH}, max_steps: 1000}}\n")

    assert own.epochs({}) == 1000
    assert load(f"{OWN}params: {{epochs: 10}}\n{SEARCH}}}\n").epochs({"epochs": 7}) == 7


@pytest.mark.parametrize(
    ("described", "key"),
    [
        (".inf", "x"),
        ("{choice: [1, .nan]}", "x.choice.1"),
        ("{fixed: -.inf}", "x.fixed"),
        ("{float: [0, .inf]}", "x.float.1"),
        ("{float: [0, .inf], step: 1}", "x.float.1"),
    ],
)
def test_load_experiment_of_an_objective_with_a_value_that_is_not_finite_refuses_it(
    messages: Messages, described: str, key: str
) -> None:
    (message,) = messages(f"{OWN}{SEARCH}, space: {{x: {described}}}}}\n")

    assert message.startswith(f"cats.yaml:4: search.space.{key}: x must be a finite number (seen")


@pytest.mark.parametrize("name", ["dropout(p)", "a//b", "../a", "rate%"])
def test_load_experiment_of_an_objective_whose_key_mlflow_does_not_take_refuses_it(
    messages: Messages, name: str
) -> None:
    """Fails where any name will do: MLflow refused the whole run at its end."""
    space = f"space: {{'{name}': {{float: [0, 1]}}}}"
    (message,) = messages(f"{OWN}{SEARCH}, {space}}}\n")

    assert "cannot be a parameter in MLflow" in message


def test_load_experiment_of_an_objective_takes_names_that_mlflow_takes(load: Load) -> None:
    space = "space: {'model/layer 2:rate-x.y': {float: [0, 1]}}"
    assert load(f"{OWN}{SEARCH}, {space}}}\n").space.parameters
