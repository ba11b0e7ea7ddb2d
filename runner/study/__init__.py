"""The search: ask and tell over Optuna, pruning, budgets, resuming, the durable record.

Cheap to import; Optuna is imported by what uses it. Torch is never imported here.
"""

from runner.study.control import archive, delete, enqueue, space_of, stop
from runner.study.feed import StudyFeed
from runner.study.ground import longest_trial
from runner.study.inbox import post
from runner.study.listener import Listener, Silent
from runner.study.logbook import EVALUATION, read_evaluation
from runner.study.options import BackendName, Options
from runner.study.parent_run import Late, catching_up
from runner.study.planning import plan, plan_lines, validate
from runner.study.population import lineage
from runner.study.preflight import preflight, room_for_weights
from runner.study.reading import (
    StudySummary,
    choose_trial,
    list_studies,
    read_study,
    study_for_optuna,
)
from runner.study.record import StudyRecord, best_trials
from runner.study.rules import RunningTrial
from runner.study.run_ids import known_run_ids
from runner.study.search import Search, open_search
from runner.study.solo import train
from runner.study.storage import (
    ARCHIVED,
    is_locked,
    require_here,
    study_lock,
    trial_folder,
    trial_log,
)
from runner.study.sweeping import sweep
from runner.study.trial_record import TrialRecord
from runner.study.underway import TAG_MARK, under_way
from runner.trial import WEIGHTS

__all__ = [
    "ARCHIVED",
    "EVALUATION",
    "TAG_MARK",
    "WEIGHTS",
    "BackendName",
    "Late",
    "Listener",
    "Options",
    "RunningTrial",
    "Search",
    "Silent",
    "StudyFeed",
    "StudyRecord",
    "StudySummary",
    "TrialRecord",
    "archive",
    "best_trials",
    "catching_up",
    "choose_trial",
    "delete",
    "enqueue",
    "is_locked",
    "known_run_ids",
    "lineage",
    "list_studies",
    "longest_trial",
    "open_search",
    "plan",
    "plan_lines",
    "post",
    "preflight",
    "read_evaluation",
    "read_study",
    "require_here",
    "room_for_weights",
    "space_of",
    "stop",
    "study_for_optuna",
    "study_lock",
    "sweep",
    "train",
    "trial_folder",
    "trial_log",
    "under_way",
    "validate",
]
