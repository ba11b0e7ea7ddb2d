"""What `plan` says before a search."""

from runner.study import plan_lines


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
