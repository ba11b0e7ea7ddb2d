"""One study in MLflow: a parent run, a child run a trial, and the writer that feeds them."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from runner.tracking.carrier import Carrier
from runner.tracking.opened import Opened
from runner.tracking.records import (
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


class StudyRun:
    """The MLflow side of a running study; every method but flush and close returns at once.

    Args:
        opened: Its runs.
        carrier: Takes the records to MLflow; the writer's thread uses it alone.
        shown_uri: The address for messages, without secrets.
        spool: The folder for records that wait, where they are many; None: the temporary one.

    Attributes:
        run_id: The parent run.
        experiment_id: The MLflow experiment both kinds of run are in.
        is_new: Whether the parent run was created when the study was opened.
        statuses: Status of each trial's run, as found at opening and as asked for since.
        found_status: Status of the parent run before it was opened; None for a new one.
        found_tags: Tags of each trial's run, as found at opening.
        shown_uri: The address for messages.
    """

    def __init__(
        self, opened: Opened, carrier: Carrier, *, shown_uri: str, spool: Path | None = None
    ) -> None:
        self.run_id = opened.run_id
        self.experiment_id = opened.experiment_id
        self.is_new = opened.is_new
        self.statuses = dict(opened.statuses)
        self.found_status = opened.found_status
        self.found_tags = opened.found_tags
        self.shown_uri = shown_uri
        self._carrier = carrier
        self._writer = Writer(
            lambda record, is_retry: carrier.carry(record, is_retry=is_retry),
            shown_uri=shown_uri,
            spool=spool,
        )

    def describe(
        self,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, object],
        artifacts: Mapping[str, str],
    ) -> None:
        """Say what the study is, on the parent run.

        Args:
            tags: Replaced when the study is opened again.
            params: Written once; later differences become `runner.changed.*` tags.
            artifacts: Run-relative path -> text; replaced when the study is opened again.
        """
        self.log_params(params)
        self.set_tags(tags)
        self.add_artifacts(artifacts)

    @property
    def run_ids(self) -> dict[int, str]:
        """Run of each trial that has one so far; `flush` first to have them all."""
        known = dict(self._carrier.run_ids)
        return {number: run_id for number, run_id in known.items() if number is not None}

    def on_run(self, hear: Callable[[int, str], None]) -> None:
        """Have each trial's run told that is made from now on.

        Args:
            hear: Takes the trial and its run; called from the writer's thread.
        """
        self._carrier.hear = hear

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

    def flush(self, *, within_s: float | None = None) -> None:
        """Wait until MLflow holds everything logged so far.

        Args:
            within_s: Give up after so long in which it has taken nothing; None: after minutes.
        Raises:
            TrackingUnreachable: If it does not, or refused something; has the count.
        """
        self._writer.flush(within_s=within_s)

    def close(self, status: RunStatus | str, *, within_s: float | None = None) -> None:
        """Give the parent run its status, flush, and end the writer.

        Args:
            status: FINISHED, KILLED or FAILED.
            within_s: See `flush`.
        Raises:
            TrackingUnreachable: As `flush`.
        """
        self._writer.put(End(None, RunStatus(status), _now_ms()))
        try:
            self._writer.close(within_s=within_s)
        finally:
            self._carrier.close()


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
