"""Predicting with a registered model, any MLflow model URI, or any trial of a study."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from runner.errors import NotFound
from runner.experiment import CUSTOM, Store, refusals
from runner.promotion.asking import answers_of
from runner.promotion.custom import is_mlflow_model
from runner.promotion.fine_tuned import require_same_data
from runner.promotion.inputs import Example, InputFile
from runner.promotion.packaging import save_model
from runner.promotion.served import served_model_of
from runner.promotion.weights import get_candidate
from runner.study import StudyRecord, read_study, require_here, trial_folder
from runner.tracking import Tracking, connect, without_secrets
from runner.trial import Bench, saved_model

Say = Callable[[str], None]


def predict(
    store: Store,
    model: str,
    inputs: Sequence[Example] | InputFile,
    *,
    trial: int | None = None,
    uri: str | None = None,
    say: Say = print,
) -> list[dict[str, Any]]:
    """Predictions, one row an example, in the order given.

    Args:
        store: The folder of local results.
        model: A registered model's name (its champion), a `models:/` or `runs:/` URI, or, with
            `trial`, a study.
        inputs: Image files, or texts (from Python also pairs of texts, and lists of words),
            whichever the model takes; or a file of them.
        trial: A trial of the study, promoted or not; trained again if its weights were not kept.
        uri: Tracking address; None for the study's, or else the usual one.
        say: Takes lines of news.
    Returns:
        Rows with what was given (`image`, `text`, `pair`, `tokens`) and the model's answer.
    Raises:
        DataError: If an example cannot be used; names it, with the file and its row.
        NotFound: If there is no such model, study or trial.
        PromotionRefused: If the data or base weights of the trial asked for have changed.
    """
    # Until the answers are there: a model may read its files as it is asked.
    with TemporaryDirectory(prefix="runner-predict-") as scratch:
        if trial is None:
            loaded = _load_registered(connect(uri, store, is_written=False), model, Path(scratch))
        else:
            loaded = _load_trial(store, uri, model, trial, scratch=Path(scratch), say=say)
        return answers_of(loaded, inputs, name=model)


def _load_registered(tracking: Tracking, model: str, scratch: Path) -> Any:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    try:
        with refusals():
            return mlflow.pyfunc.load_model(_download(tracking, model, scratch))
    except MlflowException as error:
        raise NotFound(
            f"no model {model!r} at {tracking.shown_uri}: {without_secrets(error.message)}. "
            "Promote a trial first (python -m runner promote STUDY), or predict with a trial "
            "(--trial N)"
        ) from error


def _download(tracking: Tracking, model: str, scratch: Path) -> str:
    """The model's folder on this machine.

    MLflow itself would look `models:/` up in its global store, which is not ours to set.
    """
    client = tracking.client
    scheme, _, rest = model.rpartition(":/")
    if scheme == "runs":
        run_id = rest.partition("/")[0]
        outputs = client.get_run(run_id).outputs
        logged = outputs.model_outputs if outputs is not None else []
        if not logged:
            raise NotFound(f"the run {run_id} has no model; promote its trial, or use --trial N")
        source = client.get_logged_model(logged[-1].model_id).artifact_location
        return _fetched(source, tracking, scratch)
    name, at, alias = rest.partition("@")
    name, slash, number = name.partition("/")
    if slash:
        version = client.get_model_version(name, number)
    else:
        version = client.get_model_version_by_alias(name, alias if at else "champion")
    # A logged model's id where a server keeps it, a plain address where it does not.
    source = str(version.source)
    if source.startswith("models:/"):
        source = client.get_logged_model(source.removeprefix("models:/")).artifact_location
    return _fetched(source, tracking, scratch)


def _fetched(source: str, tracking: Tracking, scratch: Path) -> str:
    """Artifacts as a folder: where they lie, if that is on this machine, or a copy."""
    from mlflow.artifacts import download_artifacts

    is_here = urlsplit(source).scheme in ("", "file")
    target = None if is_here else str(scratch)
    return str(download_artifacts(artifact_uri=source, dst_path=target, tracking_uri=tracking.uri))


def _load_trial(
    store: Store, uri: str | None, study: str, trial: int, *, scratch: Path, say: Say
) -> Any:
    import mlflow.pyfunc

    record = read_study(store, study)
    tracking = connect(uri or record.attributes["experiment"]["tracking"]["uri"], store)
    if record.attributes["experiment"]["task"] == CUSTOM:
        return _load_saved(record, trial)
    candidate = get_candidate(store, tracking, record, trial, scratch=scratch, say=say)
    bench = Bench(candidate.experiment, store)
    require_same_data(candidate, bench, or_else="classes and scale of the answers may be others")
    folder = scratch / "model"
    save_model(folder, served_model_of(candidate, bench))
    return mlflow.pyfunc.load_model(str(folder))


def _load_saved(record: StudyRecord, number: int) -> Any:
    """What a trial of one's own saved, if a flavour of MLflow wrote it."""
    import mlflow.pyfunc

    folder = trial_folder(record.folder, number)
    require_here(folder, f"what trial {number} left")
    saved = saved_model(folder)
    if saved is None or not is_mlflow_model(saved):
        raise NotFound(
            f"trial {number} of {record.name!r} saved no MLflow model (a folder written by one of "
            "MLflow's save_model functions), so only its own code can predict with it"
        )
    return mlflow.pyfunc.load_model(str(saved))
