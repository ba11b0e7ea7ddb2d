"""What samplers see of a long study: its best trials and its latest, not all 10,000.

Optuna's samplers read every trial at every ask, so that the time to ask grows with the study
(tpe, six parameters, process time: 10 ms at 100 trials, 184 ms at 10,000). Up to RECENT trials
nothing is left out.
"""

from bisect import bisect_left, insort
from collections.abc import Container, Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

# tpe models the best tenth, at most 25 trials: all of these are always seen, so that what is left
# out only thins the trials that a proposal should keep away from.
BEST = 32
# With the best a quarter of a thousand: an ask then costs 1.8 times what it does at 100 trials.
RECENT = 218
# Of the trials that are open the latest, where more run at once: a sampler keeps away from them.
OPEN = 256

# What stands where a trial was.
_FORGOTTEN = FrozenTrial(
    number=-1,
    trial_id=-1,
    state=TrialState.FAIL,
    value=None,
    datetime_start=None,
    datetime_complete=None,
    params={},
    distributions={},
    user_attrs={},
    system_attrs={},
    intermediate_values={},
)


class Window:
    """Which ended trials of a study are shown; once out of it, a trial never comes back.

    Args:
        is_maximized: Whether a larger value is better.
    """

    def __init__(self, *, is_maximized: bool) -> None:
        self._sign = -1.0 if is_maximized else 1.0
        self._numbers: list[int] = []
        # Best first: complete ones by value, then pruned ones by how far they came.
        self._order: list[tuple[int, int, float, int]] = []

    def add(self, trial: FrozenTrial) -> None:
        """Take in a trial that has ended; one that failed is nothing to a sampler."""
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        insort(self._numbers, trial.number)
        if len(self._numbers) > RECENT + 1:
            # The first one stays: quasi-random samplers take the space from it.
            del self._numbers[1]
        is_feasible = all(value <= 0 for value in trial.constraints.values())
        if trial.value is not None and trial.value == trial.value and is_feasible:
            is_pruned = trial.state is TrialState.PRUNED
            reached = -(trial.last_step or 0) if is_pruned else 0
            insort(self._order, (int(is_pruned), reached, self._sign * trial.value, trial.number))
            del self._order[BEST:]

    def numbers(self) -> set[int]:
        """The trials that are shown."""
        return {*self._numbers, *(entry[-1] for entry in self._order)}


class Mirror(InMemoryStorage):
    """Optuna's storage in memory, of which samplers see a window and the latest open trials.

    What no sampler will see again is forgotten.

    Args:
        is_maximized: Whether a larger value is better.
    """

    def __init__(self, *, is_maximized: bool) -> None:
        super().__init__()
        self._window = Window(is_maximized=is_maximized)
        self._shown: set[int] = set()
        # There is one study, and its trials' ids are their numbers; ascending.
        self._open: list[int] = []
        self._waiting: set[int] = set()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """As Optuna's."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._open.append(trial_id)
        self._look_at(trial_id)
        return trial_id

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's."""
        is_set: bool = super().set_trial_state_values(trial_id, state, values)
        self._look_at(trial_id)
        return is_set

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials that are shown, by number."""
        if states == (TrialState.WAITING,):
            # Optuna looks for them before every ask.
            return [self.get_trial(trial_id) for trial_id in sorted(self._waiting)]
        shown = sorted({*self._shown, *self._open[-OPEN:]})
        trials = [self.get_trial(trial_id) for trial_id in shown]
        return [trial for trial in trials if states is None or trial.state in states]

    def _look_at(self, trial_id: int) -> None:
        """Keep up with a trial's state."""
        trial = self.get_trial(trial_id)
        self._waiting.discard(trial_id)
        if trial.state is TrialState.WAITING:
            self._waiting.add(trial_id)
        if not trial.state.is_finished():
            return
        del self._open[bisect_left(self._open, trial_id)]
        self._window.add(trial)
        before, self._shown = self._shown, self._window.numbers()
        for gone in {trial_id, *before} - self._shown:
            self._set_trial(gone, _FORGOTTEN)


class Told(FrozenTrial):
    """A trial that is nobody else's: the mirror takes it as it is, without copying it."""

    def __deepcopy__(self, memo: object) -> "Told":
        return self


def mirror_study(direction: str) -> optuna.Study:
    """A study in memory whose samplers see a window of it.

    Args:
        direction: "maximize" or "minimize".
    """
    return optuna.create_study(
        storage=Mirror(is_maximized=direction == "maximize"),
        direction=optuna.study.StudyDirection[direction.upper()],
    )
