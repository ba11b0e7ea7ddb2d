"""What the tests of promotion share: a local MLflow store, and tiny encoders."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tiny_text_models import make_tiny_text_model


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Address of a fresh local store, and its one experiment's id."""
    root = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    return uri, client.create_experiment("cats", artifact_location=str(root / "artifacts"))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an encoder of each family, one of each kind of tokenizer; not to be changed."""
    folder = tmp_path_factory.mktemp("encoders")
    for family in ("bert", "roberta", "distilbert"):
        make_tiny_text_model(folder / family, family)
    return folder
