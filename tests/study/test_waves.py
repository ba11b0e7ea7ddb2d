"""Waves, the queue and jobs of kin, through the feed and over a real record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.backends import NoJob
from runner.experiment import ChoiceParameter, FixedParameter, FloatParameter, IntParameter, Space
from runner.study import StudyRecord, post
from runner.study.storage import JOURNAL
from runner.study.waves import WaveRules
from runner.trial import Attempt, Decision, Hint, Job, Lease, Outcome
from tests.study.conftest import Opened, Searching

# Depth 2 trains the head alone; an epoch of it costs a hundredth.
MIXED = Space(
    {
        "depth": ChoiceParameter((0, 2)),
        "epochs": IntParameter(1, 4),
        "value": FloatParameter(0.0, 0.9),
    }
)


def hint_of(params: Mapping[str, Any]) -> Hint:
    is_head = params.get("depth") == 2
    cost = params["epochs"] * (0.01 if is_head else 1.0)
    return Hint("head" if is_head else None, cost)


def rules(size: int, *, fuse: int = 64, slots: int = 1, free_size: int = 1) -> WaveRules:
    return WaveRules(size, free_size, fuse, lambda: slots, hint_of)


def heads(epochs: int = 1) -> Space:
    """Trials that are all of kin."""
    value = FloatParameter(0.0, 0.9)
    return Space({"depth": FixedParameter(2), "epochs": FixedParameter(epochs), "value": value})


def take(opened: Opened, slot: int = 0) -> Job:
    job = opened.feed.next(Lease(slot))
    assert isinstance(job, Job)
    return job


def numbers(job: Job) -> list[int]:
    return [spec.key.trial for spec in job.trials]


def finish(opened: Opened, job: Job, outcome: Outcome = Outcome.COMPLETE) -> None:
    for spec in job.trials:
        opened.end(spec.key, outcome, 0.5 if outcome is Outcome.COMPLETE else None)


def drain(opened: Opened) -> list[list[int]]:
    """Run everything; the trials of each job."""
    jobs = []
    while isinstance(job := opened.feed.next(Lease(0)), Job):
        jobs.append(numbers(job))
        finish(opened, job)
    return jobs


def head_only(opened: Opened, among: range) -> list[int]:
    trials = opened.record.trials()
    return [number for number in among if trials[number].params["depth"] == 2]


def test_wave_is_written_whole_before_its_first_trial_begins(searching: Searching) -> None:
    with searching(MIXED, trials=20, waves=rules(8)) as opened:
        job = take(opened)
        states = [trial.state for trial in StudyRecord.read(opened.folder).trials()]
        assert len(states) == 8
        assert states.count("running") == len(job.trials)
        assert states.count("waiting") == 8 - len(job.trials)


def test_trials_of_kin_leave_as_one_job_and_the_others_one_by_one(searching: Searching) -> None:
    with searching(MIXED, trials=8, waves=rules(8)) as opened:
        jobs = drain(opened)
        heads = head_only(opened, range(8))
    assert 2 < len(heads) < 8
    assert sorted(jobs[0]) == heads
    assert [len(job) for job in jobs[1:]] == [1] * (8 - len(heads))


def test_job_of_kin_holds_no_more_trials_than_are_to_be_fused(searching: Searching) -> None:
    with searching(heads(), trials=8, waves=rules(8, fuse=3)) as opened:
        assert drain(opened) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_trials_of_kin_are_shared_out_among_the_free_slots(searching: Searching) -> None:
    with searching(heads(), trials=9, waves=rules(9, slots=2)) as opened:
        assert [len(take(opened, slot).trials) for slot in (0, 1)] == [5, 4]


def test_trials_of_kin_are_shared_out_among_slots_that_came_meanwhile(
    searching: Searching,
) -> None:
    nodes = [1]
    waves = WaveRules(9, 1, 3, lambda: nodes[0], hint_of)
    with searching(heads(), trials=9, waves=waves) as opened:
        assert len(take(opened, 0).trials) == 3
        nodes[0] = 4
        assert [len(take(opened, slot).trials) for slot in (1, 2, 3)] == [2, 2, 2]


def test_cheap_trials_of_a_wave_run_first_and_of_equals_the_earlier(searching: Searching) -> None:
    with searching(MIXED, trials=16, waves=rules(8, fuse=1)) as opened:
        order = [number for job in drain(opened) for number in job]
        trials = opened.record.trials()
    cost = {trial.number: hint_of(trial.params).cost for trial in trials}
    for wave in (range(8), range(8, 16)):
        assert order[wave.start : wave.stop] == sorted(wave, key=lambda n: (cost[n], n))
    assert order != sorted(order)


def test_cheap_first_with_several_slots(searching: Searching) -> None:
    with searching(MIXED, trials=8, waves=rules(8, fuse=1, slots=3)) as opened:
        begun = [numbers(take(opened, slot))[0] for slot in range(3)]
        trials = opened.record.trials()
    costs = [hint_of(trial.params).cost for trial in trials]
    assert begun == sorted(range(8), key=lambda number: (costs[number], number))[:3]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_trials_depend_on_seed_number_and_the_waves_told_before(
    searching: Searching, tmp_path: Path, sampler: str
) -> None:
    """Also where the driver is gone after every job."""
    settings: dict[str, Any] = {"sampler": sampler, "waves": rules(6, fuse=2), "trials": 24}
    with searching(MIXED, name="whole", **settings) as opened:
        drain(opened)
        whole = [(trial.params, trial.seed) for trial in opened.record.trials()]
    is_done = False
    while not is_done:
        with searching(MIXED, name="restarted", **settings) as opened:
            job = opened.feed.next(Lease(0))
            is_done = job is NoJob.DONE
            if isinstance(job, Job):
                finish(opened, job)
            restarted = [(trial.params, trial.seed) for trial in opened.record.trials()]
    assert restarted == whole


@pytest.mark.parametrize(
    "left", [1, 4, *(pytest.param(left, marks=pytest.mark.slow) for left in (0, 2, 3, 5))]
)
def test_wave_cut_short_by_a_kill_is_completed_before_any_of_it_runs(
    searching: Searching, left: int
) -> None:
    settings: dict[str, Any] = {"sampler": "tpe", "waves": rules(6, fuse=1), "trials": 18}
    with searching(MIXED, name="whole", **settings) as opened:
        drain(opened)
        whole = [(trial.params, trial.seed) for trial in opened.record.trials()]
    with searching(MIXED, name="cut", **settings) as opened:
        for _ in range(12):
            finish(opened, take(opened))
        before = (opened.folder / JOURNAL).read_bytes()
        take(opened)
        after = (opened.folder / JOURNAL).read_bytes()
        lines = after.removeprefix(before).splitlines(keepends=True)
    (opened.folder / JOURNAL).write_bytes(before + b"".join(lines[:left]))
    with searching(MIXED, name="cut", **settings) as opened:
        drain(opened)
        assert [(trial.params, trial.seed) for trial in opened.record.trials()] == whole
        assert opened.outcomes == ["complete"] * 18


def test_budget_cuts_a_wave_and_a_larger_one_goes_on(searching: Searching) -> None:
    with searching(MIXED, trials=10, waves=rules(8)) as opened:
        drain(opened)
        assert opened.outcomes == ["complete"] * 10
    with searching(MIXED, trials=11, waves=rules(8)) as opened:
        assert drain(opened) == [[10]]


def test_time_that_is_up_leaves_the_rest_of_a_wave_waiting_for_more_time(
    searching: Searching,
) -> None:
    with searching(MIXED, trials=8, waves=rules(8, fuse=1)) as opened:
        finish(opened, take(opened))
        opened.feed.budget.time_s = 0.0
        assert opened.no_job() is NoJob.DONE
        assert sorted(opened.outcomes) == ["complete"] + ["waiting"] * 7
    with searching(MIXED, trials=8, waves=rules(8, fuse=1)) as opened:
        assert opened.outcomes.count("waiting") == 7
        drain(opened)
        assert opened.outcomes == ["complete"] * 8


def test_given_settings_come_first_and_count_in_the_wave(searching: Searching) -> None:
    first = ({"depth": 0, "epochs": 4, "value": 0.5},)
    with searching(MIXED, trials=6, first=first, waves=rules(4, fuse=1)) as opened:
        order = [number for job in drain(opened) for number in job]
        origins = [trial.origin for trial in opened.record.trials()]
        waves = [trial.wave for trial in opened.record.trials()]
    assert origins == ["first:0"] + ["sampler"] * 5
    assert order[0] == 0
    assert waves == [(0, 4)] * 4 + [(4, 2)] * 2


def test_enqueued_setting_overtakes_the_rest_of_a_wave(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.study.feed.INBOX_EVERY_S", 0.0)
    with searching(MIXED, trials=9, waves=rules(8, fuse=1)) as opened:
        finish(opened, take(opened))
        post(opened.folder, "enqueue", {"params": {"depth": 0, "epochs": 4, "value": 0.125}})
        job = take(opened)
        assert numbers(job) == [8]
        assert job.trials[0].params["value"] == 0.125
        finish(opened, job)
        drain(opened)
        assert opened.outcomes == ["complete"] * 9


def test_enqueued_setting_takes_the_place_of_a_trial_that_has_not_begun(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole budget has been asked for; the last trial of the wave waits for a larger one."""
    monkeypatch.setattr("runner.study.feed.INBOX_EVERY_S", 0.0)
    with searching(MIXED, trials=8, waves=rules(8, fuse=1)) as opened:
        finish(opened, take(opened))
        post(opened.folder, "enqueue", {"params": {"depth": 0, "epochs": 4, "value": 0.125}})
        assert numbers(take(opened)) == [8]
        opened.end(Attempt(8, 0), Outcome.COMPLETE, 0.5)
        assert len(drain(opened)) == 6
        assert sorted(opened.outcomes) == ["complete"] * 8 + ["waiting"]
    with searching(MIXED, trials=8, waves=rules(8, fuse=1)) as opened:
        assert opened.no_job() is NoJob.DONE
    with searching(MIXED, trials=9, waves=rules(8, fuse=1)) as opened:
        drain(opened)
        assert opened.outcomes == ["complete"] * 9


def test_job_of_kin_begins_no_more_trials_than_the_budget_has_left(searching: Searching) -> None:
    with searching(heads(), trials=6, waves=rules(6)) as opened:
        take(opened)
    with searching(heads(), trials=2, waves=rules(6)) as opened:
        assert drain(opened) == [[0, 1, 2, 3, 4, 5]]
    with searching(heads(), trials=9, waves=rules(3, fuse=2)) as opened:
        assert drain(opened) == [[6, 7], [8]]


def test_lost_trials_of_a_job_run_again_by_themselves_and_only_then_count_as_lost(
    searching: Searching,
) -> None:
    with searching(heads(), trials=4, waves=rules(4)) as opened:
        job = take(opened)
        opened.end(job.trials[0].key, Outcome.COMPLETE, 0.5)
        for spec in job.trials[1:]:
            opened.end(spec.key, Outcome.LOST)
        assert opened.outcomes == ["complete"] + ["waiting (lost)"] * 3
        # The second is lost by itself as well, once and again: it alone is given up.
        assert take(opened).trials[0].key == Attempt(1, 1)
        opened.end(Attempt(1, 1), Outcome.LOST)
        assert take(opened).trials[0].key == Attempt(1, 2)
        opened.end(Attempt(1, 2), Outcome.LOST)
        assert drain(opened) == [[2], [3]]
        assert opened.outcomes == ["complete", "lost", "complete", "complete"]


def test_trial_of_a_job_pruned_at_its_rung_leaves_the_others_running(searching: Searching) -> None:
    with searching(heads(9), trials=3, pruner="asha", waves=rules(3)) as opened:
        keys = [spec.key for spec in take(opened).trials]
        answers = [opened.report(key, 1, 0.9 - 0.1 * key.trial) for key in keys]
        assert answers == [Decision.CONTINUE, Decision.STOP, Decision.STOP]
        for key in keys[1:]:
            opened.end(key, Outcome.PRUNED)
        assert opened.report(keys[0], 2, 0.9) is Decision.CONTINUE
        opened.end(keys[0], Outcome.COMPLETE, 0.9)
        assert opened.outcomes == ["complete", "pruned", "pruned"]
        runs = opened.runs()
    assert [runs[number].status for number in range(3)] == ["FINISHED", "KILLED", "KILLED"]


def test_limit_of_time_is_for_each_trial_of_a_job(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    with searching(heads(9), trials=3, trial_time_s=60.0, waves=rules(3)) as opened:
        keys = {spec.key for spec in take(opened).trials}
        begun_s = opened.feed.running[0].started_s
        monkeypatch.setattr("runner.study.feed.time.monotonic", lambda: begun_s + 179.0)
        assert opened.feed.cancellations() == {}
        monkeypatch.setattr("runner.study.feed.time.monotonic", lambda: begun_s + 181.0)
        assert opened.feed.cancellations() == dict.fromkeys(keys, Decision.TIME_OUT)


@pytest.mark.parametrize(
    ("sampler", "sizes"), [("random", [12, 12]), ("tpe", [10, 2]), ("cmaes", [2, 2])]
)
def test_wave_is_larger_while_no_proposal_depends_on_a_result(
    searching: Searching, sampler: str, sizes: list[int]
) -> None:
    with searching(
        MIXED, sampler=sampler, trials=24, waves=rules(2, fuse=1, free_size=12)
    ) as opened:
        seen = []
        for size in sizes:
            begun = len(opened.record.trials())
            for _ in range(size):
                finish(opened, take(opened))
            seen.append(opened.record.trials()[begun].wave)
    assert seen == [(0, sizes[0]), (sizes[0], sizes[1])]
