"""What MLflow holds of a study, read back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.tracking.records import TAG_KIND, TAG_STUDY, TAG_TRIAL, RunStatus

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from runner.tracking.tracking import Tracking

# mlflow/utils/validation.py: a page of search_runs holds at most 50,000; a server answers sooner.
_PAGE = 1000


@dataclass(frozen=True)
class TrialRun:
    """One trial as MLflow has it.

    Attributes:
        number: The trial's number in its study.
        run_id: Its MLflow run.
        status: What MLflow shows.
        tags: All tags of the run.
        params: All parameters, as text.
        metrics: Last value of each metric.
    """

    number: int
    run_id: str
    status: RunStatus
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True)
class MetricPoint:
    """One value in the history of a metric."""

    step: int
    value: float
    timestamp_ms: int


def read_trials(
    tracking: "Tracking", study_id: str, *, experiment: str | None = None
) -> list[TrialRun]:
    """Every trial of a study that MLflow has, by number.

    Args:
        tracking: The connection.
        study_id: The study.
        experiment: MLflow experiment to look in; None looks in all, slower on a shared server.
    Raises:
        TrackingUnreachable: If MLflow does not answer.
    """
    with tracking.answering():
        ids = tracking.experiment_ids(experiment)
        runs = list(study_runs(tracking.client, ids, study_id, kind="trial"))
    return sorted(map(trial_run, runs), key=lambda trial: trial.number)


def study_runs(
    client: "MlflowClient", experiment_ids: Sequence[str], study_id: str, *, kind: str
) -> Iterator["Run"]:
    """The parent (`study`) or the children (`trial`) of a study, oldest first.

    Args:
        client: MLflow's client.
        experiment_ids: Where to look; nothing is found in none.
        study_id: Value of the study tag.
        kind: Value of the kind tag.
    """
    if not experiment_ids:
        return
    wanted = f"tags.`{TAG_STUDY}` = '{study_id}' AND tags.`{TAG_KIND}` = '{kind}'"
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiment_ids),
            wanted,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def trial_run(run: "Run") -> TrialRun:
    """A child run in our words."""
    return TrialRun(
        number=int(run.data.tags[TAG_TRIAL]),
        run_id=run.info.run_id,
        status=RunStatus(run.info.status),
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )
