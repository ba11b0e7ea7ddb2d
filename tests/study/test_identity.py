"""Whether two searches are the same study, and what is different if not."""

import json

import pytest

from runner.errors import StudyChanged
from runner.experiment import Experiment
from runner.study.identity import differences, require_same


def experiment_of(**search: object) -> Experiment:
    return Experiment.from_resolved(
        {
            "name": "cats",
            "data": {"source": "bundled", "name": "digits"},
            "model": {"name": "resnet10t", "weights": "none", "arguments": {"channels": [8, 16]}},
            "search": {
                "space": {
                    "optimizer": {"choice": ["sgd", "adamw"]},
                    "epochs": {"int": [2, 6], "step": 2},
                    "momentum": {"float": [0.8, 0.9], "when": {"optimizer": "sgd"}},
                    "layer_decay": {"float": [0.6, 1], "when": {"freeze_depth": {"below": 3}}},
                },
                "first": [{"epochs": 4, "optimizer": "sgd"}],
                **search,
            },
        }
    )


def test_require_same_of_an_experiment_and_what_its_study_has_stored_is_silent() -> None:
    stored = json.loads(json.dumps(experiment_of().identity()))
    require_same("cats", stored, experiment_of(trials=99, time="2h", slots=3).identity())


def test_differences_name_every_leaf_with_both_values() -> None:
    old = {"seed": 0, "model": {"name": "a", "arguments": {"x": [1]}}, "gone": None}
    new = {"seed": 1, "model": {"name": "b", "arguments": {"x": [1, 2]}}, "new": "'here'"}
    assert list(differences(old, new)) == [
        "gone: None -> (not there)",
        "model.arguments.x: [1] -> [1, 2]",
        "model.name: 'a' -> 'b'",
        "new: (not there) -> \"'here'\"",
        "seed: 0 -> 1",
    ]


def test_differences_of_a_value_that_became_a_mapping_show_both() -> None:
    assert list(differences({"a": 1}, {"a": {"b": 2}})) == ["a: 1 -> {'b': 2}"]


def test_require_same_lists_the_differences_and_what_to_do() -> None:
    new = experiment_of(sampler="random").identity()
    new["seed"] = 5
    with pytest.raises(StudyChanged) as caught:
        require_same("cats", experiment_of().identity(), new, detail="2 files are new\n")
    assert str(caught.value) == (
        "the study 'cats' was begun with other settings:\n"
        "  search.sampler: 'tpe' -> 'random'\n"
        "  seed: 0 -> 5\n"
        "2 files are new\n"
        "Its trials would not be comparable. Put the settings back to continue it, or add --new "
        "to begin the next study under the same name (the old one is kept)."
    )
