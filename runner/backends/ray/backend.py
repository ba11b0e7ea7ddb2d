"""The ray backend: Ray Tune places the jobs, the study's feed decides everything else."""

import logging
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from runner.backends.contract import Feed
from runner.backends.given import GRACE_S, MAX_DEATHS_IN_A_ROW, Given
from runner.backends.life import Heart, Silence
from runner.backends.ray.bridge import Bridge
from runner.backends.ray.cluster import Cluster
from runner.backends.ray.depot import Address, ToldFeed, close_depot, open_depot
from runner.backends.ray.freight import items_of, named
from runner.backends.ray.searching import FailureStopper, JobScheduler, JobSearcher
from runner.backends.ray.trainable import JobTrainable, kept
from runner.backends.worker import Setup, second_pass
from runner.errors import RunnerError, SearchStopped
from runner.trial import Facts, Objective

logger = logging.getLogger(__name__)

# How often the driver looks whether the second pass still gets on.
LOOK_EVERY_S = 5.0
# Tune's own records are of no use: the study is its own, and a new driver begins a new Tune run.
_TUNE = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # What Ctrl-C means is the study's to say.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # An objective's working directory is the one of Ray's runtime environment.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The newer display cannot be silenced.
    "RAY_AIR_NEW_OUTPUT": "0",
}


class RayBackend:
    """Jobs run in actors of Ray Tune, which are used again and keep what they have loaded.

    Args:
        objective: What the actors run; pickled to them.
        cluster: The slots; Ray is connected.
        folder: Where the folders of all trials are, on this machine.
        log: File that tells what was sent to which machine.
        is_here: Whether the cluster is this machine alone, which sees what the experiment names.
        grace_s: Seconds a cancelled trial gets to leave by itself.
        silence: How long a worker may show no sign of life; None: for ever.
        max_deaths: Workers that die in a row, without one that ends a trial, and stop the search.
    """

    def __init__(
        self,
        objective: Objective,
        cluster: Cluster,
        *,
        folder: Path,
        log: Path,
        is_here: bool = False,
        grace_s: float = GRACE_S,
        silence: Silence | None = None,
        max_deaths: int = MAX_DEATHS_IN_A_ROW,
    ) -> None:
        self._objective = objective
        self._cluster = cluster
        self._grace_s = grace_s
        self._silence = silence
        self._max_deaths = max_deaths
        self._search = secrets.token_hex(8)
        for made in (folder, log.parent):
            made.mkdir(parents=True, exist_ok=True)
        items = () if is_here else items_of(objective.needs())
        self._address: Address | None = open_depot(folder, items, log=log)

    def inspect(self) -> Facts:
        """See `Backend.inspect`; Ray gives the process to an actor afterwards, if it can.

        Raises:
            RunnerError: If the second pass itself fails.
            SearchStopped: If its worker dies or hangs.
        """
        needs = self._cluster.needs
        task = ray.remote(_inspect).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            resources=dict(needs.others),
            max_retries=self._max_deaths - 1,
        )
        log = "Ray's log of the worker"
        setup = Setup(self._objective, self._cluster.lease(0), log, self._silence)
        try:
            answer = self._hear_out(task.remote(self._search, setup, self._address))
        except ray.exceptions.RayError as error:
            raise SearchStopped(f"the second pass died on the cluster: {error}") from error
        if isinstance(answer, RunnerError):
            raise answer
        facts: Facts = answer
        return facts

    def slots(self) -> int:
        """See `Backend.slots`."""
        return self._cluster.count()

    def _hear_out(self, task: Any) -> Any:
        """What a task answers that tells the depot of its life.

        Raises:
            SearchStopped: If it has hung. How long it waits for its place is not counted.
        """
        assert self._address is not None
        given = Given(silence_s=None if self._silence is None else self._silence.of_a_start_s)
        beats = 0
        while not ray.wait([task], timeout=LOOK_EVERY_S)[0]:
            before, beats = beats, ray.get(self._address.depot.beats.remote())
            if beats == 0 or beats != before:
                given.live()
            if given.is_silent:
                ray.cancel(task, force=True)
                given.was_silent = True
                raise SearchStopped(f"the worker of the second pass {given.why_killed}")
        return ray.get(task)

    def run(self, feed: Feed) -> None:
        """See `Backend.run`."""
        assert self._address is not None
        told = ToldFeed(feed, self._address)
        bridge = Bridge(
            told,
            self._cluster,
            grace_s=self._grace_s,
            silence=self._silence,
            max_deaths=self._max_deaths,
        )
        needs = self._cluster.needs
        trainable = tune.with_resources(
            tune.with_parameters(
                JobTrainable,
                search=self._search,
                objective=self._objective,
                address=self._address,
                silence=self._silence,
            ),
            tune.PlacementGroupFactory([needs.bundle]),
        )
        with tempfile.TemporaryDirectory(prefix="runner-ray-") as folder, _tune_settings():
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=JobSearcher(bridge),
                    scheduler=JobScheduler(bridge),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=tune.RunConfig(
                    name="jobs",
                    storage_path=folder,
                    stop=FailureStopper(bridge),
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            try:
                tuner.fit()
            finally:
                bridge.abandon("Ray Tune ended before the trial did")
        if bridge.failure is not None:
            raise bridge.failure

    def close(self) -> None:
        """See `Backend.close`; the cluster's connection is closed by who opened it."""
        if self._address is not None:
            close_depot(self._address)
            self._address = None


def _inspect(search: str, setup: Setup, address: Address) -> Any:
    """The second pass, in a worker of the cluster; keeps what it loads for a later actor."""
    if setup.silence is None:
        return _inspected(search, setup, address)
    depot = address.depot
    depot.live.remote()
    heart = Heart(lambda: depot.live.remote(), setup.silence)
    heart.start()
    with heart.at_work(is_trial=False):
        return _inspected(search, setup, address)


def _inspected(search: str, setup: Setup, address: Address) -> Any:
    try:
        here = kept(search, setup.objective, address)
    except RunnerError as error:
        return error
    found = second_pass(Setup(here.objective, setup.lease, setup.log))
    return named(found, here.places) if isinstance(found, Facts) else found


@contextmanager
def _tune_settings() -> Iterator[None]:
    """Tune reads its settings from the environment."""
    pending = {"TUNE_MAX_PENDING_TRIALS_PG": os.environ.get("TUNE_MAX_PENDING_TRIALS_PG", "16")}
    before = {name: os.environ.get(name) for name in {**_TUNE, **pending}}
    os.environ.update({**_TUNE, **pending})
    spoken = logging.getLogger("ray.tune.tune")
    spoken.addFilter(_is_news)
    try:
        yield
    finally:
        spoken.removeFilter(_is_news)
        _restore(before)


def _is_news(record: logging.LogRecord) -> bool:
    """Not the workers that died: the study has said what became of their trials."""
    return not str(record.msg).startswith("Trials did not complete")


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
