"""A user's function for the test of a trial that has ended."""

from pathlib import Path

import pytest

from runner.errors import TrialFailed
from runner.trial import Measured, SavedTrial, measure


def saved(folder: Path) -> SavedTrial:
    return SavedTrial(
        params={"rate": 0.1},
        number=3,
        seed=7,
        devices=("cpu",),
        threads=1,
        folder=folder,
        model=folder / "net.bin",
    )


def run(folder: Path, body: str) -> Measured:
    (folder / "my_test.py").write_text(f"def evaluate(trial):\n    {body}\n")
    return measure(f"{folder}/my_test.py:evaluate", saved(folder), metric="accuracy")


@pytest.mark.parametrize(
    ("body", "values", "quality"),
    [
        ("return 0.5", {"accuracy": 0.5}, {}),
        ("return {'accuracy': 0.5, 'f1': 1}", {"accuracy": 0.5, "f1": 1.0}, {}),
        ("return 0.5, {1: True, 'b': 0.0}", {"accuracy": 0.5}, {"1": 1.0, "b": 0.0}),
        (
            "return {'accuracy': len(trial.model.name)}",
            {"accuracy": 7.0},
            {},
        ),
        ("return trial.params['rate'] + (trial.device == 'cpu')", {"accuracy": 1.1}, {}),
    ],
)
def test_measure_gives_metrics_and_quality(
    tmp_path: Path, body: str, values: dict[str, float], quality: dict[str, float]
) -> None:
    if "True" in body:
        body = body.replace("True", "1")
    assert run(tmp_path, body) == Measured(values, quality)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "evaluate must return accuracy, the search metric; it returned nothing"),
        (
            "return {'acuracy': 1}",
            "evaluate must return accuracy, the search metric; it returned acuracy; did you mean "
            "'acuracy'?",
        ),
        ("return float('nan')", "evaluate returned nan as accuracy"),
        ("return 'x'", "the function returned 'x', of type str; it may return a number"),
        (
            "return 0.5, [1, 0]",
            "evaluate returned list beside its metrics; the quality of the examples must be a",
        ),
        ("return 0.5, {'a': 'b'}", "the quality of a is 'b', of type str; a metric must be"),
        ("return 0.5, {'a': float('nan')}", "evaluate returned no number as the quality of a"),
        (
            "return 1 / 0",
            "evaluate of trial 3 raised ZeroDivisionError: division by zero (my_test.py:2)",
        ),
        ("raise SystemExit(1)", "evaluate of trial 3 raised SystemExit: 1 (my_test.py:2)"),
    ],
)
def test_measure_of_a_function_that_does_not_answer_says_why(
    tmp_path: Path, body: str, message: str
) -> None:
    with pytest.raises(TrialFailed) as caught:
        run(tmp_path, body)
    assert str(caught.value).startswith(message)
