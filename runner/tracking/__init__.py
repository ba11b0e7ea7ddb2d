"""MLflow: the layout of runs, a batched writer off the training path, and reading back.

Importing this room is cheap; MLflow itself is imported by `connect`.
"""

from runner.tracking.address import without_secrets
from runner.tracking.courier import Line, connect_apart
from runner.tracking.reading import MetricPoint, TrialRun, read_trials
from runner.tracking.records import (
    TAG_KIND,
    TAG_OUTCOME,
    TAG_PARENT,
    TAG_STUDY,
    TAG_TRIAL,
    RunStatus,
)
from runner.tracking.study_run import StudyRun
from runner.tracking.tracking import Tracking, connect
from runner.tracking.ui import UiServer, run_address, runs_address, start_ui, ui_server
from runner.tracking.writer import Trouble

__all__ = [
    "TAG_KIND",
    "TAG_OUTCOME",
    "TAG_PARENT",
    "TAG_STUDY",
    "TAG_TRIAL",
    "Line",
    "MetricPoint",
    "RunStatus",
    "StudyRun",
    "Tracking",
    "TrialRun",
    "Trouble",
    "UiServer",
    "connect",
    "connect_apart",
    "read_trials",
    "run_address",
    "runs_address",
    "start_ui",
    "ui_server",
    "without_secrets",
]
