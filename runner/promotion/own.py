"""A trial of one's own as the subject of a promotion: its own test, and what it saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runner.backends import device_like
from runner.errors import NotFound, PromotionRefused
from runner.experiment import Experiment
from runner.promotion.custom import custom_split, evaluate_custom, is_mlflow_model, log_saved
from runner.promotion.form import Form
from runner.promotion.gate import Evaluation
from runner.promotion.packaging import LoggedModel
from runner.study import StudyRecord, TrialRecord, require_here, trial_folder
from runner.trial import SCRATCH, SavedTrial, saved_model

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Own:
    """See `Subject`."""

    experiment: Experiment
    record: StudyRecord
    trial: TrialRecord
    run_id: str
    example: str = ""

    @property
    def split(self) -> str:
        """What stands for the test split."""
        command = self.experiment.command or ()
        objective = self.experiment.objective or " ".join(command)
        return custom_split(objective, self.experiment.evaluate)

    @property
    def is_tested(self) -> bool:
        """Whether the user has a test of their own."""
        return self.experiment.evaluate is not None

    @cached_property
    def saved(self) -> SavedTrial:
        """What the trial was and what it saved."""
        folder = trial_folder(self.record.folder, self.trial.number)
        return SavedTrial(
            params=self.experiment.settings(dict(self.trial.params)),
            number=self.trial.number,
            seed=self.trial.seed,
            devices=(device_like(str(self.trial.notes.get("device", "cpu"))),),
            threads=int(self.trial.notes.get("threads", 1)),
            folder=folder / SCRATCH,
            model=saved_model(folder),
        )

    @property
    def is_served(self) -> bool:
        """Whether a flavour of MLflow wrote what it saved."""
        return self.saved.model is not None and is_mlflow_model(self.saved.model)

    def evaluate(self) -> tuple[Evaluation, dict[str, Any]]:
        """See `Subject.evaluate`; without a test of the user's, the validation value."""
        assert self.trial.value is not None  # it is complete
        result = evaluate_custom(
            self.experiment.evaluate,
            self.saved,
            metric=self.experiment.metric,
            validation=self.trial.value,
        )
        evaluation = Evaluation(
            split=self.split,
            metric=self.experiment.metric,
            values=result.values,
            is_maximized=self.experiment.direction == "maximize",
            quality={str(id_): value for id_, value in result.quality.items()},
            labels=None,
        )
        return evaluation, {"metrics": dict(result.values), "is_test": result.is_test}

    def log(self, client: "MlflowClient", tags: Mapping[str, str]) -> LoggedModel:
        """See `Subject.log`."""
        assert self.saved.model is not None  # `own` has looked
        return log_saved(client, self.saved.model, run_id=self.run_id, tags=tags)


def own(
    experiment: Experiment, record: StudyRecord, trial: TrialRecord, run_id: str, form: Form
) -> Own:
    """A complete trial of one's own that saved something.

    Raises:
        NotFound: If it has not ended well.
        PromotionRefused: If it saved nothing, or an adapter is asked for.
    """
    if trial.value is None or trial.state != "complete":
        raise NotFound(f"trial {trial.number} ended as {trial.state}; choose a complete one")
    if form == Form.ADAPTER:
        raise PromotionRefused("task: custom has no adapters of the runner's; leave --form out")
    subject = Own(experiment, record, trial, run_id)
    require_here(trial_folder(record.folder, trial.number), f"what trial {trial.number} left")
    if subject.saved.model is None:
        raise PromotionRefused(
            f"trial {trial.number} has no saved model: it saved none (trial.save_model(path) in "
            'the objective, {"model": "path"} from the command), or it was not among the best '
            "tracking.keep_weights trials, whose models are kept"
        )
    return subject
