"""What a trial of one's own saved, in a real MLflow; and its own test."""

from pathlib import Path

import mlflow.sklearn
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from sklearn.linear_model import LogisticRegression

from runner.promotion.custom import (
    CustomResult,
    custom_split,
    evaluate_custom,
    is_mlflow_model,
    log_saved,
)
from runner.promotion.packaging import register_model
from runner.trial import SavedTrial


def _registered(database: tuple[str, str], saved: Path, name: str) -> str:
    """Logs, registers and names it champion; gives the version."""
    uri, experiment = database
    client = MlflowClient(uri, uri)
    run_id = client.create_run(experiment).info.run_id
    logged = log_saved(client, saved, run_id=run_id, tags={"trial": "3"})
    assert str(client.get_logged_model(logged.model_id).status) == "READY"
    version = register_model(client, logged, name=name, tags={"study": "own"})
    client.set_registered_model_alias(name, "champion", version)
    assert client.get_model_version(name, version).run_id == run_id
    return version


def _downloaded(database: tuple[str, str], name: str, folder: Path) -> dict[str, str]:
    """The files of a version, by their path, as plain MLflow downloads them."""
    uri, _ = database
    version = MlflowClient(uri, uri).get_model_version_by_alias(name, "champion")
    path = Path(download_artifacts(artifact_uri=version.source, dst_path=str(folder)))
    files = [each for each in path.rglob("*") if each.is_file()]
    return {each.relative_to(path).as_posix(): each.read_text() for each in files}


def test_saved_file_becomes_a_version_with_that_file(
    database: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "netz größe.txt").write_text("weights")
    assert _registered(database, tmp_path / "netz größe.txt", "a_file") == "1"
    (tmp_path / "got").mkdir()
    found = _downloaded(database, "a_file", tmp_path / "got")
    assert found == {"netz größe.txt": "weights"}


def test_saved_folder_becomes_a_version_with_its_files(
    database: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "net" / "deep").mkdir(parents=True)
    (tmp_path / "net" / "a.txt").write_text("a")
    (tmp_path / "net" / "deep" / "b.txt").write_text("b")
    assert not is_mlflow_model(tmp_path / "net")
    _registered(database, tmp_path / "net", "a_folder")
    (tmp_path / "got").mkdir()
    assert _downloaded(database, "a_folder", tmp_path / "got") == {"a.txt": "a", "deep/b.txt": "b"}


@pytest.mark.slow
def test_model_of_a_flavour_is_loaded_by_plain_mlflow(
    database: tuple[str, str], tmp_path: Path
) -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = LogisticRegression().fit(x, [0, 0, 1, 1])
    saved = tmp_path / "saved"
    # As a trial would: with the requirements given, MLflow need not find them out.
    mlflow.sklearn.save_model(model, str(saved), pip_requirements=["scikit-learn"])
    before = (saved / "MLmodel").read_text()
    assert is_mlflow_model(saved)
    _registered(database, saved, "a_flavour")
    assert (saved / "MLmodel").read_text() == before
    uri, _ = database
    client = MlflowClient(uri, uri)
    version = client.get_model_version_by_alias("a_flavour", "champion")
    loaded = mlflow.sklearn.load_model(version.source)
    assert loaded.predict(x).tolist() == [0, 0, 1, 1]
    card = mlflow.models.Model.load(version.source)
    assert card.run_id == version.run_id
    assert (
        card.model_id
        == client.search_logged_models(
            [database[1]], filter_string=f"source_run_id = '{version.run_id}'"
        )[0].model_id
    )


def test_evaluate_custom_without_a_function_is_the_validation_value(tmp_path: Path) -> None:
    result = evaluate_custom(None, _trial(tmp_path), metric="f1", validation=0.7)
    assert result == CustomResult({"f1": 0.7}, {}, is_test=False)


def test_evaluate_custom_with_a_function_is_what_it_measures(tmp_path: Path) -> None:
    (tmp_path / "my_test.py").write_text(
        "def evaluate(trial): return {'f1': 0.5}, {n: n for n in range(2)}"
    )
    written = f"{tmp_path}/my_test.py:evaluate"
    result = evaluate_custom(written, _trial(tmp_path), metric="f1", validation=0.7)
    assert result == CustomResult({"f1": 0.5}, {"0": 0.0, "1": 1.0}, is_test=True)


def test_custom_split_is_that_of_the_function_for_the_test() -> None:
    split = custom_split("a.py:objective", "t.py:evaluate")
    assert split == custom_split("b.py:objective", "t.py:evaluate")
    assert split != custom_split("a.py:objective", "t.py:other")
    assert custom_split("a.py:objective", None) != custom_split("b.py:objective", None)


def _trial(folder: Path) -> SavedTrial:
    return SavedTrial({}, 3, 7, ("cpu",), 1, folder, None)
