"""What is found out before the first trial."""

from pathlib import Path
from typing import Any

import pytest

from runner.trial import Finding
from tests.trial.custom.conftest import Bench


def findings(objective: Any, bench: Bench) -> list[tuple[str, str, str | None]]:
    found: tuple[Finding, ...] = objective.inspect(bench.lease).findings
    return [(each.key, each.rule, each.seen) for each in found]


def test_facts_of_a_function_say_what_is_searched(bench: Bench) -> None:
    bench.write("helping.py", "")
    objective = bench.function(
        "import helping\ndef objective(trial): pass\ndef evaluate(trial): pass",
        evaluate="my_train.py:evaluate",
        search={"space": {"rate": {"float": [0, 1]}}},
    )
    facts = objective.inspect(bench.lease)
    code = facts.fingerprints["own_code"]
    assert facts.findings == ()
    assert facts.max_freeze_depth is None
    assert dict(facts.details) == {
        "summary": "my_train.py:objective, searched by accuracy (maximize)",
        "cards": {"objective": "my_train.py:objective", "code": code[:12]},
        "notes": [],
        "lines": [
            "objective: my_train.py:objective",
            f"code: my_train.py, helping.py ({code[:12]})",
            "varied: rate",
        ],
        "folder": str(bench.folder),
    }


def test_facts_without_evaluate_say_what_promotion_will_go_by(bench: Bench) -> None:
    facts = bench.function("def objective(trial): pass").inspect(bench.lease)
    assert facts.details["notes"] == [
        "no `evaluate` is given: promotion will go by validation accuracy, by which trials are "
        "chosen, so it is optimistic"
    ]


def test_changed_code_is_another_fingerprint_also_in_a_module_beside_it(bench: Bench) -> None:
    bench.write("helping.py", "x = 1")
    objective = bench.function("import helping\ndef objective(trial): pass")
    first = objective.inspect(bench.lease).fingerprints
    bench.write("helping.py", "x = 2")
    assert objective.inspect(bench.lease).fingerprints != first
    bench.write("helping.py", "x = 1")
    assert objective.inspect(bench.lease).fingerprints == first


def test_function_and_evaluate_are_both_checked(bench: Bench) -> None:
    objective = bench.function("def objectiv(trial): pass", evaluate="my_test.py:evaluate")
    assert findings(objective, bench) == [
        (
            "objective",
            "my_train.py has no function 'objective'; it has objectiv",
            "objective",
        ),
        ("evaluate", f"no such file: {bench.folder / 'my_test.py'}", "my_test.py"),
    ]


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        ("test/accuracy", "must be a name without a slash; it is reported as validation/<name>"),
        ("F1 (%)", "'F1 (%)' cannot be a metric's name: it must be letters, digits, '_', '-', "),
    ],
)
def test_search_metric_that_nothing_could_report_is_found(
    bench: Bench, metric: str, rule: str
) -> None:
    objective = bench.function("def objective(trial): pass", search={"metric": metric})
    ((key, found, _),) = findings(objective, bench)
    assert key == "search.metric"
    assert found.startswith(rule)


def test_facts_of_a_command_say_what_is_run(bench: Bench) -> None:
    bench.write("train.py", "import helping")
    bench.write("helping.py", "")
    bench.write("settings.json", "{}")
    objective = bench.command(
        "python", "train.py", "settings.json", "--rate", "{rate}", params={"rate": 1}
    )
    facts = objective.inspect(bench.lease)
    assert facts.details["summary"] == (
        "python train.py settings.json --rate '{rate}', searched by accuracy (maximize)"
    )
    assert "train.py, helping.py, settings.json" in facts.details["lines"][1]
    bench.write("settings.json", "{} ")
    assert objective.inspect(bench.lease).fingerprints != facts.fingerprints


def test_unknown_and_uncertain_places_of_a_command_are_found(bench: Bench) -> None:
    objective = bench.command(
        "sh",
        "{lerning_rate} {learning_rate} {momentum} {depth} {seed} {{print}}",
        params={"depth": 1},
        search={
            "space": {
                "learning_rate": {"float": [0, 1]},
                "optimizer": {"choice": ["sgd", "adam"]},
                "momentum": {"float": [0, 1], "when": {"optimizer": "sgd"}},
                "depth": {"int": [1, 3], "when": {"optimizer": "sgd"}},
            }
        },
    )
    assert findings(objective, bench) == [
        (
            "command",
            "{lerning_rate} is no parameter; {{lerning_rate}} stands for those characters",
            "lerning_rate",
        ),
        (
            "command",
            "{momentum} has no value in trials where its condition does not hold; give it one in "
            "`params`",
            "momentum",
        ),
    ]
    assert "learning_rate" in objective.inspect(bench.lease).findings[0].allowed


def test_parameter_with_a_name_of_the_trials_own_is_found_where_it_is_used(bench: Bench) -> None:
    objective = bench.command("sh", "{seed}", params={"seed": 1, "step": 2})
    assert findings(objective, bench) == [
        ("command", "{seed} means the trial's own seed; give the parameter another name", "seed")
    ]


def test_program_that_is_not_there_is_found(bench: Bench) -> None:
    (bench.folder / "train.sh").write_text("")
    assert findings(bench.command("no-such-program"), bench) == [
        ("command", "no such program on PATH", "no-such-program")
    ]
    assert findings(bench.command("./train.sh"), bench) == [
        ("command", f"no such program in {bench.folder} (or it is not executable)", "./train.sh")
    ]
    Path(bench.folder, "train.sh").chmod(0o755)
    assert findings(bench.command("./train.sh"), bench) == []


def test_words_that_cannot_be_paths_are_no_files(bench: Bench) -> None:
    assert findings(bench.command("sh", "-c", "x" * 5000), bench) == []
