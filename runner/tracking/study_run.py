"""One study in MLflow: a parent run, a child run a trial, and the writer that feeds them."""

import getpass
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from runner.tracking.delivery import Delivery
from runner.tracking.reading import study_runs
from runner.tracking.records import (
    TAG_KIND,
    TAG_OUTCOME,
    TAG_PARENT,
    TAG_STUDY,
    TAG_TRIAL,
    Batch,
    End,
    FileCopy,
    Open,
    Point,
    RunKey,
    RunStatus,
    Texts,
)
from runner.tracking.writer import Trouble, Writer

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


@dataclass
class StudyRun:
    """The MLflow side of a running study; every method but flush and close returns at once.

    Attributes:
        run_id: The parent run.
        experiment_id: The MLflow experiment both kinds of run are in.
        is_new: Whether the parent run was created by this call.
        statuses: Status of each trial's run, as found at opening and as asked for since.
        found_status: Status of the parent run before it was opened; None for a new one.
        found_tags: Tags of each trial's run, as found at opening.
    """

    run_id: str
    experiment_id: str
    is_new: bool
    statuses: dict[int, RunStatus]
    found_status: RunStatus | None
    found_tags: dict[int, dict[str, str]]
    _delivery: Delivery
    _writer: Writer

    @classmethod
    def open(
        cls,
        client: "MlflowClient",
        *,
        shown_uri: str,
        experiment_id: str,
        study_id: str,
        run_name: str,
    ) -> Self:
        """Find or create the parent run, learn its children, and start the writer.

        Args:
            client: MLflow's client; the writer's from now on.
            shown_uri: The address for messages, without secrets.
            experiment_id: Where the runs are.
            study_id: Tag by which parent and children are found.
            run_name: Name of a new parent.
        Raises:
            MlflowException: If MLflow does not answer.
        """
        parents = list(study_runs(client, [experiment_id], study_id, kind="study"))
        parent_id = _reopen(client, parents[0]) if parents else None
        if parent_id is None:
            tags = {**_origin_tags(), TAG_STUDY: study_id, TAG_KIND: "study"}
            parent_id = client.create_run(experiment_id, tags=tags, run_name=run_name).info.run_id
        children = _children(client, experiment_id, study_id, parent_id)
        run_ids: dict[RunKey, str] = {None: parent_id}
        run_ids.update({number: run.info.run_id for number, run in children.items()})
        delivery = Delivery(client, experiment_id, study_id, run_ids, origin=_origin_tags())
        delivery.existing.update(children, [None] if parents else [])
        statuses = {number: RunStatus(run.info.status) for number, run in children.items()}
        writer = Writer(
            lambda record, is_retry: delivery.deliver(record, is_retry=is_retry),
            shown_uri=shown_uri,
        )
        return cls(
            parent_id,
            experiment_id,
            not parents,
            statuses,
            RunStatus(parents[0].info.status) if parents else None,
            {number: dict(run.data.tags) for number, run in children.items()},
            delivery,
            writer,
        )

    @property
    def run_ids(self) -> dict[int, str]:
        """Run of each trial that has one so far; `flush` first to have them all."""
        known = dict(self._delivery.run_ids)
        return {number: run_id for number, run_id in known.items() if number is not None}

    def on_run(self, hear: Callable[[int, str], None]) -> None:
        """Have each trial's run told that is made from now on.

        Args:
            hear: Takes the trial and its run; called from the writer's thread.
        """
        self._delivery.hear = hear

    @property
    def undelivered(self) -> int:
        """Records not yet in MLflow."""
        return self._writer.undelivered

    @property
    def trouble(self) -> Trouble | None:
        """Why MLflow takes nothing just now, if so; for a live view."""
        return self._writer.trouble

    def open_trial(
        self,
        number: int,
        *,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
    ) -> None:
        """Create the run of a trial, or set its existing one back to RUNNING.

        Args:
            number: The trial; it never gets a second run.
            name: What the MLflow UI shows.
            params: Its hyperparameters.
            tags: Seed, device, fingerprints and the like.
        """
        self.statuses[number] = RunStatus.RUNNING
        self._writer.put(
            Open(number, name, dict(tags), _now_ms()),
            Batch(number, params=_texts(params)),
        )

    def log(
        self,
        number: int,
        metrics: Mapping[str, float],
        *,
        step: int,
        timestamp_ms: int | None = None,
    ) -> None:
        """Add metrics to a trial; a step that MLflow already has is not written again.

        Args:
            number: The trial.
            metrics: Name -> value.
            step: Usually the epoch.
            timestamp_ms: When they were measured, since 1970; None is now.
        """
        self._log(number, metrics, step=step, timestamp_ms=timestamp_ms)

    def log_study(
        self, metrics: Mapping[str, float], *, step: int, timestamp_ms: int | None = None
    ) -> None:
        """Add metrics to the parent run, for example the best value after so many trials."""
        self._log(None, metrics, step=step, timestamp_ms=timestamp_ms)

    def _log(
        self, key: RunKey, metrics: Mapping[str, float], *, step: int, timestamp_ms: int | None
    ) -> None:
        at_ms = _now_ms() if timestamp_ms is None else timestamp_ms
        points = [Point(name, float(value), step, at_ms) for name, value in metrics.items()]
        self._writer.put(Batch(key, points=points))

    def end_trial(
        self,
        number: int,
        *,
        status: RunStatus | str,
        tags: Mapping[str, str],
        artifacts: Mapping[str, str] | None = None,
    ) -> None:
        """Give a trial its final status.

        Args:
            number: The trial.
            status: FINISHED, KILLED or FAILED.
            tags: The outcome among them.
            artifacts: Run-relative path -> text.
        """
        final = RunStatus(status)
        self.statuses[number] = final
        self._writer.put(Batch(number, tags=dict(tags)))
        self.add_artifacts(artifacts or {}, number=number)
        self._writer.put(End(number, final, _now_ms()))

    def log_params(self, params: Mapping[str, object]) -> None:
        """Add parameters to the parent run."""
        self._writer.put(Batch(None, params=_texts(params)))

    def set_tags(self, tags: Mapping[str, str], *, number: int | None = None) -> None:
        """Set tags of a trial's run, or of the parent."""
        self._writer.put(Batch(number, tags=dict(tags)))

    def add_artifacts(self, texts: Mapping[str, str], *, number: int | None = None) -> None:
        """Write small artifacts (run-relative path -> text) to a trial's run, or to the parent."""
        if texts:
            self._writer.put(Texts(number, dict(texts)))

    def add_artifact_file(self, number: int | None, local_path: Path, artifact_path: str) -> None:
        """Copy a file to a trial's run, or to the parent's (None).

        Args:
            number: The trial, or None.
            local_path: Must stay as it is until `flush` returns.
            artifact_path: Run-relative path, file name included.
        """
        self._writer.put(FileCopy(number, local_path, artifact_path))

    def mark_dead(self, numbers: Iterable[int], *, outcome: str = "lost") -> list[int]:
        """End those of these trials whose runs still look alive, as KILLED with an outcome tag.

        Args:
            numbers: Trials that the study knows not to be running.
            outcome: Value of the outcome tag.
        Returns:
            The trials that were marked.
        """
        dead = [n for n in numbers if self.statuses.get(n) is RunStatus.RUNNING]
        for number in dead:
            self.end_trial(number, status=RunStatus.KILLED, tags={TAG_OUTCOME: outcome})
        return dead

    def flush(self) -> None:
        """Wait until MLflow holds everything logged so far.

        Raises:
            TrackingUnreachable: If it does not, or refused something; has the count.
        """
        self._writer.flush()

    def close(self, status: RunStatus | str) -> None:
        """Give the parent run its status, flush, and end the writer.

        Args:
            status: FINISHED, KILLED or FAILED.
        Raises:
            TrackingUnreachable: As `flush`.
        """
        self._writer.put(End(None, RunStatus(status), _now_ms()))
        self._writer.close()


def _reopen(client: "MlflowClient", parent: "Run") -> str:
    run_id = str(parent.info.run_id)
    client.update_run(run_id, status=RunStatus.RUNNING)
    return run_id


def _children(
    client: "MlflowClient", experiment_id: str, study_id: str, parent_id: str
) -> dict[int, "Run"]:
    """The oldest run of each trial; orphans of a deleted parent are given the new one."""
    children: dict[int, Run] = {}
    for run in study_runs(client, [experiment_id], study_id, kind="trial"):
        children.setdefault(int(run.data.tags[TAG_TRIAL]), run)
        if run.data.tags.get(TAG_PARENT) != parent_id:
            client.set_tag(run.info.run_id, TAG_PARENT, parent_id)
    return children


def _origin_tags() -> dict[str, str]:
    """What MLflow's own clients would say of a run: who started it, with what."""
    try:
        user = {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        # A container may run as a user id that has no name.
        user = {}
    return {**user, "mlflow.source.name": "runner", "mlflow.source.type": "LOCAL"}


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
