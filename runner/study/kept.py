"""Where a study is read from: what Optuna holds in memory, or the journal itself (`replay.py`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from runner.study.trial_record import TrialRecord, record_of

if TYPE_CHECKING:
    import optuna


class Kept(Protocol):
    """Where a study is read from."""

    @property
    def is_maximized(self) -> bool:
        """Whether a larger value is better."""
        ...

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The study's own attributes."""
        ...

    @property
    def count(self) -> int:
        """How many trials were asked for."""
        ...

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        ...

    def trial(self, number: int) -> TrialRecord:
        """One trial."""
        ...


class InOptuna:
    """A study that Optuna holds in memory."""

    def __init__(self, study: "optuna.Study") -> None:
        self.study = study

    @property
    def is_maximized(self) -> bool:
        """See `Kept`."""
        return self.study.direction.name == "MAXIMIZE"

    @property
    def attributes(self) -> Mapping[str, Any]:
        """See `Kept`."""
        # Not `user_attrs`: that would copy the whole experiment.
        storage = self.study._storage
        attributes: Mapping[str, Any] = storage.get_study_user_attrs(self.study._study_id)
        return attributes

    @property
    def count(self) -> int:
        """See `Kept`."""
        return len(self.study.get_trials(deepcopy=False))

    def trials(self) -> list[TrialRecord]:
        """See `Kept`."""
        return [record_of(trial) for trial in self.study.get_trials(deepcopy=False)]

    def trial(self, number: int) -> TrialRecord:
        """See `Kept`."""
        return record_of(self.frozen(number))

    def frozen(self, number: int) -> "optuna.trial.FrozenTrial":
        """One trial as Optuna has it."""
        storage = self.study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)
        return storage.get_trial(trial_id)
