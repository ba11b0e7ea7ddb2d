"""The durable record of a study: which trials exist, their parameters, states and endings.

Optuna's storage is the owner; this is the only module that writes to it. What Optuna has no
word for is kept in user attributes of the trial (`origin`, `seed`, `attempt`, `ending`) and of
the study (`study_id`, `experiment`, `identity`, `facts`, `seconds_used`).
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runner.study.sampling import MEMORY_CONSTRAINT, Proposal
from runner.study.storage import open_storage
from runner.trial import Ending, Outcome

if TYPE_CHECKING:
    import optuna

# Outcomes after which the same trial number may be run again.
RESUMABLE = frozenset({Outcome.PAUSED, Outcome.INTERRUPTED, Outcome.LOST})


@dataclass(frozen=True)
class Asked:
    """A trial to be written to the study.

    Attributes:
        proposal: Its parameters.
        origin: "sampler", "first:<n>" or "enqueued:<id>".
        seed: Its own.
        wave: The number of the first trial it was asked together with, and how many they are.
    """

    proposal: Proposal
    origin: str
    seed: int
    wave: tuple[int, int]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the study knows it.

    Attributes:
        number: Counted from 0.
        outcome: How it ended; None while it runs or waits.
        is_waiting: Whether it waits to be run (again).
        value: The search metric of its best epoch; a pruned trial's last rung.
        best_epoch: The epoch of that value, counted from 1.
        params: Its searched hyperparameters.
        rungs: Values by epoch, those at rungs only.
        origin: "sampler", "first:<n>" or "enqueued:<id>".
        seed: Of initialisation, order and augmentation.
        wave: The number of the first trial it was asked together with, and how many they were
            to be.
        attempt: How many times it was begun before, counted from 0; -1 if never.
        reason: Why it failed or left early; empty otherwise.
        traceback: Of a failure; empty otherwise.
        notes: Facts about the run (seconds, device, micro-batch, ...).
        started, ended: Local time.
    """

    number: int
    outcome: Outcome | None
    is_waiting: bool
    value: float | None
    best_epoch: int | None
    params: Mapping[str, Any]
    rungs: Mapping[int, float]
    origin: str
    seed: int
    wave: tuple[int, int]
    attempt: int
    reason: str
    traceback: str
    notes: Mapping[str, Any]
    started: datetime | None
    ended: datetime | None

    @property
    def state(self) -> str:
        """The outcome's name, or "waiting" or "running"."""
        if self.is_waiting:
            return f"waiting ({self.outcome})" if self.outcome else "waiting"
        return str(self.outcome) if self.outcome else "running"


class StudyRecord:
    """A study's durable record. Only the holder of its lock may call what writes."""

    def __init__(self, folder: Path, study: "optuna.Study") -> None:
        self.folder = folder
        self.study = study
        self._count = len(study.get_trials(deepcopy=False))

    @classmethod
    def open(cls, folder: Path, *, direction: str) -> Self:
        """Open a study for writing, created if there is none; the caller holds its lock."""
        import optuna

        folder.mkdir(parents=True, exist_ok=True)
        storage = open_storage(folder, repair=True)
        study = optuna.create_study(
            storage=storage,
            study_name=folder.parent.name,
            direction=optuna.study.StudyDirection[direction.upper()],
            sampler=optuna.samplers.RandomSampler(),
            load_if_exists=True,
        )
        record = cls(folder, study)
        if "study_id" not in study.user_attrs:
            name = f"{folder.parent.name}:{folder.name}:{secrets.token_hex(4)}"
            study.set_user_attr("study_id", name)
        return record

    @classmethod
    def reopen(cls, folder: Path) -> Self:
        """Open a study that is there for writing; the caller holds its lock."""
        return cls._load(folder, repair=True)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open a study for reading, also while a driver writes to it."""
        return cls._load(folder, repair=False)

    @classmethod
    def _load(cls, folder: Path, *, repair: bool) -> Self:
        import optuna

        storage = open_storage(folder, repair=repair)
        study = optuna.load_study(
            storage=storage,
            study_name=folder.parent.name,
            sampler=optuna.samplers.RandomSampler(),
        )
        return cls(folder, study)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.folder.parent.name

    @property
    def study_id(self) -> str:
        """Unlike any other study's; MLflow runs carry it."""
        return str(self.study.user_attrs["study_id"])

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The study's own attributes."""
        attributes: Mapping[str, Any] = self.study.user_attrs
        return attributes

    @property
    def is_maximized(self) -> bool:
        """Whether a larger value is better."""
        return self.study.direction.name == "MAXIMIZE"

    def set_attribute(self, name: str, value: Any) -> None:
        """Write an attribute of the study, a JSON value."""
        self.study.set_user_attr(name, value)

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return [_record_of(trial) for trial in self._frozen()]

    @property
    def count(self) -> int:
        """How many trials were asked for, whatever became of them."""
        return self._count

    def trial(self, number: int) -> TrialRecord:
        """One trial."""
        return _record_of(self.frozen(number))

    def frozen(self, number: int) -> "optuna.trial.FrozenTrial":
        """One trial as Optuna has it."""
        storage = self.study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)
        return storage.get_trial(trial_id)

    def add(self, proposal: Proposal, *, origin: str, seed: int) -> int:
        """Write a new, waiting trial with all its parameters in one go; gives its number."""
        return self.add_all([Asked(proposal, origin, seed, (self._count, 1))])[0]

    def add_all(self, asked: Sequence[Asked]) -> list[int]:
        """Write the waiting trials of a wave; gives their numbers."""
        import optuna

        for trial in asked:
            attrs = {"origin": trial.origin, "seed": trial.seed, "attempt": -1}
            wave = {} if trial.wave[1] == 1 else {"wave": list(trial.wave)}
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.WAITING,
                    params=dict(trial.proposal.params),
                    distributions=dict(trial.proposal.distributions),
                    system_attrs=dict(trial.proposal.system_attrs),
                    user_attrs={**attrs, **wave},
                )
            )
        first, self._count = self._count, self._count + len(asked)
        return list(range(first, self._count))

    def begin(self, number: int) -> int:
        """A waiting trial begins (again); gives the number of the attempt."""
        import optuna

        trial = self.frozen(number)
        attempt = int(trial.user_attrs["attempt"]) + 1
        self.set_trial_attribute(number, "attempt", attempt)
        state = optuna.trial.TrialState.RUNNING
        self.study._storage.set_trial_state_values(trial._trial_id, state)
        return attempt

    def add_rung(self, number: int, step: int, value: float) -> None:
        """A running trial's value at a rung; one already there stays."""
        trial = self.frozen(number)
        if step not in trial.intermediate_values:
            self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def close(self, number: int, ending: Ending) -> None:
        """An attempt has ended: for good, or to wait for the next (see RESUMABLE).

        The ending is written before the state, so that a kill between the two loses nothing:
        `settle` finishes the job.
        """
        self._write_ending(number, ending)
        self._set_state(number, ending.outcome, ending.value)

    def give_up(self, number: int, ending: Ending) -> None:
        """Fail a trial that was lost too often; it is not run again."""
        import optuna

        self._write_ending(number, ending)
        trial_id = self.frozen(number)._trial_id
        self.study._storage.set_trial_state_values(trial_id, optuna.trial.TrialState.FAIL)

    def settle(self) -> list[int]:
        """Bring trials that a dead driver left behind into a state that is true; gives them.

        Those with a written ending get their state; the others were interrupted and wait.
        """
        import optuna

        settled = []
        for trial in self._frozen():
            if trial.state is not optuna.trial.TrialState.RUNNING:
                continue
            settled.append(trial.number)
            ending = _ending_of(trial)
            if ending and ending["attempt"] == trial.user_attrs["attempt"]:
                self._set_state(trial.number, Outcome(ending["outcome"]), ending["value"])
            else:
                self.close(trial.number, Ending(Outcome.INTERRUPTED, reason="its driver died"))
        return settled

    def set_trial_attribute(self, number: int, name: str, value: Any) -> None:
        """Write an attribute of a trial that has not ended, a JSON value."""
        self.study._storage.set_trial_user_attr(self.frozen(number)._trial_id, name, value)

    def _write_ending(self, number: int, ending: Ending) -> None:
        attempt = int(self.frozen(number).user_attrs["attempt"])
        self.set_trial_attribute(number, "ending", _ending_values(ending, attempt))

    def _set_state(self, number: int, outcome: Outcome, value: float | None) -> None:
        from optuna.trial import Trial, TrialState

        trial = self.frozen(number)
        values = None if value is None else [value]
        if outcome in RESUMABLE:
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

    def _frozen(self) -> "list[optuna.trial.FrozenTrial]":
        return list(self.study.get_trials(deepcopy=False))


def best_trials(record: StudyRecord) -> Iterator[TrialRecord]:
    """Complete trials, the best first; of equals the earlier one."""
    complete = [t for t in record.trials() if t.outcome is Outcome.COMPLETE]
    sign = -1 if record.is_maximized else 1
    yield from sorted(complete, key=lambda t: (sign * (t.value or 0.0), t.number))


def _ending_values(ending: Ending, attempt: int) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "outcome": ending.outcome.value,
        "value": ending.value,
        "best_step": ending.best_step,
        "reason": ending.reason,
        "traceback": ending.traceback,
        "notes": dict(ending.notes),
        "has_weights": ending.has_weights,
    }


def _ending_of(trial: "optuna.trial.FrozenTrial") -> dict[str, Any] | None:
    return trial.user_attrs.get("ending")


def _record_of(trial: "optuna.trial.FrozenTrial") -> TrialRecord:
    from optuna.trial import TrialState

    is_open = trial.state is TrialState.RUNNING
    ending = {} if is_open else (_ending_of(trial) or {})
    return TrialRecord(
        number=trial.number,
        outcome=Outcome(ending["outcome"]) if ending else None,
        is_waiting=trial.state is TrialState.WAITING,
        value=trial.value if trial.state.is_finished() else None,
        best_epoch=ending.get("best_step"),
        params=dict(trial.params),
        rungs=dict(trial.intermediate_values),
        origin=str(trial.user_attrs.get("origin", "sampler")),
        seed=int(trial.user_attrs.get("seed", 0)),
        wave=tuple(trial.user_attrs.get("wave", (trial.number, 1))),
        attempt=int(trial.user_attrs.get("attempt", -1)),
        reason=str(ending.get("reason", "")),
        traceback=str(ending.get("traceback", "")),
        notes=ending.get("notes", {}),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )
