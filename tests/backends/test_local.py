"""Worker processes that die, hang, print and are left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.backends import LocalBackend, Silence
from runner.errors import DataError, ExperimentError, Problem, RunnerError, SearchStopped
from runner.trial import Attempt, Decision, Lease, Objective, Outcome, Share, TrialSpec
from tests.backends.feeds import Trials
from tests.objectives import (
    ROOT,
    CannotBeInspected,
    CannotBeLoaded,
    HangsBefore,
    KilledWhileInspecting,
    SaysAfterTheEnd,
    Scripted,
    SpoilsItsGpu,
    StartsSlowly,
    Together,
)

Start = Callable[..., LocalBackend]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started = []

    def make(
        objective: Objective | None = None,
        *,
        grace_s: float = 30.0,
        slots: int = 1,
        silence: Silence | None = None,
        max_deaths: int = 3,
        share: Share | None = None,
        devices: tuple[str, ...] = ("cpu",),
    ) -> LocalBackend:
        leases = [Lease(slot, devices, threads=2, share=share) for slot in range(slots)]
        backend = LocalBackend(
            objective or Scripted(),
            leases,
            logs=tmp_path / "logs",
            grace_s=grace_s,
            silence=silence,
            max_deaths=max_deaths,
        )
        started.append(backend)
        return backend

    yield make
    for backend in started:
        backend.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trials"


def test_inspect_answers_from_a_worker_with_its_lease_and_no_heavy_import(start: Start) -> None:
    details = start().inspect().details
    assert details["pid"] != os.getpid()
    assert details["devices"] == ("cpu",)
    assert details["threads"] == "2"
    assert details["heavy"] == []


@pytest.mark.parametrize(("own", "spin"), [(None, "5000"), ("70", "70")])
def test_threads_of_a_worker_spin_little_unless_the_user_says_otherwise(
    start: Start, monkeypatch: pytest.MonkeyPatch, own: str | None, spin: str
) -> None:
    """Fails without `spinning`, or where it takes the place of the user's own."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if own is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", own)
    assert start().inspect().details["spin"] == spin


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("photos/: no images"), "photos/: no images"),
        (KeyError("label"), "KeyError: 'label' (the traceback is in "),
    ],
)
def test_inspect_that_fails_raises_a_runner_error_that_says_why(
    start: Start, error: Exception, message: str
) -> None:
    backend = start(CannotBeInspected(error))
    with pytest.raises(RunnerError) as caught:
        backend.inspect()
    assert message in str(caught.value)


def test_inspect_that_raises_an_experiment_error_keeps_its_problems(start: Start) -> None:
    problem = Problem("cats.yaml", 3, "model.name", "is not a model", seen="resnet5")
    with pytest.raises(ExperimentError) as caught:
        start(CannotBeInspected(ExperimentError([problem]))).inspect()
    assert caught.value.problems == (problem,)
    assert str(caught.value) == "cats.yaml:3: model.name: is not a model (seen: resnet5)"


def test_worker_that_cannot_load_its_objective_says_so_in_the_log_it_names(
    start: Start, tmp_path: Path
) -> None:
    backend = start(CannotBeLoaded())
    with pytest.raises(
        SearchStopped, match="the worker of slot 0 died with exit code 1"
    ) as caught:
        backend.inspect()
    log = tmp_path / "logs" / "worker-0.log"
    assert str(log) in str(caught.value)
    assert "ImportError: this objective cannot be loaded here" in log.read_text()


def test_worker_killed_again_and_again_in_the_second_pass_stops_the_search(
    start: Start, tmp_path: Path
) -> None:
    backend = start(KilledWhileInspecting(tmp_path / "deaths", 3))
    with pytest.raises(SearchStopped, match=r"died with signal SIGKILL .*3 times in a row"):
        backend.inspect()


def test_worker_killed_in_a_trial_loses_it_and_a_new_worker_runs_it_and_the_next(
    start: Start, folder: Path
) -> None:
    """Fails where no new worker is started."""
    feed = Trials(folder, [{"epochs": 3, "act": "kill", "at": 2, "attempts": 1}], [{"epochs": 1}])
    start().run(feed)
    assert feed.outcomes == {
        (0, 0): Outcome.LOST,
        (0, 1): Outcome.COMPLETE,
        (1, 0): Outcome.COMPLETE,
    }
    lost = feed.ending(0)
    assert lost.value is None
    assert "the worker of slot 0 died with signal SIGKILL" in lost.reason
    assert str(folder / "trial-0" / "log.txt") in lost.reason
    assert feed.ending(1).notes["pid"] == feed.ending(0, 1).notes["pid"]


def test_worker_killed_in_a_trial_leaves_the_other_slot_alone(start: Start, folder: Path) -> None:
    """Fails where no new worker is started."""
    feed = Trials(
        folder,
        [{"epochs": 2, "epoch_s": 0.6}],
        [{"act": "kill", "attempts": 1}],
    )
    start(slots=2).run(feed)
    assert feed.outcomes == {
        (0, 0): Outcome.COMPLETE,
        (1, 0): Outcome.LOST,
        (1, 1): Outcome.COMPLETE,
    }


def test_worker_killed_in_the_middle_of_a_message_is_lost_like_any_other(
    start: Start, folder: Path
) -> None:
    feed = Trials(folder, [{"act": "kill while speaking", "attempts": 1}])
    start().run(feed)
    assert feed.outcomes == {(0, 0): Outcome.LOST, (0, 1): Outcome.COMPLETE}


def test_worker_killed_while_a_child_holds_its_socket_is_noticed_at_once(
    start: Start, folder: Path
) -> None:
    """Fails where a dead worker's group is not ended (`how_it_died`)."""
    feed = Trials(folder, [{"act": "kill with a child left", "attempts": 1}])
    start().run(feed)
    assert feed.outcomes == {(0, 0): Outcome.LOST, (0, 1): Outcome.COMPLETE}
    assert is_gone(folder / "trial-0" / "child")


def is_gone(file: Path, within_s: float = 5.0) -> bool:
    """Whether the process whose id a file has ends soon."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if psutil.Process(int(file.read_text())).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_worker_that_is_ended_takes_along_what_its_trial_had_started(
    start: Start, folder: Path
) -> None:
    """Fails where `end_group` does nothing."""
    feed = Trials(folder, [{"act": "hang with a child"}], cancel={0: Decision.STOP})
    start(grace_s=2.0).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.PRUNED}
    assert is_gone(folder / "trial-0" / "child")


@pytest.mark.parametrize(
    ("act", "silence"),
    [
        ("stop", Silence(4.0)),
        ("hang", Silence(4.0)),
        ("loop", Silence(4.0, is_computing_life=False)),
    ],
)
def test_worker_without_a_sign_of_life_is_ended_and_its_trial_runs_again(
    start: Start, folder: Path, act: str, silence: Silence
) -> None:
    """One that is stopped, one that waits for what never comes, one that goes round in circles.

    Fails where nobody looks for silence, or computing counts where it is not to.
    """
    feed = Trials(folder, [{"act": act, "attempts": 1, "epoch_s": 6.0}])
    start(silence=silence).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.LOST, (0, 1): Outcome.COMPLETE}
    reason = feed.ending(0).reason
    assert "showed no sign of life for 4 s (search.silence): killed" in reason
    assert str(folder / "trial-0" / "log.txt") in reason


def test_worker_that_computes_and_asks_nothing_has_not_hung(start: Start, folder: Path) -> None:
    """Fails where computing does not count."""
    feed = Trials(folder, [{"act": "loop", "epoch_s": 9.0}])
    start(silence=Silence(6.0)).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.COMPLETE}


def test_trial_that_waits_and_asks_has_not_hung(start: Start, folder: Path) -> None:
    """Fails where a question is no beat (`_SocketChannel.decision`)."""
    feed = Trials(folder, [{"epoch_s": 9.0}])
    start(silence=Silence(6.0, is_computing_life=False)).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.COMPLETE}


def test_workers_that_hang_three_times_in_a_row_stop_the_search(
    start: Start, folder: Path
) -> None:
    feed = Trials(folder, [{"act": "hang"}])
    with pytest.raises(SearchStopped, match=r"no sign of life.*3 times in a row"):
        start(silence=Silence(1.0)).run(feed)


def test_deaths_that_stop_the_search_may_be_more(start: Start, folder: Path) -> None:
    """Fails with a fixed limit of three."""
    feed = Trials(folder, [{"act": "kill", "attempts": 3}])
    start(max_deaths=4).run(feed)
    assert feed.outcomes[0, 3] is Outcome.COMPLETE


@pytest.mark.parametrize("what", ["start", "inspect"])
def test_worker_that_hangs_before_any_trial_stops_the_search_and_says_why(
    start: Start, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("runner.backends.life.START_S", 5.0)
    backend = start(HangsBefore(what), silence=Silence(1.0))
    with pytest.raises(SearchStopped, match=r"no sign of life for 5 s \(search.silence\): killed"):
        backend.inspect()


@pytest.mark.slow
def test_worker_that_closes_its_socket_and_lives_on_is_killed_and_replaced(
    start: Start, folder: Path
) -> None:
    feed = Trials(folder, [{"act": "close the socket", "attempts": 1}])
    start().run(feed)
    assert feed.outcomes == {(0, 0): Outcome.LOST, (0, 1): Outcome.COMPLETE}


def test_worker_that_dies_three_times_in_a_row_stops_the_search(
    start: Start, folder: Path
) -> None:
    feed = Trials(folder, [{"act": "kill"}])
    with pytest.raises(SearchStopped, match=r"signal SIGKILL.*3 times in a row.*the search stops"):
        start().run(feed)
    assert feed.outcomes == {(0, attempt): Outcome.LOST for attempt in range(3)}


@pytest.mark.slow
def test_worker_that_ends_a_trial_in_between_has_not_died_in_a_row(
    start: Start, folder: Path
) -> None:
    dying, living = [{"act": "kill", "attempts": 1}], [{"epochs": 1}]
    feed = Trials(folder, dying, living, dying, living, dying, living)
    start().run(feed)
    assert list(feed.outcomes.values()).count(Outcome.LOST) == 3
    assert list(feed.outcomes.values()).count(Outcome.COMPLETE) == 6


def test_cancelled_trial_that_does_not_leave_is_killed_after_the_grace(
    start: Start, folder: Path
) -> None:
    """Fails, and has no end, where the grace has none (`_cancel`)."""
    feed = Trials(folder, [{"act": "hang"}], [{"epochs": 1}], cancel={0: Decision.TIME_OUT})
    backend = start(grace_s=0.3)
    began = time.monotonic()
    backend.run(feed)
    assert feed.outcomes == {(0, 0): Outcome.TIMED_OUT, (1, 0): Outcome.COMPLETE}
    assert time.monotonic() - began < 10
    reason = feed.ending(0).reason
    assert "did not leave within 0.3 s" in reason
    assert "out of memory" not in reason


@pytest.mark.slow
def test_three_hanging_trials_in_a_row_do_not_stop_the_search(start: Start, folder: Path) -> None:
    hangs = [[{"act": "hang"}]] * 3
    cancel = dict.fromkeys(range(3), Decision.STOP)
    feed = Trials(folder, *hangs, [{"epochs": 1}], cancel=cancel)
    start(grace_s=0.1).run(feed)
    assert feed.outcomes == {
        **{(number, 0): Outcome.PRUNED for number in range(3)},
        (3, 0): Outcome.COMPLETE,
    }


def test_cancelled_trial_that_leaves_does_not_doom_the_others_of_its_job(
    start: Start, folder: Path
) -> None:
    long = {"epochs": 6, "epoch_s": 0.2}
    feed = Trials(folder, [long, long], cancel={0: Decision.STOP})
    start(grace_s=0.6).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.PRUNED, (1, 0): Outcome.COMPLETE}


def test_trial_that_does_not_leave_takes_its_job_along_and_the_others_run_again(
    start: Start, folder: Path
) -> None:
    done, hangs, other = {"epochs": 1}, {"act": "hang"}, {"epochs": 3}
    feed = Trials(folder, [done, hangs, other], [done], cancel={1: Decision.TIME_OUT})
    start(Together(), grace_s=0.3).run(feed)
    assert feed.outcomes == {
        (0, 0): Outcome.COMPLETE,
        (1, 0): Outcome.TIMED_OUT,
        (2, 0): Outcome.LOST,
        (2, 1): Outcome.COMPLETE,
        (3, 0): Outcome.COMPLETE,
    }
    assert "did not leave within 0.3 s" in feed.ending(2).reason


def test_trial_that_leaves_late_is_waited_for_while_others_of_its_job_are_heard_of(
    start: Start, folder: Path
) -> None:
    """Here it is trained after the other, and cannot leave before."""
    long = {"epochs": 12, "epoch_s": 0.1}
    feed = Trials(folder, [long, long], cancel={1: Decision.STOP})
    start(grace_s=0.4).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.COMPLETE, (1, 0): Outcome.PRUNED}


def test_worker_killed_in_a_job_loses_those_of_its_trials_that_had_not_ended(
    start: Start, folder: Path
) -> None:
    dying = {"epochs": 3, "act": "kill", "at": 2, "attempts": 1}
    feed = Trials(folder, [{"epochs": 1}, dying, {"epochs": 3}])
    start(Together()).run(feed)
    assert feed.outcomes == {
        (0, 0): Outcome.COMPLETE,
        (1, 0): Outcome.LOST,
        (2, 0): Outcome.LOST,
        (1, 1): Outcome.COMPLETE,
        (2, 1): Outcome.COMPLETE,
    }


def test_log_of_a_job_lies_with_its_first_trial_and_the_others_say_where(
    start: Start, folder: Path
) -> None:
    start(Together()).run(Trials(folder, [{"act": "print"}, {"epochs": 1}]))
    first, other = (folder / f"trial-{number}" / "log.txt" for number in range(2))
    assert "printed by trial 0" in first.read_text()
    assert other.read_text() == f"trained together with trial 0: see {first}\n"


def test_report_after_the_end_is_answered_and_not_passed_on(start: Start, folder: Path) -> None:
    feed = Trials(folder, [{"epochs": 2}], [{"epochs": 1}])
    start(SaysAfterTheEnd()).run(feed)
    assert feed.outcomes == {(0, 0): Outcome.COMPLETE, (1, 0): Outcome.COMPLETE}
    assert {key.trial: steps for key, steps in feed.reports.items()} == {0: [1, 2], 1: [1]}


def test_output_of_a_trial_lies_in_its_own_log_and_in_no_other(
    start: Start, folder: Path, tmp_path: Path
) -> None:
    jobs = [[{"act": "print"}] for _ in range(3)]
    backend = start()
    backend.run(Trials(folder, *jobs))
    backend.close()
    for number in range(3):
        log = (folder / f"trial-{number}" / "log.txt").read_text()
        for how in ("printed", "complained", "written", "buffered in C"):
            assert log.count(f"{how} by trial {number}\n") == 1
        assert log.count("by trial") == 4
    assert "by trial" not in (tmp_path / "logs" / "worker-0.log").read_text()


def test_traceback_of_a_failed_trial_lies_in_its_log(start: Start, folder: Path) -> None:
    feed = Trials(folder, [{"act": "raise"}])
    start().run(feed)
    assert "ValueError: the learning rate is" in (folder / "trial-0" / "log.txt").read_text()
    assert feed.ending(0).reason == "ValueError: the learning rate is"


def test_close_while_a_trial_runs_leaves_no_worker_behind(start: Start, folder: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    backend = start(slots=2)
    feed = Trials(folder, [{"epochs": 9, "epoch_s": 0.1}], [{"act": "hang"}], on_report=interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.run(feed)
    workers = psutil.Process().children(recursive=True)
    assert len(workers) == 2
    began = time.monotonic()
    backend.close()
    assert time.monotonic() - began < 3
    assert psutil.wait_procs(workers, timeout=1)[1] == []


def test_close_while_a_trial_runs_takes_along_what_it_had_started(
    start: Start, folder: Path
) -> None:
    """Fails where `kill` ends the worker alone."""
    child = folder / "trial-1" / "child"

    def interrupt(*_: object) -> None:
        if child.exists():
            raise KeyboardInterrupt

    jobs = [[{"epochs": 1000, "epoch_s": 0.1}], [{"act": "hang with a child"}]]
    backend = start(slots=2)
    with pytest.raises(KeyboardInterrupt):
        backend.run(Trials(folder, *jobs, on_report=interrupt))
    backend.close()
    assert is_gone(child)


DRIVER = """
import sys
from pathlib import Path
from runner.backends import LocalBackend
from runner.trial import Lease
from tests.backends.feeds import Trials
from tests.objectives import Scripted

folder = Path(sys.argv[1])
backend = LocalBackend(Scripted(), [Lease(0), Lease(1)], logs=folder)
jobs = [[{"epochs": 1000, "epoch_s": 0.1}], [{"act": "hang with a child"}]]
backend.run(Trials(folder, *jobs, on_report=lambda *_: print("reported", flush=True)))
"""


def test_driver_killed_leaves_no_worker_nor_what_it_started_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "reported\n"
        child, until = tmp_path / "trial-1" / "child", time.monotonic() + 10
        while not child.exists() and time.monotonic() < until:
            time.sleep(0.05)
        workers = psutil.Process(driver.pid).children(recursive=True)
        assert len(workers) == 3
        driver.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []


FROZEN = """
import sys
from pathlib import Path
from runner.backends import LocalBackend, Silence
from runner.trial import Lease
from tests.backends.feeds import Trials
from tests.objectives import Scripted

folder = Path(sys.argv[1])
silence = Silence(2.0, is_computing_life=False)
backend = LocalBackend(Scripted(), [Lease(0)], logs=folder, silence=silence)
job = [{"epochs": 6, "epoch_s": 0.3}]
trials = Trials(folder, job, on_report=lambda *_: print("reported", flush=True))
backend.run(trials)
backend.close()
print(*[ending.outcome.name for _, ending in trials.endings], flush=True)
"""


@pytest.mark.slow
def test_workers_that_were_stopped_together_with_their_driver_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused container, a suspended job. Fails where `Watch` counts all of that time."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-c", FROZEN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "reported\n"
        processes = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children()]
        for process in processes:
            process.suspend()
        time.sleep(4.0)
        for process in processes:
            process.resume()
            time.sleep(0.5)
        assert driver.stdout.read().splitlines()[-1] == "COMPLETE"


@pytest.mark.slow
def test_worker_that_starts_for_a_job_may_be_silent_for_longer(start: Start, folder: Path) -> None:
    """Libraries take their time, whatever a trial may take. Fails with the limit of a trial."""

    class Packed(Trials):
        def _spec(self, key: Attempt, params: Mapping[str, Any]) -> TrialSpec:
            return replace(super()._spec(key, params), is_packed=True)

    trial = {"epochs": 2, "epoch_s": 3.0}
    feed = Packed(folder, [trial], [trial])
    backend = start(StartsSlowly(8.0), slots=2, silence=Silence(5.0), share=Share("one", 2))
    backend.run(feed)
    assert feed.outcomes == {(0, 0): Outcome.COMPLETE, (1, 0): Outcome.COMPLETE}
    assert set(feed.slots.values()) == {0, 1}


def test_worker_that_starts_for_a_job_and_then_hangs_has_the_limit_of_a_trial(
    start: Start, folder: Path
) -> None:
    """Fails where `ready` does not bring the trial's limit."""
    feed = Trials(folder, [{"act": "hang", "attempts": 1}])
    backend = start(slots=1, silence=Silence(2.0))
    backend.close()
    began = time.monotonic()
    backend.run(feed)
    assert feed.outcomes == {(0, 0): Outcome.LOST, (0, 1): Outcome.COMPLETE}
    assert time.monotonic() - began < 30


def test_deaths_in_the_second_pass_are_not_counted_once_it_is_done(
    start: Start, folder: Path, tmp_path: Path
) -> None:
    """Fails where they are carried into the trials."""
    backend = start(KilledWhileInspecting(tmp_path / "deaths", 2))
    assert backend.inspect().details == {"deaths": 2}
    feed = Trials(folder, [{"act": "kill", "attempts": 2}])
    backend.run(feed)
    assert feed.outcomes[0, 2] is Outcome.COMPLETE


def test_worker_whose_gpu_fails_every_call_runs_no_further_trial(
    start: Start, folder: Path
) -> None:
    """Fails where the worker goes on: what runs next on a spoilt GPU would fail, too."""
    feed = Trials(folder, [{}], [{"act": "spoil"}], [{}], [{}])
    start(SpoilsItsGpu(), devices=("cuda:0",)).run(feed)
    assert [feed.ending(number).outcome for number in range(4)] == [
        *(Outcome.COMPLETE, Outcome.FAILED, Outcome.COMPLETE, Outcome.COMPLETE)
    ]
    assert "illegal memory access" in feed.ending(1).reason
    pids = [feed.ending(number).notes["pid"] for number in (0, 2, 3)]
    assert pids[0] != pids[1] == pids[2]
