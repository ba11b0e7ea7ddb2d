"""A fine-tuned trial as the subject of a promotion."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner.data import data_fingerprint
from runner.errors import PromotionRefused
from runner.experiment import Modality, Store
from runner.promotion.evaluation import evaluate_on_test
from runner.promotion.form import Form
from runner.promotion.gate import Evaluation
from runner.promotion.packaging import LoggedModel, ServedModel, log_model
from runner.promotion.served import served_model_of
from runner.promotion.weights import Candidate
from runner.study import StudyRecord, TrialRecord
from runner.trial import Bench

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class FineTuned:
    """See `Subject`."""

    candidate: Candidate
    bench: Bench
    served: ServedModel
    split: str
    is_tested: bool = True
    is_served: bool = True

    @property
    def record(self) -> StudyRecord:
        """Its study."""
        return self.candidate.record

    @property
    def trial(self) -> TrialRecord:
        """The trial."""
        return self.candidate.trial

    @property
    def run_id(self) -> str:
        """Its MLflow run."""
        return self.candidate.run_id

    @property
    def example(self) -> str:
        """An input to predict."""
        is_text = self.candidate.experiment.form.modality is Modality.TEXT
        return '"a text"' if is_text else "photo.jpg"

    def evaluate(self) -> tuple[Evaluation, dict[str, Any]]:
        """See `Subject.evaluate`."""
        evaluation, report = evaluate_on_test(self.candidate, self.bench)
        return replace(evaluation, split=self.split), report

    def log(self, client: "MlflowClient", tags: Mapping[str, str]) -> LoggedModel:
        """See `Subject.log`."""
        return log_model(client, self.served, run_id=self.run_id, tags=tags)


def fine_tuned(store: Store, candidate: Candidate, form: Form) -> FineTuned:
    """A candidate, if its data are still those it was searched on.

    Raises:
        PromotionRefused: If the data changed, there is no test part, or the form cannot be had.
    """
    bench = Bench(candidate.experiment, store)
    require_same_data(
        candidate, bench, or_else="some of today's test examples may have been trained on"
    )
    if not bench.split.test:
        raise PromotionRefused("the split has no test part; see data.split.test")
    # Made before the test part is looked at: a form that cannot be had costs no look.
    served = served_model_of(candidate, bench, form=form)
    # The split alone names its examples, which in tables are only numbered; with what they hold it
    # says whether two models were tested on the same.
    held = f"{data_fingerprint(bench.source)}|{bench.split.fingerprint}"
    return FineTuned(candidate, bench, served, hashlib.sha256(held.encode()).hexdigest())


def require_same_data(candidate: Candidate, bench: Bench, *, or_else: str) -> None:
    """Refuse a trial whose data have changed: what its outputs mean is read off them.

    Args:
        candidate: The trial.
        bench: Of its experiment.
        or_else: What could be wrong otherwise, for the message.
    Raises:
        PromotionRefused: If they have, or what prepares them (tokenizer, configuration) has.
    """
    known: dict[str, str] = candidate.record.attributes["identity"]["content"]
    # The split is known by its examples' ids, which of a table are no more than line numbers.
    found = {"data": data_fingerprint(bench.source), "split": bench.split.fingerprint}
    for name, fingerprint in bench.modality.fingerprints().items():
        if known.get(name, fingerprint) != fingerprint:
            raise PromotionRefused(
                f"the {name} of the model is no longer what the study was searched with. Put it "
                "back, or search again with --new"
            )
    if any(known[name] != fingerprint for name, fingerprint in found.items()):
        raise PromotionRefused(
            f"the data are no longer those the study was searched on: {or_else}. Put the data "
            "back, or search again with --new"
        )
