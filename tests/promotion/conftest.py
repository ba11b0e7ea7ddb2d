"""What the tests of promotion share: a local MLflow store."""

import pytest
from mlflow import MlflowClient


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Address of a fresh local store, and its one experiment's id."""
    root = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    return uri, client.create_experiment("cats", artifact_location=str(root / "artifacts"))
