"""What `plan` says before a search."""

import pytest

from runner.experiment import Experiment
from runner.study import longest_trial, plan_lines


def made_plan(**changes):
    return {
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
        "wave": 1,
        "wave_without_results": 1,
        **changes,
    }


def test_plan_lines_hold_the_notes_that_a_search_begins_with():
    assert plan_lines(made_plan())[-6:] == [
        "data: d",
        "model: m",
        "note: 5 of 54 texts are longer than 64 tokens and are cut there",
        "space: learning_rate",
        "search: 4 trials by tpe, 0 given settings first; at most 5 epochs each",
        "rungs: none; every trial runs to its end",
    ]


@pytest.mark.parametrize(
    ("wave", "free", "line"),
    [
        (16, 16, "waves: 16 trials are asked for at once; the cheap ones of a wave run first"),
        (
            1,
            64,
            "waves: trials are asked one by one, 64 where no proposal depends on a result; "
            "the cheap ones of a wave run first",
        ),
    ],
)
def test_plan_lines_say_how_many_trials_are_asked_for_at_once(wave, free, line):
    assert line in plan_lines(made_plan(wave=wave, wave_without_results=free))


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
