"""One trial: jobs and their endings, the fine-tuning objective, the training loop.

Cheap to import: torch is imported by the modules that train, inside the workers.
"""

from runner.trial.boundary import run_job
from runner.trial.job import (
    Attempt,
    Channel,
    Decision,
    Ending,
    Facts,
    Finding,
    Job,
    Lease,
    Objective,
    Outcome,
    Report,
    TrialSpec,
)
from runner.trial.objective import FineTune
from runner.trial.seeding import derive_seed, seed_everything
from runner.trial.standalone import Printed, run_alone

__all__ = [
    "Attempt",
    "Channel",
    "Decision",
    "Ending",
    "Facts",
    "Finding",
    "FineTune",
    "Job",
    "Lease",
    "Objective",
    "Outcome",
    "Printed",
    "Report",
    "TrialSpec",
    "derive_seed",
    "run_alone",
    "run_job",
    "seed_everything",
]
