"""A connection to MLflow: one explicit client, never a global active run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import NotFound
from runner.tracking.address import (
    artifact_location,
    knock,
    resolve_uri,
    unreachable,
    without_secrets,
)
from runner.tracking.delivery import Delivery
from runner.tracking.first_use import open_client
from runner.tracking.opened import Opened, open_runs
from runner.tracking.reading import MetricPoint
from runner.tracking.study_run import StudyRun

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from runner.experiment import Store


@dataclass(frozen=True)
class Tracking:
    """MLflow, known to answer.

    Attributes:
        uri: The address, secrets included; not for messages.
        client: MLflow's own client on that address, registry included.
        artifacts: Absolute folder for the artifacts of new experiments; None: the server decides.
    """

    uri: str
    client: "MlflowClient"
    artifacts: str | None

    def __repr__(self) -> str:
        return f"Tracking({self.shown_uri!r})"

    @property
    def shown_uri(self) -> str:
        """The address for messages."""
        return without_secrets(self.uri)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn MLflow's errors inside the block into ours.

        Raises:
            NotFound: If MLflow answers that a run, model or artifact does not exist.
            TrackingUnreachable: For every other failure.
        """
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as err:
            if getattr(err, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
                raise NotFound(f"MLflow at {self.shown_uri}: {without_secrets(str(err))}") from err
            raise unreachable(self.uri, str(err)) from err

    def experiment_ids(self, name: str | None = None) -> list[str]:
        """Ids of the MLflow experiment of that name (none if there is none), or of all."""
        if name is not None:
            found = self.client.get_experiment_by_name(name)
            return [] if found is None else [found.experiment_id]
        ids: list[str] = []
        token: str | None = None
        while True:
            page = self.client.search_experiments(max_results=1000, page_token=token)
            ids += [experiment.experiment_id for experiment in page]
            token = page.token
            if not token:
                return ids

    def open_study(
        self,
        experiment_name: str,
        *,
        study_id: str,
        run_name: str,
        tags: Mapping[str, str],
        params: Mapping[str, object],
        artifacts: Mapping[str, str],
    ) -> StudyRun:
        """The parent run of a study, found by its study id or created, with its writer started.

        Args:
            experiment_name: MLflow experiment; created if there is none.
            study_id: The study's identity; one parent run has it.
            run_name: What the MLflow UI shows.
            tags: Set now, and replaced when the study is opened again.
            params: Written once; later differences become `runner.changed.*` tags.
            artifacts: Run-relative path -> text; replaced when the study is opened again.
        Raises:
            TrackingUnreachable: If MLflow does not answer, or the experiment lies in its bin.
        """
        opened = self.open_runs(experiment_name, study_id=study_id, run_name=run_name)
        study_run = StudyRun(opened, Delivery.to(self.client, opened), shown_uri=self.shown_uri)
        study_run.describe(tags=tags, params=params, artifacts=artifacts)
        return study_run

    def open_runs(self, experiment_name: str, *, study_id: str, run_name: str) -> Opened:
        """A study's runs, without anything that writes to them; see `open_study`."""
        with self.answering():
            return open_runs(
                self.client,
                experiment_id=self.experiment_id(experiment_name),
                study_id=study_id,
                run_name=run_name,
            )

    def experiment_id(self, name: str) -> str:
        """Id of an MLflow experiment, created if there is none."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, artifact_location=self.artifacts))
            except MlflowException:
                # Another process may have created it a moment ago.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise unreachable(
                self.uri,
                f"the MLflow experiment {name!r} (id {found.experiment_id}) was deleted; bring it "
                f"back with `mlflow experiments restore -x {found.experiment_id}`, or name "
                "another with --set tracking.experiment=...",
            )
        return str(found.experiment_id)

    def download_artifact(self, run_id: str, path: str, dst: Path) -> Path:
        """A local copy of an artifact (a file or a folder) of a run, inside `dst`.

        Raises:
            NotFound: If the run or the artifact does not exist.
            TrackingUnreachable: If MLflow does not answer.
        """
        dst.mkdir(parents=True, exist_ok=True)
        with self.answering():
            self.client.get_run(run_id)
            if not self._has_artifact(run_id, path):
                raise NotFound(f"run {run_id} at {self.shown_uri} has no artifact {path!r}")
            return Path(self.client.download_artifacts(run_id, path, str(dst)))

    def _has_artifact(self, run_id: str, path: str) -> bool:
        parent = path.rpartition("/")[0] or None
        return any(info.path == path for info in self.client.list_artifacts(run_id, parent))

    def metric_history(self, run_id: str, name: str) -> list[MetricPoint]:
        """Every value of one metric of a run, by step; empty if it was never logged.

        Raises:
            NotFound: If the run does not exist.
            TrackingUnreachable: If MLflow does not answer.
        """
        with self.answering():
            history = self.client.get_metric_history(run_id, name)
        points = [MetricPoint(m.step, m.value, m.timestamp) for m in history]
        return sorted(points, key=lambda point: (point.step, point.timestamp_ms))


def connect(uri: str | None, store: "Store") -> Tracking:
    """MLflow at the address that is meant, found to answer within seconds.

    The first call imports MLflow and, on a new local store, creates its schema: some seconds,
    on any thread. Two processes may do it at once.

    Args:
        uri: Setting from the experiment; None means $MLFLOW_TRACKING_URI, else the local store.
        store: The folder of local results.
    Raises:
        TrackingUnreachable: If nothing usable is there; says what to do.
    """
    meant = resolve_uri(uri, store)
    knock(meant)
    return Tracking(meant, open_client(meant), artifact_location(meant, store))
