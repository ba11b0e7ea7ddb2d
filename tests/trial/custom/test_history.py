"""Reports of a trial over all its attempts."""

import json
import math

import pytest

from runner.errors import TrialFailed
from runner.trial.custom.history import History


def history(*values: float, is_maximized: bool = True) -> History:
    made = History("accuracy", is_maximized)
    for step, value in enumerate(values, start=1):
        made.add(step, {"accuracy": value})
    return made


@pytest.mark.parametrize(("is_maximized", "best"), [(True, (0.9, 2)), (False, (0.1, 4))])
def test_best_is_by_direction_and_the_first_of_equals(
    is_maximized: bool, best: tuple[float, int]
) -> None:
    made = history(0.5, 0.9, math.nan, 0.1, 0.9, 0.1, is_maximized=is_maximized)
    assert made.best == best


def test_best_of_other_metrics_alone_is_none() -> None:
    made = History("accuracy", is_maximized=True)
    made.add(1, {"train/accuracy": 0.5})
    assert made.best is None


def test_add_of_the_same_step_adds_to_the_report() -> None:
    made = history(0.5)
    report = made.add(1, {"loss": 2})
    assert report.metrics == {"validation/accuracy": 0.5, "validation/loss": 2.0}
    assert made.reports == [report]


def test_add_of_the_same_metric_twice_in_a_step_is_refused() -> None:
    with pytest.raises(TrialFailed, match="^step 1 has validation/accuracy already; report it"):
        history(0.5).add(1, {"accuracy": 0.5})


def test_add_of_a_step_that_has_gone_by_is_refused() -> None:
    with pytest.raises(TrialFailed) as caught:
        history(0.5, 0.6).add(1, {"loss": 2})
    assert str(caught.value) == (
        "step 1 is reported after step 2; steps must ascend, also when a trial goes on from its "
        "checkpoint"
    )


@pytest.mark.parametrize(
    ("reported", "message"),
    [
        ({}, "(search.metric); it reported nothing"),
        (
            {"acuracy": 1.0, "train/loss": 0.5},
            "the trial never reported accuracy (validation/accuracy), the metric that the search "
            "is on (search.metric); it reported validation/acuracy, train/loss; did you mean "
            "search.metric: acuracy?",
        ),
        ({f"m{n}": 0.0 for n in range(10)}, "validation/m7 and 2 more"),
        ({"accuracy": math.nan}, "validation/accuracy was not a finite number in any of 1 steps"),
    ],
)
def test_missing_names_the_metric_and_what_was_reported(
    reported: dict[str, float], message: str
) -> None:
    made = History("accuracy", is_maximized=True)
    if reported:
        made.add(1, reported)
    assert message in made.missing()


def test_restore_gives_what_was_kept_with_nan_and_time_stamps() -> None:
    made = history(0.5, math.nan)
    again = History("accuracy", is_maximized=True)
    again.restore(json.loads(json.dumps(made.to_json(seconds=1.5))))
    assert again.seconds == 1.5
    assert again.reports[0] == made.reports[0]
    assert again.reports[1].time_ms == made.reports[1].time_ms
    assert math.isnan(again.reports[1].metrics["validation/accuracy"])


def test_forget_after_leaves_what_came_before() -> None:
    made = history(0.5, 0.9)
    made.forget_after(1)
    assert made.best == (0.5, 1)
