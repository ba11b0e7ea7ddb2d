"""What `plan` says before a search."""

import pytest

from runner.backends.shares import Device
from runner.experiment import Experiment
from runner.study import longest_trial, plan_lines
from runner.study.packing import most_packed
from runner.study.planning import _packed_here


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
        "segments": [],
        "wave": 1,
        "wave_without_results": 1,
        "packed": 1,
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


def test_plan_lines_say_when_the_sampler_will_be_slow():
    line = (
        "sampler: gp takes seconds to propose a trial after some hundred; tpe takes milliseconds"
    )
    by_gp = {"name": "n", "search": {"sampler": "gp", "pruner": "none"}}
    assert line in plan_lines(made_plan(experiment=by_gp, trials=100))
    assert line not in plan_lines(made_plan(experiment=by_gp, trials=40))
    assert line not in plan_lines(made_plan(trials=100))


def test_plan_lines_say_when_a_population_is_compared():
    made = made_plan(trials=24, segments=[[0, 2], [2, 4], [4, 5]], wave_without_results=10**6)
    assert "population: 8 at a time, compared after epoch 2, 4" in plan_lines(made)
    assert not any(line.startswith("waves") for line in plan_lines(made))


def test_plan_lines_say_how_many_trials_may_share_a_gpu():
    line = (
        "packing: up to 3 trials at a time on a GPU, each where the memory that trials like it "
        "were measured to need is free; the first runs alone"
    )
    assert line in plan_lines(made_plan(packed=3))
    assert not any(line.startswith("packing") for line in plan_lines(made_plan()))


@pytest.mark.parametrize(
    ("asked", "gib", "packed"),
    [
        ({}, 40.0, 4),
        ({"pack": 2}, 40.0, 2),
        ({"pack": 1}, 40.0, 1),
        ({"slots": 3}, 40.0, 3),
        ({"devices": ["cuda:0"]}, 40.0, 4),
        ({"devices": ["cpu"]}, 40.0, 1),
        ({}, None, 1),
    ],
)
def test_plan_packs_what_this_machine_can(monkeypatch, asked, gib, packed):
    device = Device("cuda:0", "GPU-a", "GPU-a", 0.0, gib)
    monkeypatch.setattr("runner.study.planning.cuda_devices", lambda: [device])
    experiment = Experiment.from_resolved(
        {
            "name": "cats",
            "data": {"source": "bundled", "name": "digits"},
            "model": {"name": "resnet18"},
            "search": asked,
        }
    )
    assert _packed_here(experiment) == packed


def test_plan_packs_nothing_without_a_gpu_nor_an_objective_of_ones_own(monkeypatch):
    experiment = Experiment.from_resolved(
        {
            "name": "own",
            "task": "custom",
            "command": ["true"],
            "search": {"metric": "accuracy", "direction": "maximize", "pack": 4},
        }
    )
    assert most_packed(experiment) == 1
    monkeypatch.setattr("runner.study.planning.cuda_devices", lambda: [])
    digits = {"source": "bundled", "name": "digits"}
    asked = {"name": "cats", "data": digits, "model": {"name": "resnet18"}}
    assert _packed_here(Experiment.from_resolved(asked)) == 1


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
