"""The runs of a study as they are found, or made, when it is opened; plain values."""

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.tracking.reading import study_runs
from runner.tracking.records import (
    TAG_KIND,
    TAG_PARENT,
    TAG_STUDY,
    TAG_TRIAL,
    RunKey,
    RunStatus,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True)
class Opened:
    """A study's runs.

    Attributes:
        run_id: The parent run.
        experiment_id: The MLflow experiment both kinds of run are in.
        study_id: Tag by which parent and children are found.
        is_new: Whether the parent run has just been created.
        statuses: Status of each trial's run.
        found_status: Status of the parent run before it was opened; None for a new one.
        found_tags: Tags of each trial's run.
        run_ids: Run of each trial; None is the parent run.
    """

    run_id: str
    experiment_id: str
    study_id: str
    is_new: bool
    statuses: dict[int, RunStatus]
    found_status: RunStatus | None
    found_tags: dict[int, dict[str, str]]
    run_ids: dict[RunKey, str]


def open_runs(
    client: "MlflowClient", *, experiment_id: str, study_id: str, run_name: str
) -> Opened:
    """Find or create the parent run, and learn its children.

    Args:
        client: MLflow's client.
        experiment_id: Where the runs are.
        study_id: Tag by which parent and children are found.
        run_name: Name of a new parent.
    Raises:
        MlflowException: If MLflow does not answer.
    """
    parents = list(study_runs(client, [experiment_id], study_id, kind="study"))
    if parents:
        parent_id = str(parents[0].info.run_id)
        client.update_run(parent_id, status=RunStatus.RUNNING)
    else:
        tags = {**origin_tags(), TAG_STUDY: study_id, TAG_KIND: "study"}
        parent_id = client.create_run(experiment_id, tags=tags, run_name=run_name).info.run_id
    children = _children(client, experiment_id, study_id, parent_id)
    run_ids: dict[RunKey, str] = {None: parent_id}
    run_ids.update({number: run.info.run_id for number, run in children.items()})
    return Opened(
        parent_id,
        experiment_id,
        study_id,
        is_new=not parents,
        statuses={number: RunStatus(run.info.status) for number, run in children.items()},
        found_status=RunStatus(parents[0].info.status) if parents else None,
        found_tags={number: dict(run.data.tags) for number, run in children.items()},
        run_ids=run_ids,
    )


def origin_tags() -> dict[str, str]:
    """What MLflow's own clients would say of a run: who started it, with what."""
    try:
        user = {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        # A container may run as a user id that has no name.
        user = {}
    return {**user, "mlflow.source.name": "runner", "mlflow.source.type": "LOCAL"}


def _children(
    client: "MlflowClient", experiment_id: str, study_id: str, parent_id: str
) -> dict[int, "Run"]:
    """The run of each trial; orphans of a deleted parent are given the new one.

    A trial has two where MLflow made one only after the writer had looked for it and made
    another. The one that has ended counts, or the oldest; the others are set apart.
    """
    children: dict[int, Run] = {}
    runs = list(study_runs(client, [experiment_id], study_id, kind="trial"))
    for run in sorted(runs, key=lambda run: run.info.status == RunStatus.RUNNING):
        if children.setdefault(int(run.data.tags[TAG_TRIAL]), run) is not run:
            client.set_tag(run.info.run_id, TAG_KIND, "duplicate")
            client.set_terminated(run.info.run_id, status=RunStatus.KILLED)
        elif run.data.tags.get(TAG_PARENT) != parent_id:
            client.set_tag(run.info.run_id, TAG_PARENT, parent_id)
    return children
