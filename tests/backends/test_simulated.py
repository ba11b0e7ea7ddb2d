"""The simulated clock, its slots, and how busy they were."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from runner.backends import NoJob, SimulatedBackend
from runner.trial import Attempt, Decision, Ending, Facts, Job, Lease, Outcome, Report, TrialSpec
from tests.backends.feeds import Trials
from tests.objectives import ScriptedTimes


def test_run_on_two_slots_takes_the_time_of_the_longer_one(tmp_path: Path) -> None:
    jobs = [[{"epochs": 3, "epoch_s": 10.0}], [{"epochs": 2, "epoch_s": 20.0}]]
    feed = Trials(tmp_path, *jobs)
    backend = SimulatedBackend(ScriptedTimes(), slots=2)
    backend.run(feed)
    assert backend.now_s == 40.0
    assert backend.busy_s == 70.0
    assert [key.trial for key, _ in feed.endings] == [0, 1]


def test_run_gives_reports_in_the_order_of_simulated_time(tmp_path: Path) -> None:
    order: list[tuple[int, int]] = []
    feed = Trials(
        tmp_path,
        [{"epochs": 3, "epoch_s": 10.0}],
        [{"epochs": 2, "epoch_s": 12.0}],
        on_report=lambda key, report: order.append((key.trial, report.step)),
    )
    SimulatedBackend(ScriptedTimes(), slots=2).run(feed)
    assert order == [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3)]


def test_run_gives_a_free_slot_the_next_trial_at_once(tmp_path: Path) -> None:
    times = [50.0, 10.0, 10.0, 10.0]
    feed = Trials(tmp_path, *[[{"epoch_s": time_s}] for time_s in times])
    backend = SimulatedBackend(ScriptedTimes(), slots=2)
    backend.run(feed)
    assert backend.now_s == 50.0
    assert {key.trial: slot for key, slot in feed.slots.items()} == {0: 0, 1: 1, 2: 1, 3: 1}
    assert backend.busy_s / (backend.now_s * 2) == pytest.approx(0.8)


def test_run_of_a_job_of_two_trials_holds_its_slot_until_both_have_ended(tmp_path: Path) -> None:
    feed = Trials(tmp_path, [{"epoch_s": 5.0}, {"epoch_s": 30.0}], [{"epoch_s": 1.0}])
    backend = SimulatedBackend(ScriptedTimes(), slots=1)
    backend.run(feed)
    assert backend.now_s == 31.0


def test_run_of_a_cancelled_trial_ends_it_at_its_next_event(tmp_path: Path) -> None:
    feed = Trials(tmp_path, [{"epochs": 9, "epoch_s": 10.0}], cancel={0: Decision.STOP})
    backend = SimulatedBackend(ScriptedTimes(), slots=1)
    backend.run(feed)
    assert feed.outcomes == {(0, 0): Outcome.PRUNED}
    assert feed.reports == {}
    assert backend.now_s == 10.0


class Working(Trials):
    """A driver that works for seconds before it answers."""

    worked_s = 0.0
    next_s = report_s = 0.0
    answer = Decision.CONTINUE

    def next(self, lease: Lease) -> Job | NoJob:
        self.worked_s += self.next_s
        return super().next(lease)

    def report(self, key: Attempt, report: Report) -> Decision:
        super().report(key, report)
        self.worked_s += self.report_s
        return self.answer

    def run(self, *, slots: int) -> SimulatedBackend:
        backend = SimulatedBackend(
            ScriptedTimes(), slots=slots, driver_clock=lambda: self.worked_s
        )
        backend.run(self)
        return backend


def test_run_with_a_driver_that_takes_time_has_free_slots_wait_for_it(tmp_path: Path) -> None:
    feed = Working(tmp_path, [{"epoch_s": 10.0}], [{"epoch_s": 10.0}], [{"epoch_s": 1.0}])
    feed.next_s = 2.0
    backend = feed.run(slots=2)
    # Given out after 2, 4 and, when the first is free, 12 and 2 more.
    assert backend.waited_s == 2.0 + 4.0 + 2.0
    assert backend.busy_s == 21.0


def test_run_of_a_trial_goes_on_while_its_reports_wait_for_the_driver(tmp_path: Path) -> None:
    feed = Working(tmp_path, [{"epochs": 3, "epoch_s": 10.0}])
    feed.report_s = 4.0
    backend = feed.run(slots=1)
    assert backend.busy_s == 30.0
    # The last report is answered when the trial has ended.
    assert backend.now_s == 34.0


def test_run_of_a_trial_that_is_stopped_goes_on_until_it_hears_of_it(tmp_path: Path) -> None:
    feed = Working(tmp_path, [{"epochs": 3, "epoch_s": 10.0}])
    feed.report_s, feed.answer = 4.0, Decision.STOP
    backend = feed.run(slots=1)
    assert (backend.busy_s, backend.late_s) == (14.0, 4.0)


def test_run_of_a_driver_that_takes_no_time_lets_no_slot_wait(tmp_path: Path) -> None:
    feed = Trials(tmp_path, *[[{"epoch_s": time_s}] for time_s in (50.0, 10.0, 10.0)])
    backend = SimulatedBackend(ScriptedTimes(), slots=2)
    backend.run(feed)
    assert backend.waited_s == 0.0


def test_run_of_a_feed_that_waits_for_nothing_is_refused(tmp_path: Path) -> None:
    class Waiting(Trials):
        def next(self, lease: Lease) -> Job | NoJob:
            return NoJob.WAIT

    with pytest.raises(RuntimeError, match="the feed waits although no job is running"):
        SimulatedBackend(ScriptedTimes(), slots=3).run(Waiting(tmp_path))


def test_run_of_five_thousand_trials_on_a_hundred_slots_replays_in_seconds(tmp_path: Path) -> None:
    class Constant:
        def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
            return ((60.0, Report(step, {"m": 1.0}, step)) for step in (1, 2, 3))

        def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
            return Ending(Outcome.COMPLETE, 1.0, 3)

    class Many(Trials):
        given = 0

        def next(self, lease: Lease) -> Job | NoJob:
            if self.given == 5000:
                return super().next(lease)
            self.given += 1
            spec = TrialSpec(Attempt(self.given, 0), {}, 0, "")
            self._running[spec.key] = spec
            return Job((spec,))

        def cancellations(self) -> dict[Attempt, Decision]:
            return {}

    backend = SimulatedBackend(Constant(), slots=100)
    backend.run(Many(tmp_path))
    assert backend.now_s == 5000 / 100 * 180.0
    assert backend.busy_s == backend.now_s * 100


def test_inspect_gives_the_facts_it_was_made_with() -> None:
    facts = Facts(max_freeze_depth=5)
    assert SimulatedBackend(ScriptedTimes(), slots=1, facts=facts).inspect() is facts
