"""Looks at a test split: each is recorded in MLflow before it happens, and counted.

A test split looked at often is a second validation split; the count says how often.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runner.errors import RunnerError
from runner.experiment import json_text
from runner.promotion.gate import Evaluation
from runner.study import TAG_MARK, StudyRecord, TrialRecord, under_way
from runner.tracking import TAG_KIND, TAG_OUTCOME, TAG_PARENT, TAG_STUDY, RunStatus, Tracking

KIND = "test_look"
TAG_SPLIT = "runner.split"
EVALUATION_ARTIFACT = "test_evaluation.json"
# Of a reason that is a tag: MLflow shows the first line, and the terminal had all of it.
_REASON_CHARACTERS = 500


@contextmanager
def looking(
    tracking: Tracking, record: StudyRecord, trial: TrialRecord, *, run_id: str, split: str
) -> Iterator[str]:
    """Record that a test split is looked at in the block; gives the look's run id.

    Args:
        tracking: MLflow.
        record: The study.
        trial: The trial that is to be tested.
        run_id: The trial's run.
        split: Fingerprint of what is looked at.

    Side effects: the look is made before the block, and counts whatever comes of it. Where the
    block fails it is ended as failed; where this process dies, the next command ends it.
    """
    with under_way(record.folder) as mark:
        # MLflow may have made the look although its answer is lost.
        mark.is_left = True
        look = _begin(tracking, record, trial, run_id=run_id, split=split, mark=mark.name)
        try:
            yield look
        except BaseException as error:
            mark.is_left = not _does_fail(tracking, look, error)
            raise
        mark.is_left = False


def _begin(
    tracking: Tracking,
    record: StudyRecord,
    trial: TrialRecord,
    *,
    run_id: str,
    split: str,
    mark: str,
) -> str:
    with tracking.answering():
        client = tracking.client
        run = client.get_run(run_id)
        tags = {
            TAG_KIND: KIND,
            TAG_SPLIT: split,
            TAG_STUDY: record.study_id,
            TAG_PARENT: run.data.tags.get(TAG_PARENT, ""),
            "runner.looked_at_trial": str(trial.number),
            TAG_MARK: mark,
        }
        name = f"test of trial {trial.number}"
        look = client.create_run(run.info.experiment_id, tags=tags, run_name=name)
        return str(look.info.run_id)


def _does_fail(tracking: Tracking, look: str, error: BaseException) -> bool:
    """End a look that an error cut short; says whether MLflow took it."""
    is_asked = not isinstance(error, Exception)
    reason = (str(error) or type(error).__name__).splitlines()[0][:_REASON_CHARACTERS]
    try:
        with tracking.answering():
            client = tracking.client
            client.set_tag(look, TAG_OUTCOME, "interrupted" if is_asked else "failed")
            client.set_tag(look, "runner.reason", reason)
            client.set_terminated(look, RunStatus.KILLED if is_asked else RunStatus.FAILED)
    except RunnerError:
        return False
    return True


def end_look(
    tracking: Tracking, look: str, evaluation: Evaluation, report: dict[str, Any]
) -> None:
    """Write what a look saw: metrics, and the evaluation as JSON."""
    with tracking.answering():
        client = tracking.client
        for name, value in evaluation.values.items():
            client.log_metric(look, f"test/{name}", value)
        content = {"evaluation": evaluation.to_json(), "report": report}
        client.log_text(look, json_text(content), EVALUATION_ARTIFACT)
        client.set_terminated(look)


def read_look(tracking: Tracking, look: str) -> Evaluation:
    """What a look saw, of this version or of one that knew classes alone.

    Args:
        tracking: MLflow.
        look: The look's run id.
    Raises:
        NotFound: If the look was cut short before it saw anything.
    """
    with TemporaryDirectory() as folder:
        path = tracking.download_artifact(look, EVALUATION_ARTIFACT, Path(folder))
        return Evaluation.from_json(json.loads(path.read_text("utf-8"))["evaluation"])


def count_looks(tracking: Tracking, split: str) -> int:
    """How often a test split has been looked at, whichever study it was for."""
    with tracking.answering():
        runs = tracking.client.search_runs(
            tracking.experiment_ids(),
            filter_string=f"tags.`{TAG_KIND}` = '{KIND}' and tags.`{TAG_SPLIT}` = '{split}'",
            max_results=1000,
        )
        return len(runs)
