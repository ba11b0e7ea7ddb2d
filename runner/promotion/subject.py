"""What is promoted, behind one face: a fine-tuned model, or what a trial of one's own saved."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from runner.promotion.gate import Evaluation
from runner.promotion.packaging import LoggedModel
from runner.study import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Subject(Protocol):
    """A trial that may become the champion.

    Attributes:
        record: Its study.
        trial: The trial.
        run_id: Its MLflow run.
        split: Fingerprint of the examples it is tested on; two subjects of one are comparable.
        is_tested: Whether there are test examples; else it goes by its validation value.
        example: An input to predict, as one types it; empty if only its owner knows.
        is_served: Whether plain MLflow can serve it.
    """

    @property
    def record(self) -> StudyRecord: ...

    @property
    def trial(self) -> TrialRecord: ...

    @property
    def run_id(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def is_tested(self) -> bool: ...

    @property
    def example(self) -> str: ...

    @property
    def is_served(self) -> bool: ...

    def evaluate(self) -> tuple[Evaluation, dict[str, Any]]:
        """Results on the test part, and the full report as JSON values; opens the test part."""
        ...

    def log(self, client: "MlflowClient", tags: Mapping[str, str]) -> LoggedModel:
        """Log what is to be registered to the trial's run."""
        ...
