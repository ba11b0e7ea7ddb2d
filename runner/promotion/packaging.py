"""A trained model in MLflow, which needs its libraries there and nothing of ours.

What every served model has in common; `image_packaging` and `text_packaging` say the rest.
"""

import ast
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

_MODEL_NAME = "model"
_PROGRESS_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


@dataclass(frozen=True)
class ServedModel:
    """A model that plain MLflow can serve.

    Attributes:
        code: Files that become the one which MLflow keeps and runs, the model's own last.
        write: Writes the model's artifacts into a folder, and gives the path of each by its name.
        signature: What it takes and gives.
        example: Rows it can answer; MLflow keeps them with the model.
        imports: Distributions that the code imports.
    """

    code: Sequence[Path]
    write: Callable[[Path], Mapping[str, Path]]
    signature: "ModelSignature"
    example: "pd.DataFrame"
    imports: Sequence[str]


@dataclass(frozen=True)
class LoggedModel:
    """A model in MLflow.

    Attributes:
        model_id: MLflow's id of it.
        location: Where its artifacts lie.
        run_id: The run it belongs to.
    """

    model_id: str
    location: str
    run_id: str

    @property
    def uri(self) -> str:
        """The address plain MLflow loads it by."""
        return f"models:/{self.model_id}"


def log_model(
    client: "MlflowClient",
    model: ServedModel,
    *,
    run_id: str,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Logs a model to a run of MLflow, through this client alone; no run becomes active.

    Args:
        client: On the tracking store that has the run.
        model: What it is.
        run_id: The trial's run.
        tags: Tags of the logged model.
    Raises:
        MlflowException: If MLflow refuses or cannot be reached.
    Side effects: One logged model in the run's experiment; it is marked as failed where the
        upload breaks off.
    """
    from mlflow.models import Model

    def write(folder: Path, logged: LoggedModel) -> None:
        """The model's folder, its card naming the run."""
        card = Model(
            artifact_path=logged.location,
            model_uuid=logged.model_id,
            run_id=run_id,
            model_id=logged.model_id,
        )
        save_model(folder, model, card=card)

    return log_folder(client, write, run_id=run_id, tags=tags)


def log_folder(
    client: "MlflowClient",
    write: Callable[[Path, LoggedModel], None],
    *,
    run_id: str,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Logs a folder as a model of a run.

    Args:
        client: On the tracking store that has the run.
        write: Writes the folder, which must not exist before, for a model that MLflow knows.
        run_id: The trial's run.
        tags: Tags of the logged model.
    Raises:
        MlflowException: If MLflow refuses or cannot be reached.
    Side effects: See `log_model`.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    experiment_id = client.get_run(run_id).info.experiment_id
    created = client.create_logged_model(
        experiment_id, name=_MODEL_NAME, source_run_id=run_id, tags=dict(tags or {})
    )
    logged = LoggedModel(created.model_id, created.artifact_location, run_id)
    status = LoggedModelStatus.FAILED
    try:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, _MODEL_NAME), logged)
            client.log_model_artifacts(logged.model_id, str(Path(folder, _MODEL_NAME)))
        status = LoggedModelStatus.READY
    finally:
        client.finalize_logged_model(logged.model_id, status)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def register_model(
    client: "MlflowClient",
    logged: LoggedModel,
    *,
    name: str,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Makes a logged model the next version of a registered one; the version as MLflow writes it.

    Side effects: Creates the registered model where it is new; aliases stay where they are.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # On a database, MLflow looks a models:/ address up in its global store, not in the client's.
    is_server = client.tracking_uri.startswith("http")
    version = client.create_model_version(
        name,
        source=logged.uri if is_server else logged.location,
        run_id=logged.run_id,
        model_id=logged.model_id,
        tags=dict(tags or {}),
    )
    _link_version(client, logged.model_id, {"name": name, "version": str(version.version)})
    return str(version.version)


def _link_version(client: "MlflowClient", model_id: str, version: dict[str, str]) -> None:
    """Notes a registered version on the logged model; the UI shows it from there."""
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    tags = client.get_logged_model(model_id).tags
    versions = json.loads(tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    if not any({key: str(each[key]) for key in version} == version for each in versions):
        noted = json.dumps([*versions, version])
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: noted})


def save_model(path: Path, model: ServedModel, *, card: Any = None) -> None:
    """Writes a model as an MLflow model folder.

    Args:
        path: The folder; must not exist.
        model: What it is.
        card: The MLflow `Model` that names its run; a fresh one by default.
    Raises:
        DiskRefused: If there is no room for it.
    """
    import mlflow.pyfunc

    from runner.models import writing_weights

    # "Validating input example ...": news for nobody.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    with (
        tempfile.TemporaryDirectory() as folder,
        _without_progress_bars(),
        writing_weights(path),
    ):
        code = Path(folder, model.code[-1].name)
        code.write_text(joined(model.code), "utf-8")
        artifacts = model.write(Path(folder))
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(code),
            artifacts={name: str(artifact) for name, artifact in artifacts.items()},
            signature=model.signature,
            input_example=model.example,
            pip_requirements=requirements(model.imports),
            mlflow_model=card,
        )


def joined(code: Sequence[Path]) -> str:
    """Files of this project as one, without what they import of one another."""
    return "\n\n".join(_without_own_imports(path.read_text("utf-8")) for path in code)


def _without_own_imports(source: str) -> str:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runner."):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines) + "\n"


def requirements(imports: Sequence[str]) -> list[str]:
    """Distributions at the versions installed here."""
    # A local part such as +cu128 names a build that package indexes do not have.
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in imports]


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """MLflow draws a bar for each file it copies, even inside one folder."""
    before = os.environ.get(_PROGRESS_BARS)
    os.environ[_PROGRESS_BARS] = "false"
    try:
        yield
    finally:
        del os.environ[_PROGRESS_BARS]
        if before is not None:
            os.environ[_PROGRESS_BARS] = before
