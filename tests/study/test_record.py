"""States by outcome, attempts, and what is true after a driver died at any moment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from runner.study import StudyRecord, best_trials
from runner.study.sampling import MEMORY_CONSTRAINT, Proposal
from runner.trial import Ending, Outcome

PROPOSAL = Proposal(
    {"learning_rate": 0.1, "optimizer": "sgd"},
    {
        "learning_rate": optuna.distributions.FloatDistribution(0.01, 1.0, log=True),
        "optimizer": optuna.distributions.CategoricalDistribution(("sgd", "adamw")),
    },
    {"sampler:key": "kept"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cats" / "1"


@pytest.fixture
def record(folder: Path) -> StudyRecord:
    return StudyRecord.open(folder, direction="maximize")


def add(record: StudyRecord, *, begin: bool = True) -> int:
    number = record.add(PROPOSAL, origin="sampler", seed=11)
    if begin:
        record.begin(number)
    return number


def reopened(record: StudyRecord) -> StudyRecord:
    return StudyRecord.open(record.folder, direction="maximize")


def test_add_writes_a_whole_waiting_trial_in_one_record(record: StudyRecord) -> None:
    journal = record.folder / "journal.log"
    before = journal.read_bytes().count(b"\n")
    assert record.add(PROPOSAL, origin="first:0", seed=11) == 0
    assert journal.read_bytes().count(b"\n") == before + 1
    trial = StudyRecord.read(record.folder).trial(0)
    assert trial.params == PROPOSAL.params
    assert (trial.origin, trial.seed, trial.attempt) == ("first:0", 11, -1)
    assert (trial.outcome, trial.is_waiting, trial.state) == (None, True, "waiting")
    assert record.frozen(0).system_attrs["sampler:key"] == "kept"


@pytest.mark.parametrize(
    ("outcome", "state", "value", "shown"),
    [
        (Outcome.COMPLETE, TrialState.COMPLETE, 0.9, "complete"),
        (Outcome.PRUNED, TrialState.PRUNED, 0.7, "pruned"),
        (Outcome.PAUSED, TrialState.WAITING, None, "waiting (paused)"),
        (Outcome.INTERRUPTED, TrialState.WAITING, None, "waiting (interrupted)"),
        (Outcome.LOST, TrialState.WAITING, None, "waiting (lost)"),
        (Outcome.OUT_OF_MEMORY, TrialState.PRUNED, None, "out_of_memory"),
        (Outcome.FAILED, TrialState.FAIL, None, "failed"),
        (Outcome.USER_ERROR, TrialState.FAIL, None, "user_error"),
        (Outcome.DIVERGED, TrialState.FAIL, None, "diverged"),
        (Outcome.TIMED_OUT, TrialState.FAIL, None, "timed_out"),
    ],
)
def test_close_gives_the_state_of_its_outcome_and_no_value_it_has_not(
    record: StudyRecord, outcome: Outcome, state: TrialState, value: float | None, shown: str
) -> None:
    number = add(record)
    record.add_rung(number, 1, 0.8)
    record.add_rung(number, 3, 0.7)
    record.close(number, Ending(outcome, value=0.9, best_step=2, reason="why", notes={"a": 1}))
    trial = reopened(record).trial(number)
    assert record.frozen(number).state is state
    assert (trial.outcome, trial.value, trial.state) == (outcome, value, shown)
    assert (trial.best_epoch, trial.reason, trial.notes) == (2, "why", {"a": 1})
    assert trial.rungs == {1: 0.8, 3: 0.7}
    violated = {MEMORY_CONSTRAINT: 1.0} if outcome is Outcome.OUT_OF_MEMORY else {}
    assert record.frozen(number).constraints == violated


def test_close_pruned_before_any_rung_has_no_value(record: StudyRecord) -> None:
    number = add(record)
    record.close(number, Ending(Outcome.PRUNED, value=0.4))
    assert record.frozen(number).state is TrialState.PRUNED
    assert record.trial(number).value is None


def test_close_of_a_lost_trial_that_is_not_run_again_fails_it(record: StudyRecord) -> None:
    number = add(record)
    record.close(number, Ending(Outcome.LOST, reason="its worker died"), is_again=False)
    trial = record.trial(number)
    assert record.frozen(number).state is TrialState.FAIL
    assert (trial.outcome, trial.is_waiting, trial.value) == (Outcome.LOST, False, None)


def test_close_of_a_failed_trial_that_is_run_again_lets_it_wait(record: StudyRecord) -> None:
    number = add(record)
    for crashes in (1, 2):
        record.close(number, Ending(Outcome.FAILED), is_again=True, crashes=crashes)
        trial = reopened(record).trial(number)
        assert (trial.state, trial.crashes) == ("waiting (failed)", crashes)
        record.begin(number)
    assert record.trial(number).crashes == 2


@pytest.mark.parametrize(
    ("outcome", "is_again", "state"),
    [
        (Outcome.FAILED, True, "waiting (failed)"),
        (Outcome.LOST, False, "lost"),
        (Outcome.LOST, True, "waiting (lost)"),
        (Outcome.FAILED, False, "failed"),
    ],
)
def test_settle_remembers_whether_a_trial_is_run_again(
    record: StudyRecord, outcome: Outcome, is_again: bool, state: str
) -> None:
    """A kill between the ending and the state.

    Fails where the outcome alone decides.
    """
    number = add(record)
    record._write_ending(number, Ending(outcome), is_again=is_again)
    again = reopened(record)
    assert again.settle() == [number]
    assert again.trial(number).state == state


def test_begin_counts_the_attempts_and_forgets_the_last_ending_while_it_runs(
    record: StudyRecord,
) -> None:
    number = add(record, begin=False)
    for attempt in range(3):
        assert record.begin(number) == attempt
        assert (record.trial(number).state, record.trial(number).outcome) == ("running", None)
        record.close(number, Ending(Outcome.PAUSED, reason="later"))
    assert record.trial(number).attempt == 2


def test_add_rung_of_a_step_already_there_keeps_the_first(record: StudyRecord) -> None:
    number = add(record)
    record.add_rung(number, 1, 0.5)
    record.add_rung(number, 1, 0.9)
    assert record.trial(number).rungs == {1: 0.5}


Step = Callable[[StudyRecord, int], Any]


def _ended(record: StudyRecord, number: int) -> None:
    record._write_ending(number, Ending(Outcome.COMPLETE, 0.9, 1), is_again=False)


def _memory_ended(record: StudyRecord, number: int) -> None:
    record._write_ending(number, Ending(Outcome.OUT_OF_MEMORY), is_again=False)


def _constrained(record: StudyRecord, number: int) -> None:
    _memory_ended(record, number)
    trial_id = record.frozen(number)._trial_id
    optuna.Trial(record.study, trial_id).set_constraint(MEMORY_CONSTRAINT, 1.0)


def _paused_and_begun(record: StudyRecord, number: int) -> None:
    record.close(number, Ending(Outcome.PAUSED))
    record.begin(number)


@pytest.mark.parametrize(
    ("steps", "state", "outcome", "value"),
    [
        pytest.param([], TrialState.WAITING, Outcome.INTERRUPTED, None, id="begun"),
        pytest.param([_ended], TrialState.COMPLETE, Outcome.COMPLETE, 0.9, id="ending written"),
        pytest.param(
            [_memory_ended], TrialState.PRUNED, Outcome.OUT_OF_MEMORY, None, id="memory ending"
        ),
        pytest.param(
            [_constrained], TrialState.PRUNED, Outcome.OUT_OF_MEMORY, None, id="constraint set"
        ),
        pytest.param(
            [_paused_and_begun], TrialState.WAITING, Outcome.INTERRUPTED, None, id="second try"
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_settle_after_the_driver_died_gives_the_state_that_is_true(
    record: StudyRecord, steps: list[Step], state: TrialState, outcome: Outcome, value: float
) -> None:
    """Fails where a written ending does not count."""
    number = add(record)
    for step in steps:
        step(record, number)
    assert record.frozen(number).state is TrialState.RUNNING
    again = reopened(record)
    assert again.settle() == [number]
    trial = again.trial(number)
    assert again.frozen(number).state is state
    assert (trial.outcome, trial.value) == (outcome, value)
    assert again.settle() == []


def test_settle_before_a_trial_was_begun_leaves_it_waiting(record: StudyRecord) -> None:
    number = add(record, begin=False)
    again = reopened(record)
    assert again.settle() == []
    assert again.trial(number).state == "waiting"
    assert again.begin(number) == 0


def test_settle_between_the_attempts_number_and_its_state_leaves_it_waiting(
    record: StudyRecord,
) -> None:
    number = add(record, begin=False)
    trial_id = record.frozen(number)._trial_id
    record.study._storage.set_trial_user_attr(trial_id, "attempt", 0)
    again = reopened(record)
    assert again.settle() == []
    assert again.begin(number) == 1


def test_settle_leaves_ended_trials_alone(record: StudyRecord) -> None:
    """Fails where `settle` looks at ended trials too."""
    for outcome in (Outcome.COMPLETE, Outcome.FAILED, Outcome.PAUSED):
        record.close(add(record), Ending(outcome, value=0.5))
    again = reopened(record)
    before = (record.folder / "journal.log").read_bytes()
    assert again.settle() == []
    assert (record.folder / "journal.log").read_bytes() == before


@pytest.mark.parametrize(
    ("direction", "expected"), [("maximize", [2, 0, 3]), ("minimize", [0, 3, 2])]
)
def test_best_trials_are_the_complete_ones_the_earlier_of_equals_first(
    tmp_path: Path, direction: str, expected: list[int]
) -> None:
    record = StudyRecord.open(tmp_path / "cats" / "1", direction=direction)
    endings: Iterator[Ending] = iter(
        [
            Ending(Outcome.COMPLETE, 0.5),
            Ending(Outcome.FAILED, 9.0),
            Ending(Outcome.COMPLETE, 0.6),
            Ending(Outcome.COMPLETE, 0.5),
            Ending(Outcome.PRUNED, 0.0),
        ]
    )
    for ending in endings:
        record.close(add(record), ending)
    assert [trial.number for trial in best_trials(record)] == expected


def test_study_id_stays_and_differs_between_studies(record: StudyRecord, tmp_path: Path) -> None:
    assert reopened(record).study_id == record.study_id
    assert record.study_id.startswith("cats:1:")
    other = StudyRecord.open(tmp_path / "other" / "cats" / "1", direction="maximize")
    assert other.study_id != record.study_id


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_read_knows_direction_and_attributes(tmp_path: Path, direction: str) -> None:
    folder = tmp_path / "cats" / "1"
    StudyRecord.open(folder, direction=direction).set_attribute("facts", {"classes": ["a", "b"]})
    read = StudyRecord.read(folder)
    assert read.is_maximized == (direction == "maximize")
    assert read.attributes["facts"] == {"classes": ["a", "b"]}
    assert read.name == "cats"


def test_read_while_the_driver_writes_sees_what_was_there(record: StudyRecord) -> None:
    number = add(record)
    read = StudyRecord.read(record.folder)
    record.close(number, Ending(Outcome.COMPLETE, 0.5))
    assert StudyRecord.read(record.folder).trial(number).value == 0.5
    assert read.trials()[0].number == number
