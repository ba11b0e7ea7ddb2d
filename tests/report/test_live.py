"""What is shown while a search runs."""

import io
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from runner.report.live import Goal, LiveView, PlainView, duration, short
from runner.study import TrialRecord
from runner.trial import Lease, Outcome, Report, Share

GOAL = Goal("cats", "accuracy", is_maximized=True, trials=4, time_s=None)
BEGAN = datetime(2026, 1, 1)


def trial(number, outcome=None, value=None, **changes) -> TrialRecord:
    values = {
        "number": number,
        "outcome": outcome,
        "is_waiting": False,
        "value": value,
        "best_epoch": 2,
        "params": {"learning_rate": 0.00123456, "freeze_depth": 3},
        "rungs": {},
        "failed_at": None,
        "origin": "sampler",
        "seed": 0,
        "wave": (number, 1),
        "attempt": 0,
        "reason": "",
        "traceback": "",
        "notes": {},
        "started": BEGAN,
        "ended": BEGAN + timedelta(seconds=10),
    }
    return TrialRecord(**{**values, **changes})


def play(view) -> None:
    """Two trials at a time: one complete, one pruned, one failed, one still running."""
    view.began(trial(0), Lease(0), 3)
    view.began(trial(1), Lease(1), 3)
    view.reported(0, Report(1, {"validation/accuracy": 0.7}, 0))
    view.ended(trial(1, Outcome.PRUNED, 0.3, reason="pruned at epoch 1"))
    view.began(trial(2), Lease(1), 3)
    view.ended(trial(0, Outcome.COMPLETE, 0.9))
    view.ended(trial(2, Outcome.FAILED, reason="the training loss became nan"))
    view.began(trial(3, attempt=1), Lease(0), 5)
    view.reported(3, Report(2, {"validation/accuracy": 0.8}, 0))


def test_plain_view_says_a_line_an_event():
    out = io.StringIO()

    play(PlainView(GOAL, out))

    assert out.getvalue().splitlines() == [
        "[0/4] trial 0 begins on cpu: learning_rate=0.00123  freeze_depth=3",
        "[0/4] trial 1 begins on cpu: learning_rate=0.00123  freeze_depth=3",
        "[1/4] trial 1 pruned at epoch 1: accuracy 0.3000",
        "[1/4] trial 2 begins on cpu: learning_rate=0.00123  freeze_depth=3",
        "[2/4] trial 0 complete: accuracy 0.9000 at epoch 2; best 0.9000 (trial 0)",
        "[3/4] trial 2 failed: the training loss became nan; best 0.9000 (trial 0)",
        "[3/4] trial 3 goes on on cpu: learning_rate=0.00123  freeze_depth=3",
    ]


def test_views_say_where_the_log_of_a_failure_lies_and_whether_it_is_run_again():
    log = "/store/trials/00002/log.txt"
    ends = [
        trial(2, Outcome.USER_ERROR, reason="ValueError: no", log=log, is_waiting=True),
        trial(2, Outcome.LOST, reason=f"the worker died; its log is {log}", log=log),
        trial(3, Outcome.TIMED_OUT, log="/store/trials/00003/log.txt"),
        trial(4, Outcome.PRUNED, 0.3, reason="pruned at epoch 1", log="/store/4"),
        trial(5, Outcome.PAUSED, reason="stopped", log="/store/5"),
    ]
    out, live = io.StringIO(), LiveView(GOAL)
    for view in (PlainView(GOAL, out), live):
        for each in ends:
            view.began(each, Lease(0), 3)
            view.ended(each)
    said = [line.partition("] ")[2] for line in out.getvalue().splitlines()[1::2]]
    assert said == [
        f"trial 2 user_error: ValueError: no; its log is {log}; it is run again",
        f"trial 2 lost: the worker died; its log is {log}",
        "trial 3 timed_out; its log is /store/trials/00003/log.txt",
        "trial 4 pruned at epoch 1: accuracy 0.3000",
        "trial 5 paused: stopped",
    ]
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(live.render())
    text = console.export_text()
    assert all(line in text for line in said[:3])
    assert "trial 5 paused" not in text


def test_views_say_how_many_others_are_on_a_shared_device():
    share = Share("GPU-a", 2, 20.0)
    leases = [Lease(0, ("cuda:0",), share=share), Lease(1, ("cuda:0",), share=share), Lease(2)]
    out, live = io.StringIO(), LiveView(GOAL)
    plain = PlainView(GOAL, out)
    for view in (plain, live):
        for number, lease in enumerate(leases):
            view.began(trial(number), lease, 3)
    assert [line.split(": ")[0] for line in out.getvalue().splitlines()] == [
        "[0/4] trial 0 begins on cuda:0",
        "[0/4] trial 1 begins on cuda:0 beside 1",
        "[0/4] trial 2 begins on cpu",
    ]
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(live.render())
    text = console.export_text()
    assert "0 (cuda:0 beside 1)" in text
    assert "1 (cuda:0 beside 1)" in text
    assert "2 (cpu)" in text


def test_live_view_shows_slots_the_best_and_the_time_left():
    view = LiveView(GOAL)
    play(view)
    console = Console(width=140, record=True, file=io.StringIO())

    console.print(view.render())

    text = console.export_text()
    assert "3/4 trials (1 pruned, 1 complete, 1 failed)" in text
    assert "about 5 s left" in text  # one trial of 10 s, two at a time
    assert "0 (cpu)" in text
    assert "2/5" in text
    assert "0.8000" in text
    assert "0.9000" in text


def test_views_say_values_in_their_own_unit_and_the_lowest_is_the_best():
    out = io.StringIO()
    view = PlainView(Goal("ages", "mae", is_maximized=False, trials=2, time_s=None), out)
    for number, value in enumerate((1300.25, 1234.5)):
        view.began(trial(number), Lease(0), 3)
        view.ended(trial(number, Outcome.COMPLETE, value))

    assert out.getvalue().splitlines()[1::2] == [
        "[1/2] trial 0 complete: mae 1300.2 at epoch 2; best 1300.2 (trial 0)",
        "[2/2] trial 1 complete: mae 1234.5 at epoch 2; best 1234.5 (trial 1)",
    ]


def test_live_view_remembers_the_trials_of_earlier_commands():
    view = LiveView(GOAL)
    view.remember([trial(0, Outcome.COMPLETE, 0.9), trial(1)])
    console = Console(width=140, record=True, file=io.StringIO())

    console.print(view.render())

    assert "1/4 trials" in console.export_text()


def shown(view: LiveView) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(view.render())
    return console.export_text()


def test_live_view_of_hundreds_of_slots_shows_the_first_and_still_the_best():
    view = LiveView(GOAL)
    for number in reversed(range(500)):
        view.began(trial(number), Lease(number), 3)
    view.ended(trial(499, Outcome.COMPLETE, 0.9))

    text = shown(view)

    assert "15 (cpu)" in text
    assert "16 (cpu)" not in text
    assert "and 483 more" in text
    assert "0.9000" in text


def test_live_view_shows_the_five_best_and_of_equals_the_earlier():
    view = LiveView(GOAL)
    for number, value in enumerate((0.5, 0.9, 0.7, 0.9, 0.8, 0.6, 0.95)):
        view.ended(trial(number, Outcome.COMPLETE, value))

    rows = [line.split()[:2] for line in shown(view).splitlines() if line.strip()[:1].isdigit()]

    assert rows == [["1", "6"], ["2", "1"], ["3", "3"], ["4", "4"], ["5", "2"]]


def test_live_view_counts_a_trial_that_was_paused_once_when_it_has_ended():
    view = LiveView(GOAL)
    view.ended(trial(0, Outcome.PAUSED, is_waiting=True))
    assert "0/4 trials" in shown(view)
    view.ended(trial(0, Outcome.COMPLETE, 0.9))
    view.remember([trial(0, Outcome.COMPLETE, 0.9)])

    assert "1/4 trials (1 complete)" in shown(view)


@pytest.mark.parametrize(
    ("seconds", "said"), [(45, "45 s"), (600, "10 min"), (7500, "2 h 05 min")]
)
def test_duration_is_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_short_rounds_numbers_for_reading():
    assert short({"a": 0.000123456, "b": 3, "c": "adamw"}) == "a=0.000123  b=3  c=adamw"


def test_live_view_shows_values_that_look_like_markup():
    """Fails where they are read as markup: the view would end, and the search with it."""
    view = LiveView(GOAL)
    prompt = trial(0, params={"prompt": "[INST] {q} [/INST]"})
    view.began(prompt, Lease(0), 3)
    console = Console(width=140, record=True, file=io.StringIO())

    console.print(view.render())

    assert "[INST] {q} [/INST]" in console.export_text()
