"""A search of one slot, interrupted anywhere, goes on to the same trials."""

from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.experiment import ChoiceParameter, FloatParameter, IntParameter, Space
from runner.study import study_lock
from runner.study.logbook import Logbook
from runner.tracking import RunStatus, Tracking
from runner.trial import Ending, Report
from tests.study.conftest import _open

TRIALS = 8
SPACE = Space(
    {
        "epochs": IntParameter(2, 4),
        "value": FloatParameter(0.0, 0.8),
        "act": ChoiceParameter(("", "raise", "out of memory")),
    }
)
# Where a driver may be killed in the life of a trial.
MOMENTS = ("begun", "reported", "kept", "told")


class Killed(Exception):
    """Stands for a kill: what follows in this driver does not happen."""


class DyingLogbook(Logbook):
    """The real one, of a driver that dies at one moment of one trial."""

    moment: tuple[int, str] | None = None

    def _maybe_die(self, number: int, moment: str) -> None:
        if self.moment == (number, moment):
            raise Killed

    def begin(self, trial: Any) -> None:
        self._maybe_die(trial.number, "begun")
        super().begin(trial)

    def report(self, number: int, report: Report) -> None:
        super().report(number, report)
        if report.step == 2:
            self._maybe_die(number, "reported")

    def keep(self, folder: Path, number: int, reports: Any, ending: Ending) -> dict[str, Any]:
        kept = super().keep(folder, number, reports, ending)
        self._maybe_die(number, "kept")
        return kept

    def end(self, record: Any, number: int, evaluation: Any) -> None:
        self._maybe_die(number, "told")
        super().end(record, number, evaluation)


def search(
    tracking: Tracking, folder: Path, *, sampler: str, dies: tuple[int, str] | None
) -> list[tuple[str, dict[str, Any], float | None, int]]:
    """One command; gives every trial's state, parameters, value and seed."""
    with study_lock(folder):
        opened = _open(
            tracking,
            folder,
            SPACE,
            sampler=sampler,
            pruner="asha",
            trials=TRIALS,
            # Every command counts them anew, so an interruption would make a difference.
            max_failures=TRIALS + 1,
            logbook_type=DyingLogbook,
        )
        assert isinstance(opened.logbook, DyingLogbook)
        opened.logbook.moment = dies
        with suppress(Killed):
            opened.simulate()
        opened.study_run.close(RunStatus.KILLED)
        return [
            (trial.state, dict(trial.params), trial.value, trial.seed)
            for trial in opened.record.trials()
        ]


@pytest.fixture(scope="module")
def uninterrupted(tracking: Tracking, tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def run(sampler: str) -> Any:
        folder = tmp_path_factory.mktemp(sampler) / "cats" / "1"
        return search(tracking, folder, sampler=sampler, dies=None)

    return run


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("cmaes", marks=pytest.mark.slow)])
def test_search_killed_at_every_trial_in_turn_gives_the_same_trials(
    tracking: Tracking, uninterrupted: Any, sampler: str, tmp_path: Path
) -> None:
    folder = tmp_path / "cats" / "1"
    for number in range(TRIALS):
        search(tracking, folder, sampler=sampler, dies=(number, MOMENTS[number % 4]))
    assert search(tracking, folder, sampler=sampler, dies=None) == uninterrupted(sampler)
    states = {state for state, *_ in uninterrupted(sampler)}
    assert len(states) >= 3


@pytest.mark.slow
@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kills=st.lists(st.tuples(st.integers(0, TRIALS - 1), st.sampled_from(MOMENTS)), max_size=2),
    sampler=st.sampled_from(["tpe", "random", "qmc"]),
)
def test_search_killed_anywhere_gives_the_same_trials(
    tracking: Tracking, uninterrupted: Any, kills: list[tuple[int, str]], sampler: str
) -> None:
    with TemporaryDirectory() as root:
        folder = Path(root) / "cats" / "1"
        for kill in kills:
            search(tracking, folder, sampler=sampler, dies=kill)
        assert search(tracking, folder, sampler=sampler, dies=None) == uninterrupted(sampler)
