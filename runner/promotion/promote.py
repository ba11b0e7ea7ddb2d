"""Promotion: evaluate a trial on the test split, pass the gate, register, move the alias."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from runner.errors import NotFound, PromotionRefused
from runner.experiment import Experiment, Store
from runner.promotion.fine_tuned import fine_tuned
from runner.promotion.form import Form
from runner.promotion.gate import (
    Champion,
    Evaluation,
    QualityInterval,
    quality_interval,
    require_comparable,
    require_no_worse,
    require_other_trial,
    require_same_split,
)
from runner.promotion.looks import TAG_SPLIT, count_looks, end_look, looking, read_look
from runner.promotion.names import predict_command, require_names
from runner.promotion.own import own
from runner.promotion.packaging import register_model
from runner.promotion.subject import Subject
from runner.promotion.weights import get_candidate, run_of
from runner.report import value_text
from runner.study import StudyRecord, choose_trial, read_study
from runner.tracking import Tracking, connect

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
            interval; None where an objective of one's own gives none.
        look: The MLflow run that recorded this look.
        looks: How often this test split has been looked at, this look included.
        comparison: How it compares with the champion before it; empty if there was none.
        predict_command: Predicts with it; empty where only its owner knows what it takes.
        serve_command: Serves it with plain MLflow; empty where MLflow cannot.
    """

    name: str
    version: str
    alias: str
    trial: int
    run_id: str
    test: dict[str, float]
    interval: QualityInterval | None
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
        DiskRefused: If there is no room for what is registered, or on its way there.
    Side effects: The look at the test split is recorded before it happens, whatever comes of it.
    """
    record = read_study(store, study)
    registered = name or record.name
    if "experiment" not in record.attributes:
        raise NotFound(f"the study {study!r} has no trial yet")
    require_names(registered, alias)
    resolved = record.attributes["experiment"]
    is_asked = resolved["tracking"]["uri"] is not None
    tracking = connect(resolved["tracking"]["uri"], store)
    with TemporaryDirectory(prefix="runner-promote-") as folder:
        subject = _subject(store, tracking, record, trial, form, scratch=Path(folder), say=say)
        champion = _champion_of(tracking, registered, alias) if is_compared else None
        if champion is not None:
            require_other_trial(subject.run_id, champion)
            require_same_split(subject.split, champion)
            experiment = Experiment.from_resolved(resolved)
            require_comparable(experiment.metric, experiment.form.labels, champion)
        with looking(
            tracking, record, subject.trial, run_id=subject.run_id, split=subject.split
        ) as look:
            evaluation, report = subject.evaluate()
            end_look(tracking, look, evaluation, report)
        interval = quality_interval(evaluation) if evaluation.quality else None
        looks = count_looks(tracking, subject.split)
        _say_result(subject, evaluation, interval, looks, say)
        comparison = require_no_worse(evaluation, champion) if champion is not None else ""
        version = _register(tracking, subject, registered, alias, look, evaluation)
    return Promotion(
        registered,
        version,
        alias,
        subject.trial.number,
        subject.run_id,
        dict(evaluation.values),
        interval,
        looks,
        look,
        comparison,
        predict_command(
            registered,
            subject.example,
            alias=alias,
            address=tracking.shown_uri if is_asked else None,
        ),
        f"MLFLOW_TRACKING_URI={tracking.shown_uri} mlflow models serve "
        f"-m models:/{registered}@{alias} --env-manager local"
        if subject.is_served
        else "",
    )


def _subject(
    store: Store,
    tracking: Tracking,
    record: StudyRecord,
    number: int | None,
    form: Form,
    *,
    scratch: Path,
    say: Say,
) -> Subject:
    experiment = Experiment.from_resolved(record.attributes["experiment"])
    if experiment.is_custom:
        chosen = choose_trial(record, number)
        run_id = run_of(tracking, record, chosen.number)
        return own(experiment, record, chosen, run_id, form)
    candidate = get_candidate(store, tracking, record, number, scratch=scratch, say=say)
    return fine_tuned(store, candidate, form)


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
    subject: Subject,
    evaluation: Evaluation,
    interval: QualityInterval | None,
    looks: int,
    say: Say,
) -> None:
    trial, name = subject.trial, evaluation.metric
    chosen = f"trial {trial.number}: validation {name} {value_text(trial.value)}"
    if not subject.is_tested:
        say(f"{chosen}; there is no test (see `evaluate`), so it goes by this value, which")
        say("is optimistic: the trial was chosen by it")
        return
    shown = [] if interval is None else [str(interval)]
    if interval is None or not interval.is_metric(name):
        shown.insert(0, f"{name} {value_text(evaluation.value)}")
    counted = f"on {len(evaluation.quality)} test examples: " if evaluation.quality else "test "
    say(f"{chosen} (chosen by it, so optimistic); {counted}{', '.join(shown)}")
    say(f"this test split has been looked at {looks} {'time' if looks == 1 else 'times'}")


def _register(
    tracking: Tracking,
    subject: Subject,
    name: str,
    alias: str,
    look: str,
    evaluation: Evaluation,
) -> str:
    measured = "test" if subject.is_tested else "validation"
    tags = {
        TAG_LOOK: look,
        TAG_SPLIT: subject.split,
        "runner.study_id": subject.record.study_id,
        "runner.trial": str(subject.trial.number),
        f"runner.{measured}_{evaluation.metric}": repr(evaluation.value),
    }
    with tracking.answering():
        logged = subject.log(tracking.client, tags)
        version = register_model(tracking.client, logged, name=name, tags=tags)
        tracking.client.set_registered_model_alias(name, alias, version)
    return version
