"""The durable record of a study: which trials exist, their parameters, states and endings.

Optuna's storage is the owner; this is the only module that writes to it. What Optuna has no
word for is kept in user attributes of the trial (`origin`, `seed`, `wave`, `segment`, `attempt`,
`failed_at`, `exclusive`, `crashes`, `ending`) and of the study (`study_id`, `experiment`,
`identity`, `facts`, `seconds_used`, `undelivered`, `elsewhere`).

What belongs together is one write, which survives the death of the process. `sync` makes it
survive that of the machine; nothing is shown as ended before.
"""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runner.study.folders import place_of
from runner.study.kept import InOptuna, Kept
from runner.study.place import Place
from runner.study.replay import UnknownOperation, replay
from runner.study.sampling import MEMORY_CONSTRAINT, Proposal
from runner.study.storage import load_study, open_storage
from runner.study.trial_record import (
    RESUMABLE,
    Asked,
    TrialRecord,
    ending_of,
    ending_values,
    is_run_again,
    waiting_trial,
)
from runner.trial import Ending, Outcome

if TYPE_CHECKING:
    import optuna

    from runner.study.journal import StudyJournal


logger = logging.getLogger(__name__)


class StudyRecord:
    """A study's durable record. Only the holder of its lock may call what writes.

    Args:
        where: Where the study is kept; a path is a study in that folder.
        study: As Optuna holds it; None for a record that is only read.
        journal: The journal behind it.
        kept: Where a record is read from that has no Optuna study.
    """

    def __init__(
        self,
        where: Place | Path,
        study: "optuna.Study | None" = None,
        *,
        journal: "StudyJournal | None" = None,
        kept: Kept | None = None,
    ) -> None:
        self.place = place_of(where)
        self._optuna = None if study is None else InOptuna(study)
        self._journal = journal
        self._kept: Kept = kept or self._written
        self._count = self._kept.count

    @classmethod
    def open(cls, where: Place | Path, *, direction: str) -> Self:
        """Open a study for writing, created if there is none; the caller holds its lock."""
        import optuna

        from runner.study.journal import StudyJournal

        place = place_of(where)
        place.folder.mkdir(parents=True, exist_ok=True)
        journal = StudyJournal(place.lines())
        study = optuna.create_study(
            storage=open_storage(journal),
            study_name=place.name,
            direction=optuna.study.StudyDirection[direction.upper()],
            sampler=optuna.samplers.RandomSampler(),
            load_if_exists=True,
        )
        record = cls(place, study, journal=journal)
        if "study_id" not in record.attributes:
            record.set_attribute("study_id", f"{record.reference}:{secrets.token_hex(4)}")
        return record

    @classmethod
    def reopen(cls, where: Place | Path) -> Self:
        """Open a study that is there for writing; the caller holds its lock."""
        from runner.study.journal import StudyJournal

        place = place_of(where)
        journal = StudyJournal(place.lines())
        return cls(place, load_study(place.name, open_storage(journal)), journal=journal)

    @classmethod
    def read(cls, where: Place | Path) -> Self:
        """Open a study for reading, also while a driver writes to it."""
        place = place_of(where)
        try:
            kept: Kept = replay(place.content())
        except UnknownOperation as unknown:
            logger.debug("%s: read by Optuna", unknown)
            kept = InOptuna(load_study(place.name, optuna_storage(place)))
        return cls(place, kept=kept)

    @property
    def study(self) -> "optuna.Study":
        """The study as Optuna holds it, of a record that may be written."""
        return self._written.study

    @property
    def _written(self) -> InOptuna:
        if self._optuna is None:
            raise AssertionError("this record was opened for reading")
        return self._optuna

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.place.name

    @property
    def reference(self) -> str:
        """`name:number`, by which commands find the study."""
        return f"{self.place.name}:{self.place.number}"

    @property
    def folder(self) -> Path:
        """The folder, on this machine, with what its trials leave."""
        return self.place.folder

    @property
    def study_id(self) -> str:
        """Unlike any other study's; MLflow runs carry it."""
        return str(self.attributes["study_id"])

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The study's own attributes."""
        return self._kept.attributes

    @property
    def is_maximized(self) -> bool:
        """Whether a larger value is better."""
        return self._kept.is_maximized

    def set_attribute(self, name: str, value: Any) -> None:
        """Write an attribute of the study, a JSON value."""
        self.study._storage.set_study_user_attr(self.study._study_id, name, value)

    def one_write(self) -> AbstractContextManager[None]:
        """What is written within is written as one, at the end."""
        return nullcontext() if self._journal is None else self._journal.batch()

    def sync(self) -> None:
        """Have all that was written on the disk: it survives a power cut, not a kill alone."""
        if self._journal is not None:
            self._journal.sync()

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return self._kept.trials()

    @property
    def count(self) -> int:
        """How many trials were asked for, whatever became of them."""
        return self._count

    def trial(self, number: int) -> TrialRecord:
        """One trial."""
        return self._kept.trial(number)

    def frozen(self, number: int) -> "optuna.trial.FrozenTrial":
        """One trial as Optuna has it."""
        return self._written.frozen(number)

    def add(self, proposal: Proposal, *, origin: str, seed: int) -> int:
        """Write a new, waiting trial with all its parameters in one go; gives its number."""
        return self.add_all([Asked(proposal, origin, seed, (self._count, 1))])[0]

    def add_all(self, asked: Sequence[Asked]) -> list[int]:
        """Write the waiting trials of a wave; gives their numbers."""
        with self.one_write():
            for trial in asked:
                self.study.add_trial(waiting_trial(trial))
        first, self._count = self._count, self._count + len(asked)
        return list(range(first, self._count))

    def begin(self, number: int) -> int:
        """A waiting trial begins (again); gives the number of the attempt."""
        import optuna

        trial = self.frozen(number)
        attempt = int(trial.user_attrs["attempt"]) + 1
        state = optuna.trial.TrialState.RUNNING
        with self.one_write():
            self.set_trial_attribute(number, "attempt", attempt)
            self.study._storage.set_trial_state_values(trial._trial_id, state)
        return attempt

    def add_rung(
        self, number: int, step: int, value: float, *, failed_at: int | None = None
    ) -> None:
        """A running trial's value at a rung; one already there stays.

        Args:
            number: The trial.
            step: The epoch that it has reported.
            value: The search metric then.
            failed_at: The rung at which it is to stop for it; None if it goes on.
        """
        trial = self.frozen(number)
        if step in trial.intermediate_values:
            return
        with self.one_write():
            if failed_at is not None:
                self.set_trial_attribute(number, "failed_at", failed_at)
            self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def close(
        self,
        number: int,
        ending: Ending,
        *,
        is_again: bool | None = None,
        crashes: int | None = None,
    ) -> None:
        """An attempt has ended: for good, or to wait for the next.

        The ending is written before the state, so that a kill between the two loses nothing:
        `settle` finishes the job.

        Args:
            number: The trial.
            ending: How the attempt ended.
            is_again: Whether the trial is run again; None: as the outcome says (see RESUMABLE).
            crashes: How many of its attempts have crashed by now; None: as many as before.
        """
        again = ending.outcome in RESUMABLE if is_again is None else is_again
        before = self.frozen(number).user_attrs.get("crashes", 0)
        with self.one_write():
            if crashes not in (None, before):
                self.set_trial_attribute(number, "crashes", crashes)
            self._write_ending(number, ending, is_again=again)
            self._set_state(number, ending.outcome, ending.value, is_again=again)

    def settle(self) -> list[int]:
        """Bring trials that a dead driver left behind into a state that is true; gives them.

        Those with a written ending get their state; the others were interrupted and wait.
        """
        import optuna

        settled = []
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state is not optuna.trial.TrialState.RUNNING:
                continue
            settled.append(trial.number)
            ending = ending_of(trial)
            if ending and ending["attempt"] == trial.user_attrs["attempt"]:
                outcome, is_again = Outcome(ending["outcome"]), is_run_again(ending)
                self._set_state(trial.number, outcome, ending["value"], is_again=is_again)
            else:
                self.close(trial.number, Ending(Outcome.INTERRUPTED, reason="its driver died"))
        self.sync()
        return settled

    def set_trial_attribute(self, number: int, name: str, value: Any) -> None:
        """Write an attribute of a trial that has not ended, a JSON value."""
        self.study._storage.set_trial_user_attr(self.frozen(number)._trial_id, name, value)

    def _write_ending(self, number: int, ending: Ending, *, is_again: bool) -> None:
        attempt = int(self.frozen(number).user_attrs["attempt"])
        values = ending_values(ending, attempt, is_again=is_again)
        self.set_trial_attribute(number, "ending", values)

    def _set_state(
        self, number: int, outcome: Outcome, value: float | None, *, is_again: bool
    ) -> None:
        from optuna.trial import Trial, TrialState

        trial = self.frozen(number)
        values = None if value is None else [value]
        if is_again:
            state, values = TrialState.WAITING, None
        elif outcome is Outcome.COMPLETE:
            state = TrialState.COMPLETE
        elif outcome is Outcome.PRUNED:
            last = trial.last_step
            values = None if last is None else [trial.intermediate_values[last]]
            state = TrialState.PRUNED
        elif outcome is Outcome.OUT_OF_MEMORY:
            if MEMORY_CONSTRAINT not in trial.constraints:
                Trial(self.study, trial._trial_id).set_constraint(MEMORY_CONSTRAINT, 1.0)
            state, values = TrialState.PRUNED, None
        else:
            state, values = TrialState.FAIL, None
        self.study._storage.set_trial_state_values(trial._trial_id, state, values)


def optuna_storage(place: Place) -> "optuna.storages.JournalStorage":
    """A study as it is now, for Optuna's own tools; nothing can be written to it."""
    from runner.study.journal import Snapshot, StudyJournal

    return open_storage(StudyJournal(Snapshot(place.content())))


def best_trials(record: StudyRecord) -> Iterator[TrialRecord]:
    """Complete trials, the best first; of equals the one of lower loss, then the earlier one."""
    complete = [t for t in record.trials() if t.outcome is Outcome.COMPLETE]
    sign = -1 if record.is_maximized else 1
    yield from sorted(complete, key=lambda t: (sign * (t.value or 0.0), t.loss, t.number))
