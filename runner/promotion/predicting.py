"""Predicting images with a registered model, any MLflow model URI, or any trial of a study."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from runner.errors import DataError, NotFound
from runner.experiment import Store
from runner.promotion.packaging import save_image_model
from runner.promotion.promote import image_model_of
from runner.promotion.weights import get_candidate
from runner.study import read_study
from runner.tracking import Tracking, connect
from runner.trial import Bench, load_weights_file

Say = Callable[[str], None]


def predict_images(
    store: Store,
    model: str,
    images: Sequence[str | Path],
    *,
    trial: int | None = None,
    uri: str | None = None,
    say: Say = print,
) -> list[dict[str, Any]]:
    """Predictions, one row an image, in the order given.

    Args:
        store: The folder of local results.
        model: A registered model's name (its champion), a `models:/` or `runs:/` URI, or, with
            `trial`, a study.
        images: Image files.
        trial: A trial of the study, promoted or not; trained again if its weights were not kept.
        uri: Tracking address; None for the study's, or else the usual one.
        say: Takes lines of news.
    Returns:
        Rows with `image`, `label`, `probability` and the probability of every class.
    Raises:
        DataError: If a file is not there or is no image; it is named.
        NotFound: If there is no such model, study or trial.
    """
    missing = [str(path) for path in images if not Path(path).is_file()]
    if missing:
        raise DataError(f"no such image file: {', '.join(missing)}")
    if trial is None:
        loaded = _load_registered(connect(uri, store), model)
    else:
        loaded = _load_trial(store, uri, model, trial, say)
    return _rows(loaded, images)


def _load_registered(tracking: Tracking, model: str) -> Any:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.pyfunc.load_model(_download(tracking, model))
    except MlflowException as error:
        raise NotFound(
            f"no model {model!r} at {tracking.shown_uri}: {error.message}. Promote a trial first "
            "(python -m runner promote STUDY), or predict with a trial (--trial N)"
        ) from error


def _download(tracking: Tracking, model: str) -> str:
    """The model's folder on this machine.

    MLflow itself would look `models:/` up in its global store, which is not ours to set.
    """
    from mlflow.artifacts import download_artifacts

    client = tracking.client
    scheme, _, rest = model.rpartition(":/")
    if scheme == "runs":
        run_id = rest.partition("/")[0]
        outputs = client.get_run(run_id).outputs
        logged = outputs.model_outputs if outputs is not None else []
        if not logged:
            raise NotFound(f"the run {run_id} has no model; promote its trial, or use --trial N")
        source = client.get_logged_model(logged[-1].model_id).artifact_location
        return str(download_artifacts(artifact_uri=source, tracking_uri=tracking.uri))
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
    return str(download_artifacts(artifact_uri=source, tracking_uri=tracking.uri))


def _load_trial(store: Store, uri: str | None, study: str, trial: int, say: Say) -> Any:
    import mlflow.pyfunc

    record = read_study(store, study)
    tracking = connect(uri or record.attributes["experiment"]["tracking"]["uri"], store)
    candidate = get_candidate(store, tracking, record, trial, say=say)
    model = image_model_of(candidate, Bench(candidate.experiment, store))
    folder = Path(mkdtemp("-model")) / "model"
    save_image_model(folder, model, state=load_weights_file(candidate.weights))
    return mlflow.pyfunc.load_model(str(folder))


def _rows(loaded: Any, images: Sequence[str | Path]) -> list[dict[str, Any]]:
    import pandas as pd
    from mlflow.exceptions import MlflowException

    frame = pd.DataFrame({"image": [Path(path).read_bytes() for path in images]})
    try:
        answers = loaded.predict(frame)
    except MlflowException as error:
        names = ", ".join(f"row {row} is {path}" for row, path in enumerate(images))
        raise DataError(f"{error.message} ({names})") from error
    records: list[dict[str, Any]] = answers.to_dict("records")
    return [{**record, "image": str(path)} for path, record in zip(images, records, strict=True)]
