"""Problems that the model library found, in the form in which the driver reports them."""

from runner.models import ModelProblem
from runner.trial.job import Finding


def finding_of(problem: ModelProblem) -> Finding:
    """A model problem as a finding."""
    seen = None if problem.seen is None else str(problem.seen)
    return Finding(problem.key, problem.rule, seen, tuple(problem.allowed))
