"""What `plan` says before a search."""

import pytest

from runner.experiment import Experiment
from runner.study import longest_trial, plan_lines


def test_plan_lines_hold_the_notes_that_a_search_begins_with():
    made = {
        "experiment": {"name": "n", "search": {"sampler": "tpe", "pruner": "none"}},
        "details": {
            "lines": ["data: d", "model: m"],
            "notes": ["5 of 54 texts are longer than 64 tokens and are cut there"],
        },
        "space": {"learning_rate": {}},
        "settings_in_space": None,
        "trials": 4,
        "first": [],
        "epochs_at_most": 5,
        "rungs": [],
    }

    assert plan_lines(made)[-6:] == [
        "data: d",
        "model: m",
        "note: 5 of 54 texts are longer than 64 tokens and are cut there",
        "space: learning_rate",
        "search: 4 trials by tpe, 0 given settings first; at most 5 epochs each",
        "rungs: none; every trial runs to its end",
    ]


@pytest.mark.parametrize(
    ("space", "params", "longest"),
    [
        ({"epochs": {"choice": ["few", "many"]}}, {}, None),
        ({"epochs": {"choice": ["few", 7, 3]}}, {}, 7),
        ({"epochs": {"choice": [0.5, 1.5]}}, {"epochs": 4}, None),
        ({"epochs": {"int": [2, 9]}}, {"epochs": 4}, 9),
        ({}, {"epochs": 4}, 4),
    ],
)
def test_longest_trial_of_an_objective_is_known_where_epochs_are_numbers(space, params, longest):
    experiment = Experiment.model_validate(
        {
            "name": "own",
            "task": "custom",
            "objective": "a.py:train",
            "params": params,
            "search": {"metric": "error", "direction": "minimize", "space": space},
        }
    )

    assert longest_trial(experiment, experiment.space) == longest
