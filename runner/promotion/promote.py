"""Promotion: evaluate a trial on the test split, pass the gate, register, move the alias."""

from collections.abc import Callable
from dataclasses import dataclass

from runner.errors import NotFound, PromotionRefused
from runner.experiment import Modality, Store
from runner.promotion.evaluation import evaluate_on_test
from runner.promotion.form import Form
from runner.promotion.gate import (
    Champion,
    Evaluation,
    QualityInterval,
    quality_interval,
    require_no_worse,
    require_other_trial,
    require_same_split,
)
from runner.promotion.looks import TAG_SPLIT, begin_look, count_looks, end_look, read_look
from runner.promotion.packaging import ServedModel, log_model, register_model
from runner.promotion.served import served_model_of
from runner.promotion.weights import Candidate, get_candidate
from runner.report import value_text
from runner.study import read_study
from runner.tracking import Tracking, connect
from runner.trial import Bench

Say = Callable[[str], None]
TAG_LOOK = "runner.look"


@dataclass(frozen=True)
class Promotion:
    """A model version that now holds the alias.

    Attributes:
        name: The registered model.
        version: Its new version.
        alias: The alias it holds.
        trial: The trial it came from.
        run_id: That trial's MLflow run.
        test: Test metrics by name; fractions (or the loss).
        interval: The mean quality of the test examples (of classes the accuracy), with its 95 %
            interval.
        look: The MLflow run that recorded this look.
        looks: How often this test split has been looked at, this look included.
        comparison: How it compares with the champion before it; empty if there was none.
        predict_command: Predicts with it.
        serve_command: Serves it with plain MLflow.
    """

    name: str
    version: str
    alias: str
    trial: int
    run_id: str
    test: dict[str, float]
    interval: QualityInterval
    looks: int
    look: str
    comparison: str
    predict_command: str
    serve_command: str


def promote(
    store: Store,
    study: str,
    *,
    trial: int | None = None,
    alias: str = "champion",
    name: str | None = None,
    is_compared: bool = True,
    form: Form = Form.MERGED,
    say: Say = print,
) -> Promotion:
    """Promote a study's best trial, or another one.

    Args:
        store: The folder of local results.
        study: `name`, or `name:number`.
        trial: Which; None for the best on validation.
        alias: What to move.
        name: Registered model; None for the study's name.
        is_compared: Whether the gate compares with the current champion.
        form: Whether a trial with adapters is registered merged or as an adapter.
        say: Takes lines of news.
    Raises:
        PromotionRefused: If the champion is better, or comparing would be unfair.
        NotFound: If there is no such study or trial.
        DataError: If the study has no test part, or its data changed.
    Side effects: The look at the test split is recorded before it happens, whatever comes of it.
    """
    record = read_study(store, study)
    registered = name or record.name
    if "experiment" not in record.attributes:
        raise NotFound(f"the study {study!r} has no trial yet")
    resolved = record.attributes["experiment"]
    tracking = connect(resolved["tracking"]["uri"], store)
    candidate = get_candidate(store, tracking, record, trial, say=say)
    bench = Bench(candidate.experiment, store)
    split = _require_unchanged(candidate, bench)
    champion = _champion_of(tracking, registered, alias) if is_compared else None
    if champion is not None:
        require_other_trial(candidate.run_id, champion)
        require_same_split(split, champion)
    served = served_model_of(candidate, bench, form=form)
    look = begin_look(tracking, candidate, split)
    evaluation, report = evaluate_on_test(candidate, bench)
    end_look(tracking, look, evaluation, report)
    interval = quality_interval(evaluation)
    looks = count_looks(tracking, split)
    _say_result(candidate, evaluation, interval, looks, say)
    comparison = require_no_worse(evaluation, champion) if champion is not None else ""
    version = _register(tracking, candidate, served, registered, alias, look, evaluation)
    return Promotion(
        registered,
        version,
        alias,
        candidate.trial.number,
        candidate.run_id,
        dict(evaluation.values),
        interval,
        looks,
        look,
        comparison,
        _predict_command(registered, candidate),
        f"MLFLOW_TRACKING_URI={tracking.shown_uri} mlflow models serve "
        f"-m models:/{registered}@{alias} --env-manager local",
    )


def _predict_command(name: str, candidate: Candidate) -> str:
    is_text = candidate.experiment.form.modality is Modality.TEXT
    return f"python -m runner predict {name} " + ('"a text"' if is_text else "photo.jpg")


def _require_unchanged(candidate: Candidate, bench: Bench) -> str:
    """The split's fingerprint, if it is still the one the study was searched on."""
    known: str = candidate.record.attributes["identity"]["content"]["split"]
    if bench.split.fingerprint != known:
        raise PromotionRefused(
            "the data are no longer those the study was searched on: some of today's test "
            "examples may have been trained on. Put the data back, or search again with --new"
        )
    if not bench.split.test:
        raise PromotionRefused("the split has no test part; see data.split.test")
    return known


def _champion_of(tracking: Tracking, name: str, alias: str) -> Champion | None:
    from mlflow.exceptions import MlflowException

    with tracking.answering():
        client = tracking.client
        try:
            version = client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        look = version.tags.get(TAG_LOOK)
        if look is None:
            raise PromotionRefused(
                f"version {version.version} of {name!r} holds the alias {alias!r} but was not "
                "promoted by the runner, so there is nothing to compare with; to replace it, add "
                "--without-comparison"
            )
        evaluation = read_look(tracking, look)
    return Champion(
        str(version.version), str(version.run_id), str(version.tags[TAG_SPLIT]), evaluation
    )


def _say_result(
    candidate: Candidate,
    evaluation: Evaluation,
    interval: QualityInterval,
    looks: int,
    say: Say,
) -> None:
    trial, name = candidate.trial, evaluation.metric
    on_test = "" if name in (interval.name, "mae") else f"{name} {value_text(evaluation.value)}, "
    say(
        f"trial {trial.number}: validation {name} {value_text(trial.value)} (chosen by it, so "
        f"optimistic); on {len(evaluation.quality)} test examples: {on_test}{interval}"
    )
    say(f"this test split has been looked at {looks} {'time' if looks == 1 else 'times'}")


def _register(
    tracking: Tracking,
    candidate: Candidate,
    served: ServedModel,
    name: str,
    alias: str,
    look: str,
    evaluation: Evaluation,
) -> str:
    tags = {
        TAG_LOOK: look,
        TAG_SPLIT: evaluation.split,
        "runner.study_id": candidate.record.study_id,
        "runner.trial": str(candidate.trial.number),
        f"runner.test_{evaluation.metric}": repr(evaluation.value),
    }
    with tracking.answering():
        logged = log_model(tracking.client, served, run_id=candidate.run_id, tags=tags)
        version = register_model(tracking.client, logged, name=name, tags=tags)
        tracking.client.set_registered_model_alias(name, alias, version)
    return version
