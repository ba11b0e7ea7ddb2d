"""One trial: jobs and their endings, the fine-tuning objective, the training loop.

Cheap to import: what needs torch (`Bench`, the weights' files, ...) is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.trial.boundary import fail_job, run_job
from runner.trial.job import (
    CHECKPOINT,
    INHERITED,
    WEIGHTS,
    Attempt,
    Channel,
    Decision,
    Demand,
    Ending,
    Facts,
    Fault,
    Files,
    Finding,
    Hint,
    Job,
    Lease,
    Objective,
    Outcome,
    Reach,
    Report,
    Segment,
    Share,
    TrialSpec,
)
from runner.trial.objective import FineTune, objective_for
from runner.trial.seeding import derive_seed, seed_everything
from runner.trial.standalone import Printed, run_alone

if TYPE_CHECKING:
    from runner.trial.bench import Bench, predict
    from runner.trial.checkpoint import load_weights_file
    from runner.trial.custom import (
        ARTIFACTS,
        MODEL,
        SCRATCH,
        WHOLE_FOLDERS,
        CustomCommand,
        CustomFunction,
        CustomTrial,
        Measured,
        SavedTrial,
        StopTrial,
        load_function,
        measure,
        replace_folder,
        saved_model,
        settle_folder,
    )
    from runner.trial.images import ImageModality
    from runner.trial.leftovers import clear_ended, clear_state
    from runner.trial.memory import with_shrinking_micro_batch
    from runner.trial.modality import Batch
    from runner.trial.precision import choose_numerics
    from runner.trial.texts import TextModality

_HEAVY = {
    "Batch": "modality",
    "ImageModality": "images",
    "TextModality": "texts",
    "Bench": "bench",
    "predict": "bench",
    "choose_numerics": "precision",
    "with_shrinking_micro_batch": "memory",
    "load_weights_file": "checkpoint",
    "ARTIFACTS": "custom",
    "MODEL": "custom",
    "SCRATCH": "custom",
    "WHOLE_FOLDERS": "custom",
    "CustomCommand": "custom",
    "CustomFunction": "custom",
    "CustomTrial": "custom",
    "Measured": "custom",
    "SavedTrial": "custom",
    "StopTrial": "custom",
    "load_function": "custom",
    "measure": "custom",
    "replace_folder": "custom",
    "saved_model": "custom",
    "settle_folder": "custom",
    "clear_ended": "leftovers",
    "clear_state": "leftovers",
}

__all__ = [
    "ARTIFACTS",
    "CHECKPOINT",
    "INHERITED",
    "MODEL",
    "SCRATCH",
    "WEIGHTS",
    "WHOLE_FOLDERS",
    "Attempt",
    "Batch",
    "Bench",
    "Channel",
    "CustomCommand",
    "CustomFunction",
    "CustomTrial",
    "Decision",
    "Demand",
    "Ending",
    "Facts",
    "Fault",
    "Files",
    "Finding",
    "FineTune",
    "Hint",
    "ImageModality",
    "Job",
    "Lease",
    "Measured",
    "Objective",
    "Outcome",
    "Printed",
    "Reach",
    "Report",
    "SavedTrial",
    "Segment",
    "Share",
    "StopTrial",
    "TextModality",
    "TrialSpec",
    "choose_numerics",
    "clear_ended",
    "clear_state",
    "derive_seed",
    "fail_job",
    "load_function",
    "load_weights_file",
    "measure",
    "objective_for",
    "predict",
    "replace_folder",
    "run_alone",
    "run_job",
    "saved_model",
    "seed_everything",
    "settle_folder",
    "with_shrinking_micro_batch",
]


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        return getattr(import_module(f"runner.trial.{_HEAVY[name]}"), name)
    raise AttributeError(f"module 'runner.trial' has no attribute {name!r}")
