"""What fits beside what: the rule alone, and through the feed on leases that share a device."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from runner.backends import NoJob, SimulatedBackend
from runner.experiment import ChoiceParameter, FixedParameter, FloatParameter, Space
from runner.study import StudyRecord, TrialRecord
from runner.study.packing import (
    AFTER_RUNNING_OUT,
    ALONE,
    PROCESS_GIB,
    Packing,
    Peaks,
    Placement,
)
from runner.study.waves import Turn, Waiting, WaveRules
from runner.trial import (
    Attempt,
    Decision,
    Demand,
    Ending,
    Hint,
    Job,
    Lease,
    Outcome,
    Report,
    Share,
    TrialSpec,
)
from tests.objectives import METRIC
from tests.study.conftest import Opened, Searching


def hint_of(params: Mapping[str, Any]) -> Hint:
    """Trials of a size, which is what their memory depends on; heads are of kin."""
    size = params.get("size")
    memory = None if size is None else Demand(params.get("kind", "cnn"), (float(size),))
    return Hint(kin="head" if params.get("head") else None, memory=memory)


def shares(
    count: int, *, gib: float | None = 20.0, device: str = "GPU-a", first: int = 0
) -> list[Lease]:
    share = Share(device, count, gib)
    return [Lease(first + number, ("cuda:0",), 1, {}, share) for number in range(count)]


def waiting(size: float | None, *, kind: str = "cnn", is_exclusive: bool = False) -> Waiting:
    memory = None if size is None else Demand(kind, (size,))
    return Waiting(Turn.SAMPLED, 0, 1.0, 0, None, memory, is_exclusive)


def ended(
    size: float | None, peak_gib: float | None, outcome: Outcome = Outcome.COMPLETE, **notes: Any
) -> TrialRecord:
    """A trial as a study has it after its end."""
    return TrialRecord(
        number=0,
        outcome=outcome,
        is_waiting=False,
        value=0.5,
        best_epoch=1,
        params={} if size is None else {"size": size},
        rungs={},
        failed_at=None,
        origin="sampler",
        seed=0,
        wave=(0, 1),
        attempt=0,
        reason="",
        traceback="",
        notes={"peak_memory_gib": peak_gib, **notes},
        started=None,
        ended=None,
    )


def packing(*measured: TrialRecord) -> Packing:
    made = Packing(hint_of)
    for trial in measured:
        made.learn(trial)
    return made


# The rule.


def test_demand_covers_those_that_are_smaller_in_every_number_and_of_its_kind() -> None:
    demand = Demand("cnn", (32.0, 4.0))
    assert demand.covers(Demand("cnn", (32.0, 4.0)))
    assert demand.covers(Demand("cnn", (16.0, 1.0)))
    assert not demand.covers(Demand("cnn", (64.0, 1.0)))
    assert not demand.covers(Demand("cnn", (16.0, 5.0)))
    assert not demand.covers(Demand("vit", (16.0, 1.0)))


def test_peak_is_bounded_by_the_closest_of_those_that_cover_it() -> None:
    peaks = Peaks()
    assert peaks.of(Demand("cnn", (8.0,))) is None
    peaks.add(Demand("cnn", (64.0,)), 30.0)
    peaks.add(Demand("cnn", (16.0,)), 4.0)
    peaks.add(Demand("cnn", (4.0,)), 1.0)
    assert peaks.of(Demand("cnn", (8.0,))) == 4.0
    assert peaks.of(Demand("cnn", (32.0,))) == 30.0
    assert peaks.of(Demand("cnn", (65.0,))) is None
    assert peaks.of(Demand("vit", (1.0,))) is None


def test_peak_of_equal_demands_is_the_largest_that_was_measured() -> None:
    peaks = Peaks()
    for peak_gib in (3.0, 5.0, 4.0):
        peaks.add(Demand("cnn", (8.0,)), peak_gib)
    assert peaks.of(Demand("cnn", (8.0,))) == 5.0


def test_place_without_a_measured_peak_is_alone_and_nothing_is_beside_it() -> None:
    rule = packing()
    first, second = shares(2)
    assert rule.place(first, [waiting(8.0)]) == ALONE
    rule.begin(first, ALONE)
    assert rule.place(second, [waiting(1.0)]) is None
    assert not rule.is_open(second)


def test_place_beside_a_job_that_has_the_device_to_itself_is_nowhere() -> None:
    rule = packing(ended(8, 1.0))
    for gib in (20.0, None):
        first, second = shares(2, gib=gib, device=f"GPU-{gib}")
        rule.begin(first, ALONE)
        assert rule.place(second, [waiting(8.0)]) is None
        assert not rule.is_open(second)


def test_place_beside_others_as_long_as_the_expected_peaks_and_processes_fit() -> None:
    rule = packing(ended(8, 6.0), ended(2, 1.0))
    # Of 20 GiB: 6 + 6 and two processes, then 6 more and three processes are too much.
    first, second, third, fourth = shares(4)
    for lease in (first, second):
        placement = rule.place(lease, [waiting(8.0)])
        assert placement == Placement(is_packed=True, needs_gib=6.0)
        rule.begin(lease, placement)
    assert rule.place(third, [waiting(8.0)]) is None
    assert rule.is_open(third)
    assert rule.place(third, [waiting(2.0)]) == Placement(is_packed=True, needs_gib=1.0)
    rule.begin(third, Placement(is_packed=True, needs_gib=1.0))
    # 13 GiB of jobs, and the fourth process: 3 left, which the smallest known could have.
    assert rule.is_open(fourth)
    assert rule.place(fourth, [waiting(2.0)]) is not None


def test_is_open_only_where_the_smallest_known_job_would_fit() -> None:
    rule = packing(ended(8, 9.0))
    first, second, third = shares(3)
    for lease in (first, second):
        rule.begin(lease, Placement(is_packed=True, needs_gib=8.0))
    assert not rule.is_open(third)
    rule.learn(ended(1, 20.0 - 16.0 - 3 * PROCESS_GIB))
    assert rule.is_open(third)


def test_place_counts_processes_that_have_no_job_now() -> None:
    rule = packing(ended(8, 8.0))
    first, second, _ = shares(3, gib=18.0)
    for lease in (first, second):
        rule.begin(lease, Placement(is_packed=True, needs_gib=8.0))
    assert rule.is_open(first), "what asks has given back what it held"
    assert rule.place(first, [waiting(8.0)]) is not None
    other = packing(ended(8, 8.0))
    first, second, third = shares(3, gib=18.0)
    for lease in (first, second, third):
        other.begin(lease, Placement(is_packed=True, needs_gib=1.0))
    for lease in (first, second):
        assert other.place(lease, [waiting(8.0)]) == Placement(is_packed=True, needs_gib=8.0)
    other.begin(first, Placement(is_packed=True, needs_gib=8.0))
    # 8 + 8 + 1 GiB and three processes do not fit into 18.
    assert other.place(second, [waiting(8.0)]) is None


def test_begin_alone_ends_the_other_processes_and_their_memory() -> None:
    rule = packing(ended(8, 15.0))
    first, second, third = shares(3, gib=16.5)
    for lease in (first, second, third):
        rule.begin(lease, Placement(is_packed=True))
    for lease in (first, second, third):
        rule.is_open(lease)
    assert rule.place(first, [waiting(8.0)]) == ALONE, "three processes leave too little"
    rule.begin(first, ALONE)
    assert rule.is_open(first)
    assert rule.place(first, [waiting(8.0)]) == Placement(is_packed=True, needs_gib=15.0)


def test_place_of_a_trial_that_was_lost_beside_others_is_alone() -> None:
    rule = packing(ended(8, 1.0))
    first, second = shares(2)
    lost = waiting(1.0, is_exclusive=True)
    assert rule.place(first, [lost]) == ALONE
    rule.begin(second, Placement(is_packed=True, needs_gib=1.0))
    assert rule.place(first, [lost]) is None


@pytest.mark.parametrize(
    "short",
    [
        pytest.param(ended(8, None, Outcome.OUT_OF_MEMORY), id="out of memory by itself"),
        pytest.param(ended(8, 3.0, micro_batches=4), id="took smaller batches"),
    ],
)
def test_place_of_one_that_is_like_one_with_too_little_memory_is_alone(short: TrialRecord) -> None:
    rule = packing(short)
    first, _ = shares(2)
    assert rule.place(first, [waiting(8.0)]) == ALONE
    rule.learn(ended(16, 2.0))
    assert rule.place(first, [waiting(8.0)]) == Placement(is_packed=True, needs_gib=2.0)


@pytest.mark.parametrize("nothing", [ended(8, None), ended(None, 3.0)])
def test_learn_of_what_was_not_measured_or_depends_on_nothing_known_says_nothing(
    nothing: TrialRecord,
) -> None:
    first, _ = shares(2)
    assert packing(nothing).place(first, [waiting(1.0)]) == ALONE


def test_place_of_a_company_needs_one_as_large_with_numbers_as_large() -> None:
    first, _ = shares(2)
    three = [waiting(8.0), waiting(4.0), waiting(2.0)]
    assert packing(ended(64, 3.0)).place(first, three) == ALONE
    # One of three that was measured, though itself not the largest of its company.
    assert packing(ended(4, 3.0, trained_together=3)).place(first, three) == ALONE
    assert packing(ended(8, 3.0, trained_together=2)).place(first, three) == ALONE
    assert packing(ended(8, 3.0, trained_together=3)).place(first, three) == Placement(
        is_packed=True, needs_gib=3.0
    )
    assert packing(ended(8, 3.0, trained_together=3)).place(first, three[:1]) == ALONE


def test_ran_out_leaves_less_room_than_was_thought() -> None:
    rule = packing(ended(8, 8.0))
    first, second = shares(2, gib=18.0)
    rule.begin(first, Placement(is_packed=True, needs_gib=8.0))
    assert rule.place(second, [waiting(8.0)]) is not None
    rule.ran_out(first)
    assert AFTER_RUNNING_OUT < 1
    assert rule.place(second, [waiting(8.0)]) is None


def test_ran_out_counts_a_job_of_many_trials_once() -> None:
    rule = packing(ended(8, 1.0))
    first, second = shares(2, gib=20.0)
    rule.begin(first, Placement(is_packed=True, needs_gib=13.0))
    for _ in range(9):
        rule.ran_out(first)
    # Of 18 GiB: 13, 1 and two processes.
    assert rule.place(second, [waiting(8.0)]) is not None
    rule.begin(first, Placement(is_packed=True, needs_gib=13.0))
    rule.ran_out(first)
    assert rule.place(second, [waiting(8.0)]) is not None
    rule.begin(first, Placement(is_packed=True, needs_gib=13.0))
    rule.ran_out(first)
    assert rule.place(second, [waiting(8.0)]) is None, "two more jobs: 14.6 GiB"


def test_place_where_the_user_has_said_so_counts_nothing() -> None:
    rule = packing()
    first, second = shares(2, gib=None)
    assert rule.place(first, [waiting(None)]) == Placement(is_packed=True)
    rule.begin(first, Placement(is_packed=True))
    assert rule.place(second, [waiting(None)]) == Placement(is_packed=True)
    assert rule.place(second, [waiting(None, is_exclusive=True)]) is None


def test_place_on_a_device_of_its_own_is_alone_whatever_is_known() -> None:
    rule = packing(ended(8, 1.0))
    for slot in (0, 1):
        assert rule.is_open(Lease(slot))
        assert rule.place(Lease(slot), [waiting(8.0)]) == ALONE
        rule.begin(Lease(slot), ALONE)


# Through the feed.

SPACE = Space(
    {"epochs": FixedParameter(2), "size": FixedParameter(8), "value": FloatParameter(0.0, 0.9)}
)


@dataclass
class Gpu:
    """A stand-in for devices: trials hold memory while they run, and run out of it together.

    Attributes:
        gib: Memory of each device.
        need: GiB by size.
        holding: What runs, by slot: device, GiB, whether packed.
        overlaps: The attempts that were there when another began, by attempt.
    """

    gib: float
    need: Mapping[int, float]
    holding: dict[Attempt, tuple[float, bool]] = field(default_factory=dict)
    overlaps: dict[Attempt, set[Attempt]] = field(default_factory=dict)
    packed: dict[Attempt, bool] = field(default_factory=dict)
    most_gib: float = 0.0
    failing: set[Attempt] = field(default_factory=set)

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        self.packed[spec.key] = spec.is_packed
        self.overlaps[spec.key] = set(self.holding)
        for other in self.holding:
            self.overlaps[other].add(spec.key)
        self.holding[spec.key] = self.need[spec.params["size"]], spec.is_packed
        used = sum(gib for gib, _ in self.holding.values())
        self.most_gib = max(self.most_gib, used)
        if used > self.gib:
            self.failing.add(spec.key)
            return
        for epoch in range(1, spec.params.get("epochs", 1) + 1):
            # Of unequal length, so that slots become free one by one.
            seconds = 1.0 + spec.key.trial / 100
            yield seconds, Report(epoch, {METRIC: spec.params["value"]}, epoch)

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        gib, _ = self.holding.pop(spec.key)
        if spec.key in self.failing:
            return Ending(Outcome.OUT_OF_MEMORY, reason="CUDA out of memory")
        notes = {"peak_memory_gib": gib}
        return Ending(Outcome.COMPLETE, spec.params["value"], len(reports), notes=notes)


def simulate(opened: Opened, gpu: Gpu, leases: list[Lease]) -> SimulatedBackend:
    backend = SimulatedBackend(gpu, leases=leases)
    backend.run(opened.feed)
    return backend


def rules(**values: Any) -> WaveRules:
    return WaveRules(hint_of=hint_of, **values)


def take(opened: Opened, *leases: Lease) -> Job:
    """The next job for any of some free leases, all of which ask as a backend's would."""
    answers = [opened.feed.next(lease) for lease in leases[:-1]]
    job = next((a for a in answers if isinstance(a, Job)), None) or opened.feed.next(leases[-1])
    assert isinstance(job, Job)
    return job


def test_first_trial_runs_alone_and_the_others_beside_one_another(searching: Searching) -> None:
    gpu = Gpu(20.0, {8: 4.0})
    with searching(SPACE, trials=7, waves=rules()) as opened:
        backend = simulate(opened, gpu, shares(4))
        assert opened.outcomes == ["complete"] * 7
        trials, runs = opened.record.trials(), opened.runs()
    assert gpu.overlaps[Attempt(0, 0)] == set()
    # 4 GiB and a process each: four fit into 20.
    assert gpu.most_gib == 16.0
    assert [gpu.packed[Attempt(n, 0)] for n in range(7)] == [False] + [True] * 6
    assert trials[0].notes["packed_beside"] == 0
    assert trials[1].notes["packed_beside"] == 3
    assert runs[1].tags["runner.packed_beside"] == "3"
    assert runs[1].tags["runner.peak_memory_gib"] == "4.0"
    assert backend.now_s < 0.5 * 7 * 2


def test_trials_that_do_not_fit_beside_others_keep_their_order(searching: Searching) -> None:
    space = Space({"size": ChoiceParameter((8, 2)), "value": FloatParameter(0.0, 0.9)})
    first = tuple({"size": size} for size in (8, 8, 2, 2, 8, 2))
    gpu = Gpu(20.0, {8: 17.0, 2: 2.0})
    with searching(space, trials=6, first=first, waves=rules()) as opened:
        simulate(opened, gpu, shares(4))
        assert opened.outcomes == ["complete"] * 6
    # Trial 2 is covered by trial 0, whose peak leaves room for no other: then its own is known.
    assert gpu.overlaps[Attempt(1, 0)] == gpu.overlaps[Attempt(2, 0)] == set()
    # Trial 3 may begin, 4 does not fit beside it, and 5 does not overtake.
    assert gpu.overlaps[Attempt(3, 0)] == set()
    assert gpu.most_gib == 17.0


def test_two_devices_fill_evenly_and_a_trial_goes_where_it_fits(searching: Searching) -> None:
    one, other = shares(2), shares(2, device="GPU-b", first=2)
    order = [one[0], other[0], one[1], other[1]]
    with searching(SPACE, trials=6, waves=rules()) as opened:
        jobs = [take(opened, lease) for lease in order[:2]]
        assert [job.is_packed for job in jobs] == [False, False]
        assert opened.feed.next(one[1]) is NoJob.WAIT
        opened.feed.end(
            jobs[0].trials[0].key,
            Ending(Outcome.COMPLETE, 0.5, 1, notes={"peak_memory_gib": 3.0}),
        )
        assert take(opened, one[0]).is_packed
        assert take(opened, one[1]).is_packed
        assert opened.feed.next(other[1]) is NoJob.WAIT, "there a trial is alone to its end"


def test_packed_out_of_memory_is_run_again_alone_and_counts_for_nothing(
    searching: Searching,
) -> None:
    space = Space({"size": ChoiceParameter((8, 7)), "value": FloatParameter(0.0, 0.9)})
    first = tuple({"size": size} for size in (8, 7, 7, 8, 8))
    # What was measured for 8 covers 7, but 7 is larger in truth: no hint is perfect.
    gpu = Gpu(20.0, {8: 4.0, 7: 13.0})
    with searching(space, trials=5, first=first, max_failures=1, waves=rules()) as opened:
        simulate(opened, gpu, shares(2))
        assert opened.outcomes == ["complete"] * 5
        trials, runs = opened.record.trials(), opened.runs()
    assert [trial.attempt for trial in trials] == [0, 0, 1, 0, 0]
    again = Attempt(2, 1)
    assert gpu.overlaps[again] == set()
    assert gpu.packed[again] is False
    assert trials[2].is_exclusive
    assert runs[2].status == "FINISHED"
    assert runs[2].tags["runner.packed_beside"] == "0"
    # Then the truth is known: nothing of that size begins beside another.
    assert not gpu.failing - {Attempt(2, 0)}


def test_out_of_memory_alone_is_the_trials_own_outcome(searching: Searching) -> None:
    gpu = Gpu(20.0, {8: 25.0})
    with searching(SPACE, trials=2, waves=rules()) as opened:
        simulate(opened, gpu, shares(4))
        assert opened.outcomes == ["out_of_memory"] * 2
    assert not any(gpu.packed.values())


def lose(opened: Opened, key: Attempt, outcome: Outcome) -> None:
    opened.feed.end(key, Ending(outcome, reason="out of memory on a device that it shares"))


def packed_pair(opened: Opened, leases: list[Lease]) -> list[Attempt]:
    """Trial 0 ran alone and was measured; trials 1 and 2 run beside one another."""
    opened.feed.end(
        take(opened, leases[0]).trials[0].key,
        Ending(Outcome.COMPLETE, 0.5, 1, notes={"peak_memory_gib": 3.0}),
    )
    jobs = [take(opened, lease) for lease in leases[:2]]
    assert all(job.is_packed for job in jobs)
    return [job.trials[0].key for job in jobs]


def test_proposals_are_the_same_with_and_without_a_packed_out_of_memory(
    searching: Searching,
) -> None:
    """The sampler with a model hears the same of both searches, in the same order."""

    def params(name: str, *, is_short: bool) -> list[Mapping[str, Any]]:
        with searching(SPACE, name=name, trials=20, sampler="tpe", waves=rules()) as opened:
            leases = shares(2)
            first, second = packed_pair(opened, leases)
            if is_short:
                lose(opened, second, Outcome.OUT_OF_MEMORY)
            opened.end(first, Outcome.COMPLETE, 0.25)
            if is_short:
                second = take(opened, leases[1], leases[0]).trials[0].key
                assert second == Attempt(2, 1)
            opened.end(second, Outcome.COMPLETE, 0.75)
            while isinstance(job := opened.feed.next(leases[0]), Job):
                key = job.trials[0].key
                opened.end(key, Outcome.COMPLETE, 1 - abs(0.3 - job.trials[0].params["value"]))
            return [trial.params for trial in opened.record.trials()]

    with_it, without = params("short", is_short=True), params("roomy", is_short=False)
    assert len(with_it) == 20
    assert with_it == without


def test_packed_out_of_memory_waits_for_its_device_and_nothing_overtakes(
    searching: Searching,
) -> None:
    with searching(SPACE, trials=9, waves=rules()) as opened:
        leases = shares(3)
        first, second = packed_pair(opened, leases)
        lose(opened, second, Outcome.OUT_OF_MEMORY)
        assert [opened.feed.next(lease) for lease in leases[1:]] == [NoJob.WAIT] * 2
        assert opened.record.trial(2).reason == "out of memory on a device that it shares"
        assert opened.outcomes[2] == "waiting (lost)"
        opened.end(first, Outcome.COMPLETE, 0.5)
        again = take(opened, leases[1], leases[0])
        assert again.trials[0].key == Attempt(2, 1)
        assert not again.is_packed
        assert opened.feed.next(leases[1]) is NoJob.WAIT


def test_trial_that_ran_out_beside_others_is_alone_also_after_a_kill(
    searching: Searching,
) -> None:
    leases = shares(2)
    with searching(SPACE, trials=9, waves=rules()) as opened:
        _, second = packed_pair(opened, leases)
        lose(opened, second, Outcome.OUT_OF_MEMORY)
    for _ in range(2):
        # Trial 1 was cut short as well; what trial 0 was measured to need is still known.
        with searching(SPACE, trials=9, waves=rules()) as opened:
            assert StudyRecord.read(opened.folder).trial(2).is_exclusive
            interrupted = take(opened, leases[0])
            assert interrupted.is_packed
            assert interrupted.trials[0].key.trial == 1
            assert opened.feed.next(leases[1]) is NoJob.WAIT
            opened.end(interrupted.trials[0].key, Outcome.PAUSED)
            again = take(opened, leases[0])
            assert again.trials[0].key.trial == 2
            assert not again.is_packed


def test_worker_that_dies_beside_others_counts_and_its_trial_runs_alone(
    searching: Searching,
) -> None:
    with searching(SPACE, trials=9, waves=rules()) as opened:
        leases = shares(2)
        first, second = packed_pair(opened, leases)
        lose(opened, second, Outcome.LOST)
        opened.end(first, Outcome.COMPLETE, 0.5)
        again = take(opened, leases[1], leases[0])
        assert not again.is_packed
        lose(opened, again.trials[0].key, Outcome.LOST)
        assert opened.outcomes[2] == "lost", "twice is too often"


def test_trial_that_ran_out_beside_others_may_lose_a_worker_like_any_other(
    searching: Searching,
) -> None:
    with searching(SPACE, trials=9, waves=rules()) as opened:
        leases = shares(2)
        first, second = packed_pair(opened, leases)
        lose(opened, second, Outcome.OUT_OF_MEMORY)
        opened.end(first, Outcome.COMPLETE, 0.5)
        lose(opened, take(opened, leases[1], leases[0]).trials[0].key, Outcome.LOST)
        assert opened.outcomes[2] == "waiting (lost)"
        assert take(opened, leases[0]).trials[0].key == Attempt(2, 2)


def test_packed_out_of_memory_leaves_less_room_for_the_next(searching: Searching) -> None:
    with searching(SPACE, trials=9, waves=rules()) as opened:
        # 3 and 3 GiB and two processes just fit.
        leases = shares(2, gib=8.0)
        first, second = packed_pair(opened, leases)
        lose(opened, second, Outcome.OUT_OF_MEMORY)
        opened.end(first, Outcome.COMPLETE, 0.5)
        opened.end(take(opened, leases[1], leases[0]).trials[0].key, Outcome.COMPLETE, 0.5)
        assert take(opened, leases[0]).is_packed
        assert opened.feed.next(leases[1]) is NoJob.WAIT


@pytest.mark.parametrize(
    ("decision", "state"), [(Decision.STOP, "pruned"), (Decision.PAUSE, "waiting (paused)")]
)
def test_packed_out_of_memory_of_one_that_was_to_leave_is_what_was_wanted(
    searching: Searching, decision: Decision, state: str
) -> None:
    with searching(SPACE, trials=9, waves=rules()) as opened:
        _, second = packed_pair(opened, shares(2))
        opened.feed.running.want(opened.feed.running[2], decision, "told to leave")
        lose(opened, second, Outcome.OUT_OF_MEMORY)
        assert opened.outcomes[2] == state


def test_company_that_ran_out_beside_others_runs_again_together_and_alone(
    searching: Searching,
) -> None:
    space = Space(
        {
            "head": FixedParameter(True),
            "size": FixedParameter(4),
            "value": FloatParameter(0.0, 0.9),
        }
    )
    leases = shares(2)
    with searching(space, trials=9, waves=rules(size=3, fuse=3)) as opened:
        first = take(opened, leases[0])
        assert len(first.trials) == 3
        assert not first.is_packed
        for spec in first.trials:
            notes = {"peak_memory_gib": 2.0, "trained_together": 3}
            opened.feed.end(spec.key, Ending(Outcome.COMPLETE, 0.5, 1, notes=notes))
        second = take(opened, leases[0])
        assert second.is_packed
        for spec in second.trials:
            lose(opened, spec.key, Outcome.OUT_OF_MEMORY)
        again = take(opened, leases[0])
        assert [spec.key for spec in again.trials] == [Attempt(n, 1) for n in (3, 4, 5)]
        assert not again.is_packed


def test_company_is_not_split_among_leases_of_one_device(searching: Searching) -> None:
    space = Space(
        {
            "head": FixedParameter(True),
            "size": FixedParameter(4),
            "value": FloatParameter(0.0, 0.9),
        }
    )
    with searching(space, trials=8, waves=rules(size=8, fuse=64)) as opened:
        assert len(take(opened, shares(4)[0]).trials) == 8


def test_company_is_shared_out_among_devices_and_not_among_jobs(searching: Searching) -> None:
    space = Space(
        {
            "head": ChoiceParameter((None, True)),
            "size": FixedParameter(4),
            "value": FloatParameter(0.0, 0.9),
        }
    )
    first = tuple({"head": None if number < 3 else True} for number in range(9))
    with searching(
        space, trials=9, first=first, waves=rules(size=9, fuse=64, slots=lambda: 3)
    ) as opened:
        packed_pair(opened, shares(3))
        # One device is busy, with two jobs; the six heads are for the two others.
        assert len(take(opened, shares(2, device="GPU-b", first=3)[0]).trials) == 3


def test_lease_whose_device_is_taken_does_not_keep_another_from_being_asked(
    searching: Searching,
) -> None:
    gpu = Gpu(40.0, {8: 4.0})
    with searching(SPACE, trials=2, waves=rules()) as opened:
        simulate(opened, gpu, [*shares(2), *shares(2, device="GPU-b", first=2)])
    assert gpu.overlaps[Attempt(1, 0)] == {Attempt(0, 0)}


def test_sampler_is_not_asked_while_a_trial_has_the_device_to_itself(
    searching: Searching,
) -> None:
    with searching(SPACE, trials=9, waves=rules()) as opened:
        leases = shares(4)
        take(opened, leases[0])
        assert [opened.feed.next(lease) for lease in leases[1:]] == [NoJob.WAIT] * 3
        assert opened.record.count == 1


def test_time_of_a_packed_trial_is_as_many_times_as_share_its_device(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    with searching(SPACE, trials=9, trial_time_s=10.0, waves=rules()) as opened:
        first, second = packed_pair(opened, shares(2))
        clock = opened.feed.running[1].started_s
        monkeypatch.setattr("runner.study.feed.time.monotonic", lambda: clock + 19.0)
        assert opened.feed.cancellations() == {}
        monkeypatch.setattr("runner.study.feed.time.monotonic", lambda: clock + 21.0)
        assert set(opened.feed.cancellations()) == {first, second}


def test_search_on_one_lease_of_a_device_is_as_without_packing(searching: Searching) -> None:
    def trials(name: str, leases: list[Lease]) -> list[tuple[Any, ...]]:
        settings = {"name": name, "trials": 15, "sampler": "tpe", "waves": rules()}
        with searching(SPACE, **settings) as opened:
            simulate(opened, Gpu(20.0, {8: 4.0}), leases)
            return [(t.params, t.seed, t.value) for t in opened.record.trials()]

    assert trials("one", [Lease(0)]) == trials("other", shares(1))


def test_peak_that_was_never_measured_is_infinite() -> None:
    assert Peaks().least == math.inf
