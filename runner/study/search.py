"""One search: everything opened in the right order, run, and closed whatever happens."""

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.backends import Backend
from runner.errors import ExperimentError, RunnerError, TrackingUnreachable
from runner.experiment import Experiment, Space, Store, write_whole
from runner.study.feed import StudyFeed, require_success
from runner.study.ground import Ground
from runner.study.identity import require_same
from runner.study.logbook import open_logbook
from runner.study.opening import open_feed
from runner.study.options import Options
from runner.study.parent_run import open_run, put_right, warned
from runner.study.place import next_place
from runner.study.placing import place
from runner.study.preflight import preflight, room_for_weights
from runner.study.record import StudyRecord
from runner.study.shelf import shelf_of
from runner.study.signals import graceful_signals
from runner.study.sweeping import sweep
from runner.tracking import Line, RunStatus, StudyRun, connect_apart
from runner.trial import Facts, Lease, objective_for

logger = logging.getLogger(__name__)

# Content digest of every example, to name what changed.
MANIFEST = "manifest.json"
# A study that MLflow knows waits for it: both may come up again after the same reboot.
CONNECT_PATIENCE_S = 120.0
# Whoever stops a search waits no longer for an MLflow that does not answer.
HURRIED_WITHIN_S = 5.0


class _Undelivered(Exception):
    """Leaves a study's lock as an error does: the next command then looks after the study."""


@dataclass
class Search:
    """An opened search: the study is locked, its data are checked, its workers are up.

    Attributes:
        experiment: What was asked.
        folder: The study's folder.
        record: Its durable record.
        facts: What the second pass found out.
        leases: The devices held.
        study_run: The study's runs in MLflow.
        feed: Gives out the trials; knows what is running.
        undelivered: What MLflow did not take at the end, and what to do; empty if it has all.
    """

    experiment: Experiment
    folder: Path
    record: StudyRecord
    facts: Facts
    leases: tuple[Lease, ...]
    study_run: StudyRun
    feed: StudyFeed
    _backend: Backend
    undelivered: str = ""
    _is_hurried: bool = False

    def run(self) -> None:
        """Run trials until the budget is used up or someone says stop.

        Ctrl-C or SIGTERM once ends it gracefully; twice ends it at once.

        Raises:
            SearchStopped: If it cannot go on.
        """
        try:
            with graceful_signals(self.feed):
                self._backend.run(self.feed)
        finally:
            self.feed.finish()
        require_success(self.feed)

    @property
    def patience_s(self) -> float | None:
        """For how long an MLflow that takes nothing is waited for at the end; None: minutes."""
        return HURRIED_WITHIN_S if self._is_hurried or self.feed.was_asked else None

    @contextmanager
    def bearing_outages(self) -> Iterator[None]:
        """What MLflow does not take within is left to `sync`; the study has it."""
        try:
            yield
        except TrackingUnreachable as error:
            self.undelivered = (
                f"{error}. The study has everything; once MLflow answers, "
                f"`python -m runner sync {self.record.reference}` delivers it."
            )

    def hurry(self) -> None:
        """Somebody wants it to be over at once."""
        self._is_hurried = True

    def close(self) -> None:
        """End the workers, and give the parent run its status."""
        try:
            # Workers go first: what they still say is then in the queue that is delivered.
            self._backend.close()
            self.record.set_attribute("ended", self.status.value)
        finally:
            with self.bearing_outages():
                self.study_run.close(self.status, within_s=self.patience_s)
        if self.undelivered != self.record.attributes.get("undelivered", ""):
            self.record.set_attribute("undelivered", self.undelivered)
        if self.undelivered:
            logger.warning("%s", self.undelivered)
        self.record.sync()

    @property
    def status(self) -> RunStatus:
        """What the parent run ends with."""
        if self.feed.failure is not None:
            return RunStatus.FAILED
        # A trial that was asked for and never begun is not cut short.
        is_left = any(
            trial.attempt >= 0 and (trial.is_waiting or trial.outcome is None)
            for trial in self.record.trials()
        )
        return RunStatus.KILLED if is_left else RunStatus.FINISHED


@contextmanager
def open_search(experiment: Experiment, store: Store, options: Options) -> Iterator[Search]:
    """Open a study for searching; on leaving, everything is closed and delivered.

    A study of which MLflow has not taken all is left to the next command, whichever that is.

    Raises:
        ExperimentError: If the second pass finds problems; all of them, with file and line.
        StudyChanged: If the study was begun with other settings or data.
        StudyLocked: If another driver has it.
        DiskRefused: If what it writes to cannot be written.
        NoSuchDevice: If no device is free.
        TrackingUnreachable: If MLflow does not answer at the start.
    """
    kept_at = next_place(shelf_of(store), experiment.name, new=options.new)
    was_left_behind = kept_at.standing().is_left_behind
    with suppress(_Undelivered), ExitStack() as stack:
        stack.enter_context(kept_at.lock())
        for line in preflight(store, kept_at.folder):
            options.say(line)
        record = StudyRecord.open(kept_at, direction=experiment.direction)
        stack.callback(_forget_unless_begun, record)
        try:
            search = _opened(experiment, store, options, record, stack)
        except RunnerError:
            if was_left_behind:
                with warned():
                    put_right(store, record)
            raise
        try:
            yield search
        except KeyboardInterrupt:
            search.hurry()
            raise
        finally:
            search.close()
        if search.undelivered:
            raise _Undelivered


def _opened(
    experiment: Experiment,
    store: Store,
    options: Options,
    record: StudyRecord,
    stack: ExitStack,
) -> Search:
    """The search of a study whose lock is held; what it takes is given back by the stack."""
    known = _known_identity(record)
    if known is not None:
        require_same(experiment.name, known["experiment"], experiment.identity())
    connecting = _connecting(experiment, store, options, record, stack)
    objective = objective_for(experiment, store.files)
    leases, backend = stack.enter_context(place(experiment, objective, options, record.folder))
    for note in leases.notes:
        options.say(note)
    facts = backend.inspect()
    space = _bind_space(experiment, facts)
    _settle_identity(record, experiment, facts)
    kept = experiment.tracking.keep_weights
    for line in room_for_weights(record.folder, facts.details, count=kept):
        options.say(line)
    study_run = open_run(connecting.result(), experiment, record)
    with _closed_on_error(study_run):
        logbook = open_logbook(experiment, record, study_run)
        sweep(record.folder, record)
        ground = Ground(experiment, space, facts, objective, backend.slots)
        feed = open_feed(ground, record, logbook, options)
    return Search(
        experiment, record.folder, record, facts, leases.leases, study_run, feed, backend
    )


@contextmanager
def _closed_on_error(study_run: StudyRun) -> Iterator[None]:
    """Runs that were opened for a search that then is none do not stay RUNNING."""
    try:
        yield
    except BaseException:
        with suppress(TrackingUnreachable):
            study_run.close(RunStatus.KILLED, within_s=HURRIED_WITHIN_S)
        raise


def _connecting(
    experiment: Experiment,
    store: Store,
    options: Options,
    record: StudyRecord,
    stack: ExitStack,
) -> "Future[Line]":
    """MLflow, which is found while workers start."""
    pool = stack.enter_context(ThreadPoolExecutor(1, "mlflow"))
    is_left = threading.Event()
    stack.callback(is_left.set)
    return pool.submit(
        connect_apart,
        experiment.tracking.uri,
        store.files,
        patience_s=CONNECT_PATIENCE_S if record.count else 0.0,
        say=options.say,
        is_given_up=is_left.is_set,
    )


def _known_identity(record: StudyRecord) -> dict[str, Any] | None:
    """What the study was begun with, keys that did not exist then at their defaults."""
    known = record.attributes.get("identity")
    if known is None:
        return None
    begun_with = Experiment.from_resolved(record.attributes["experiment"]).identity()
    return {"experiment": begun_with, "content": known["content"]}


def _forget_unless_begun(record: StudyRecord) -> None:
    """A search that was refused before its study was anything leaves none behind."""
    if "identity" not in record.attributes:
        record.place.forget()


def _bind_space(experiment: Experiment, facts: Facts) -> Space:
    if facts.findings:
        raise ExperimentError(
            experiment.problem(f.key, f.rule, seen=f.seen, allowed=f.allowed)
            for f in facts.findings
        )
    if facts.max_freeze_depth is None:
        return experiment.space
    try:
        return experiment.space.bind(facts.max_freeze_depth)
    except ValueError as error:
        raise ExperimentError([experiment.problem("search.space", str(error))]) from error


def _settle_identity(record: StudyRecord, experiment: Experiment, facts: Facts) -> None:
    """Write what a new study is, or refuse to continue another one."""
    identity = {"experiment": experiment.identity(), "content": dict(facts.fingerprints)}
    manifest = record.folder / MANIFEST
    known = _known_identity(record)
    if known is not None:
        detail = ""
        if known["content"].get("data") != identity["content"].get("data"):
            from runner.data import describe_change

            # Without it, or with half of it, it is said that the data differ, and not in what.
            with suppress(OSError, ValueError):
                old = json.loads(manifest.read_text())
                detail = f"{describe_change(old, dict(facts.manifest))}\n"
        require_same(experiment.name, known, identity, detail=detail)
    else:
        write_whole(manifest, json.dumps(dict(facts.manifest)))
        record.set_attribute("facts", dict(facts.details))
        record.set_attribute("max_freeze_depth", facts.max_freeze_depth)
        record.set_attribute("experiment", experiment.resolved())
        record.set_attribute("identity", identity)
    # Budget, slots and tracking may differ from one command to the next: the newest counts.
    record.set_attribute("experiment", experiment.resolved())
    record.set_attribute("ended", None)
    record.sync()
