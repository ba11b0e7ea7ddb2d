"""The built-in objective: fine-tune a pretrained model with one trial's hyperparameters."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.experiment import Experiment, Store
from runner.trial.boundary import ending_of
from runner.trial.job import Channel, Facts, Files, Hint, Job, Lease, Objective
from runner.trial.needs import needs_of
from runner.trial.sharing import hint_of

if TYPE_CHECKING:
    from runner.trial.bench import Bench
    from runner.trial.parallel.crew import Crew

logger = logging.getLogger(__name__)


@dataclass
class FineTune:
    """Fine-tunes the experiment's model, one trial a job.

    Pickles as the experiment alone; what a worker loads (libraries, data, weights) is loaded
    on first use there and kept for the jobs after.
    """

    experiment: Experiment
    store: Store
    _bench: "Bench | None" = field(default=None, init=False, repr=False)
    _crew: "Crew | None" = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bench": None, "_crew": None}

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        """Whether it could be trained with others, and its work; see `Objective.hint`."""
        return hint_of(self.experiment, params, facts)

    def needs(self) -> tuple[Files, ...]:
        """See `Objective.needs`."""
        return needs_of(self.experiment)

    def moved(self, store: Store, places: Mapping[str, str]) -> Objective:
        """See `Objective.moved`."""
        return replace(self, experiment=self.experiment.relocated(places), store=store)

    def inspect(self, lease: Lease) -> Facts:
        """Check what needs the libraries and the data; see `Objective.inspect`."""
        from runner.trial.inspection import inspect_experiment
        from runner.trial.isolation import reset_process

        reset_process(lease)
        return inspect_experiment(self.bench(lease), lease)

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        """Run the job's trials: heads as one computation, others in turn; see `Objective.run`.

        Each is trained on all devices of the lease, heads on the first.
        """
        bench = self.bench(lease)
        crew = self._crew_of(lease)
        try:
            self._run(bench, job, lease.of_rank(0), channel, crew)
        finally:
            bench.release()

    def _run(
        self, bench: "Bench", job: Job, lease: Lease, channel: Channel, crew: "Crew | None"
    ) -> None:
        from runner.trial.finetune import fine_tune
        from runner.trial.isolation import reset_process
        from runner.trial.memory import out_of_memory_beside_others

        left = job.trials
        if len(left) > 1:
            from runner.trial.fused import train_heads

            with out_of_memory_beside_others(job.is_packed):
                reset_process(lease)
                left = train_heads(bench, left, lease, channel)
        for spec in left:
            # What the one before kept on the device has gone with it.
            bench.release()
            Path(spec.folder).mkdir(parents=True, exist_ok=True)
            try:
                with out_of_memory_beside_others(job.is_packed):
                    reset_process(lease)
                    ending = fine_tune(bench, spec, lease, channel, crew=crew)
            except Exception as error:
                if len(job.trials) == 1:
                    raise
                # Its company has nothing to do with it.
                logger.exception("trial %d failed", spec.key.trial)
                ending = ending_of(error)
            channel.end(spec.key, ending)

    def _crew_of(self, lease: Lease) -> "Crew | None":
        """Who trains on the devices of a lease of several, one set a process."""
        if len(lease.devices) == 1:
            return None
        if self._crew is None or self._crew.devices != lease.devices:
            from runner.trial.parallel.crew import Crew

            self._crew = Crew(self, lease)
        return self._crew

    def bench(self, lease: Lease) -> "Bench":
        """The loaded parts of the experiment, one set a process."""
        if self._bench is None:
            from runner.trial.bench import Bench
            from runner.trial.memory import Residency

            self._bench = Bench(
                self.experiment,
                self.store,
                # Data are prepared once, while the others who share the device do nothing.
                threads=lease.threads * lease.neighbours,
                residency=Residency(lease.neighbours),
            )
        return self._bench


def objective_for(experiment: Experiment, store: Store) -> Objective:
    """What runs the trials of an experiment: the built-in fine-tuning, or the user's own code."""
    if not experiment.is_custom:
        return FineTune(experiment, store)
    from runner.trial import custom

    if experiment.objective is not None:
        return custom.CustomFunction(experiment, store)
    return custom.CustomCommand(experiment, store)
