"""A Python function of the user's as the objective of a search."""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.errors import TrialFailed, TrialOutOfMemory, UserCodeFailed
from runner.experiment import Experiment, Store
from runner.trial.custom.ending import ending_of, notes_of
from runner.trial.custom.folders import TrialFolders
from runner.trial.custom.history import History
from runner.trial.custom.inspection import inspect_function
from runner.trial.custom.line import Line
from runner.trial.custom.needs import needs_of
from runner.trial.custom.own_trial import CustomTrial, StopTrial
from runner.trial.custom.source import Modules, Reference, load_function
from runner.trial.custom.surroundings import beside, require_memory, reset_process
from runner.trial.custom.values import returned_values
from runner.trial.job import (
    Channel,
    Decision,
    Ending,
    Facts,
    Files,
    Hint,
    Job,
    Lease,
    Objective,
    Outcome,
    TrialSpec,
)

logger = logging.getLogger(__name__)


@dataclass
class CustomFunction:
    """Calls the function that `objective` names, once a trial.

    Pickles as the experiment alone; the user's file is loaded on first use in each process.
    """

    experiment: Experiment
    store: Store
    _modules: Modules = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_modules": {}}

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        """Nothing is known of the user's own code; see `Objective.hint`."""
        return Hint()

    def needs(self) -> tuple[Files, ...]:
        """See `Objective.needs`."""
        return needs_of(self.experiment)

    def moved(self, store: Store, places: Mapping[str, str]) -> Objective:
        """See `Objective.moved`."""
        return replace(self, experiment=self.experiment.relocated(places), store=store)

    def inspect(self, lease: Lease) -> Facts:
        """Load the function and look whether it can be called; see `Objective.inspect`."""
        return inspect_function(self.experiment, self._modules)

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        """Run each of the job's trials; see `Objective.run`."""
        for spec in job.trials:
            channel.end(spec.key, self._run_one(spec, lease, Line(channel, spec.key)))

    def _run_one(self, spec: TrialSpec, lease: Lease, line: Line) -> Ending:
        folders = TrialFolders(Path(spec.folder))
        folders.begin()
        history = History.of(self.experiment)
        if folders.checkpoint() is not None:
            history.restore(folders.history())
            logger.info("going on after step %d", history.step)
        trial = CustomTrial(
            spec,
            lease,
            line,
            history=history,
            folders=folders,
            params=self.experiment.settings(dict(spec.params)),
        )
        try:
            ending = self._attempt(trial, history, line, lease)
        except Exception as error:
            # Out of memory by itself is for good; whatever else was raised, it may be run again
            # from here, and if not the study removes what is left.
            is_short = isinstance(error, TrialOutOfMemory)
            folders.end(Outcome.FAILED if is_short and not spec.is_packed else Outcome.PAUSED)
            if is_short:
                raise
            raise UserCodeFailed(str(error)) from error
        folders.end(ending.outcome)
        return ending

    def _attempt(self, trial: CustomTrial, history: History, line: Line, lease: Lease) -> Ending:
        reason = ""
        if line.replay(history) is Decision.CONTINUE:
            reason = self._call(trial, history, line, lease)
        notes = {**notes_of(lease, history, seconds=trial.seconds), **_memory(lease)}
        return ending_of(history, line.decision, notes=notes, reason=reason)

    def _call(self, trial: CustomTrial, history: History, line: Line, lease: Lease) -> str:
        """Call the user's function to its end; gives more to say of a trial that left."""
        assert self.experiment.objective is not None
        function = load_function(self.experiment.objective, self._modules)
        try:
            reset_process(lease, trial.seed)
            with beside(Reference.of(self.experiment.objective).file.parent):
                returned = function(trial)
        except StopTrial:
            return ""
        except SystemExit as error:
            if line.has_gone:
                raise
            if line.decision is not Decision.CONTINUE:
                return ""
            raise TrialFailed(f"the objective called sys.exit({error.code!r})") from error
        except Exception as error:
            if line.decision is Decision.CONTINUE:
                require_memory(error)
                raise
            logger.warning("raised while leaving", exc_info=True)
            return f"while leaving it raised {type(error).__name__}: {error}"
        if line.decision is Decision.CONTINUE:
            self._take(returned, history, line)
        return ""

    def _take(self, returned: object, history: History, line: Line) -> None:
        """What the function returned counts as a last report; it has then run to its end."""
        values = returned_values(returned, self.experiment.metric)
        if values is not None:
            line.send_last(history.add(history.step + 1, values))


def _memory(lease: Lease) -> Mapping[str, Any]:
    """Peak memory of the trial, where a library could tell."""
    if "torch" not in sys.modules or not lease.devices[0].startswith("cuda"):
        return {}
    from runner.trial.memory import peak_memory_gib

    return {"peak_memory_gib": peak_memory_gib(lease.devices[0])}
