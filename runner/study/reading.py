"""Reading studies: what any command does first, a dead driver's traces put right on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import NotFound, StudyLocked
from runner.experiment import Store
from runner.study.parent_run import put_right, warned
from runner.study.place import Place, existing_place
from runner.study.record import StudyRecord, best_trials, optuna_storage
from runner.study.shelf import shelf_of
from runner.study.trial_record import TrialRecord

if TYPE_CHECKING:
    import optuna


def read_study(store: Store, reference: str) -> StudyRecord:
    """A study to look at, by `name` (its newest) or `name:number`.

    Side effects: if its last driver died, what that left behind is put right, in the study and
    in MLflow: after any command nothing dead looks alive, and every trial that ended has its run.

    Raises:
        NotFound: If there is no such study.
    """
    place = existing_place(shelf_of(store), reference)
    if place.standing().is_left_behind:
        _put_right(store, place)
    return StudyRecord.read(place)


def _put_right(store: Store, place: Place) -> None:
    try:
        # Outside of the lock: who leaves it with an error leaves the study to the next command.
        with warned(), place.lock():
            put_right(store, StudyRecord.reopen(place))
    except StudyLocked:
        # A driver has begun this very moment; it does the same.
        return


def study_for_optuna(store: Store, reference: str) -> "optuna.storages.BaseStorage":
    """A study as it is now, for Optuna's own tools; nothing can be written to it.

    Raises:
        NotFound: If there is no such study.
    """
    return optuna_storage(read_study(store, reference).place)


def choose_trial(record: StudyRecord, number: int | None) -> TrialRecord:
    """A study's trial by number, or its best.

    Raises:
        NotFound: If there is none, or it has no value.
    """
    if number is None:
        best = next(best_trials(record), None)
        if best is None:
            raise NotFound(f"the study {record.name!r} has no complete trial yet")
        return best
    trials = record.trials()
    if not 0 <= number < len(trials):
        raise NotFound(
            f"the study {record.name!r} has trials 0 to {len(trials) - 1}, not {number}"
        )
    return trials[number]


@dataclass(frozen=True)
class StudySummary:
    """One line about a study.

    Attributes:
        reference: `name:number`, by which commands find it.
        folder: What its trials leave on this machine.
        is_searching: Whether a driver is alive.
        is_archived: Whether it was put away.
        trials: How many there are, and `complete` how many ran to their end.
        best: The best value so far.
        megabytes: Size of its folder on this machine.
    """

    reference: str
    folder: Path
    is_searching: bool
    is_archived: bool
    trials: int
    complete: int
    best: float | None
    megabytes: float


def list_studies(store: Store) -> Iterator[StudySummary]:
    """Every study of a store, by name and number."""
    shelf = shelf_of(store)
    for name, number in shelf.begun():
        yield _summary(shelf.place(name, number))


def _summary(place: Place) -> StudySummary:
    record, standing = StudyRecord.read(place), place.standing()
    best = next(best_trials(record), None)
    sizes = (path.stat().st_size for path in place.folder.rglob("*") if path.is_file())
    return StudySummary(
        reference=record.reference,
        folder=place.folder,
        is_searching=standing.is_locked,
        is_archived=standing.is_archived,
        trials=len(record.trials()),
        complete=sum(1 for _ in best_trials(record)),
        best=best.value if best is not None else None,
        megabytes=sum(sizes) / 1e6,
    )
