"""The search: ask and tell over Optuna, pruning, budgets, resuming, the durable record.

Cheap to import; Optuna is imported by what uses it. Torch is never imported here.
"""

from runner.study.feed import RunningTrial, StudyFeed
from runner.study.inbox import post
from runner.study.pruning import rungs
from runner.study.reading import StudySummary, list_studies, read_study
from runner.study.record import StudyRecord, TrialRecord, best_trials
from runner.study.search import BackendName, Options, Search, longest_trial, open_search
from runner.study.storage import (
    ARCHIVED,
    existing_study_folder,
    is_locked,
    study_folder,
    study_lock,
    trial_folder,
)

__all__ = [
    "ARCHIVED",
    "BackendName",
    "Options",
    "RunningTrial",
    "Search",
    "StudyFeed",
    "StudyRecord",
    "StudySummary",
    "TrialRecord",
    "best_trials",
    "existing_study_folder",
    "is_locked",
    "list_studies",
    "longest_trial",
    "open_search",
    "post",
    "read_study",
    "rungs",
    "study_folder",
    "study_lock",
    "trial_folder",
]
