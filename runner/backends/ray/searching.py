"""The Searcher and the TrialScheduler that put a study's feed in charge of Ray Tune.

Tune never stops a trial: the study's decision goes to the worker, which ends the trial itself with
its evaluation and its checkpoint, as on every backend.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.tune import Stopper
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from runner.backends.contract import NoJob
from runner.backends.ray.bridge import Answers, Bridge
from runner.trial import Job, Lease

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Parcel:
    """A job and its lease, opaque to Tune, which would flatten and print what it can look into."""

    content: tuple[Job, Lease]

    def __repr__(self) -> str:
        return f"job {self.content[0].trials[0].key.trial}"


class _Unkept:
    """Not part of Tune's records, which pickle whatever they reach."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (object, ())


class JobSearcher(_Unkept, Searcher):  # type: ignore[misc]
    """Suggests the feed's jobs."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job as a configuration; None to be asked again; FINISHED."""
        job = _guarded(self._bridge, lambda: self._bridge.next(trial_id))
        if job is NoJob.WAIT:
            return None
        if isinstance(job, tuple):
            return {"job": Parcel(job)}
        finished: str = Searcher.FINISHED
        return finished

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Close what is left of a job; its scheduler has heard its last words."""
        if not error:
            _guarded(self._bridge, lambda: self._bridge.over(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """The study is its own record."""

    def restore(self, checkpoint_path: str) -> None:
        """Never done: a new driver begins a new Tune run."""
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """Nothing: see `save`."""
        return {}


class JobScheduler(_Unkept, TrialScheduler):  # type: ignore[misc]
    """Hears what jobs say, and tells them what the study wants."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._trials: dict[str, Any] = {}
        self._controller: Any = None

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Remember Tune's trial, for its actor."""
        self._trials[trial.trial_id] = trial

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Pass on a step's messages; the answers reach the actor before its next step."""
        answers = self._hear(trial, result)
        if answers:
            _actor_of(trial).hear.remote(answers)
        decision: str = TrialScheduler.CONTINUE
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Pass on a job's last messages."""
        self._hear(trial, result)
        self._trials.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A job's actor has died."""
        why = f"its worker died: {_cause_of(trial)}"
        _guarded(self._bridge, lambda: self._bridge.over(trial.trial_id, why=why))
        self._trials.pop(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A job that never began is given up; the bridge closes it."""
        self._trials.pop(trial.trial_id, None)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Called at every turn of Tune's loop; which of the waiting runs is Tune's choice."""
        self._controller = tune_controller
        _guarded(self._bridge, lambda: self._bridge.tick(self))

    def is_waiting(self, trial_id: str) -> bool:
        """See `Workers.is_waiting`."""
        trial = self._trials.get(trial_id)
        return trial is not None and trial.status == trial.PENDING

    def give_up(self, trial_id: str) -> None:
        """See `Workers.give_up`; the searcher hears of it."""
        self._controller.stop_trial(self._trials[trial_id])

    def kill(self, trial_id: str) -> None:
        """See `Workers.kill`."""
        logger.warning("the worker of Tune's trial %s has hung: killed", trial_id)
        actor = _actor_of(self._trials[trial_id])
        if actor is not None:
            ray.kill(actor)

    def debug_string(self) -> str:
        """For Tune's own display, which is off."""
        return "runner"

    def _hear(self, trial: Any, result: dict[str, Any]) -> Answers:
        messages, is_alive = result.get("messages", []), bool(result.get("is_alive", True))
        heard = _guarded(
            self._bridge,
            lambda: self._bridge.hear(trial.trial_id, messages, is_alive=is_alive),
        )
        return heard or Answers({}, {})


class FailureStopper(_Unkept, Stopper):  # type: ignore[misc]
    """Ends Tune's run when the search cannot go on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped by Tune."""
        return False

    def stop_all(self) -> bool:
        """Whether there is a failure."""
        return self._bridge.failure is not None


def _guarded(bridge: Bridge, act: Callable[[], T]) -> T | None:
    """What is raised inside Tune's loop would end there as a failed trial: keep it, and stop."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - raised again when Tune has ended
        if bridge.failure is None:
            bridge.failure = error
        return None


def _actor_of(trial: Any) -> Any:
    return trial.temporary_state.ray_actor


def _cause_of(trial: Any) -> str:
    lines = [line.strip() for line in str(trial.get_error() or "").splitlines() if line.strip()]
    # What we raised ourselves is a sentence for people, at the end of Ray's traceback.
    ours = [line for line in lines if line.startswith("runner.errors.")]
    if ours:
        return ours[-1].partition(": ")[2]
    return " ".join(lines[:3]) if lines else "Ray does not say why"
