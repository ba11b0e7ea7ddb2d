"""A trained image classifier as an MLflow model that needs torch and timm, and nothing of ours."""

import io
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from runner.models import InputSpec, plain_architecture

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

_CODE = Path(__file__).parent / "served_image_model.py"
_REQUIRED = ("torch", "timm", "safetensors", "pillow", "numpy", "pandas")
_MODEL_NAME = "model"
_PROGRESS_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


@dataclass(frozen=True)
class ImageModel:
    """Everything a classifier needs to answer, apart from its weights.

    Attributes:
        name: Model name, with or without a tag.
        arguments: Extra constructor arguments it was built with.
        classes: Names of its outputs, in order.
        input: Size, normalisation and interpolation of its input.
        resolution: Side in pixels of the square an image is scaled to before the centre crop.
    """

    name: str
    arguments: Mapping[str, Any]
    classes: Sequence[str]
    input: InputSpec
    resolution: int

    def description(self) -> dict[str, Any]:
        """What the served model reads as model.json."""
        name, arguments = plain_architecture(self.name, self.arguments)
        return {
            "timm_name": name,
            "arguments": arguments,
            "classes": list(self.classes),
            "input": asdict(self.input),
            "resolution": self.resolution,
        }


@dataclass(frozen=True)
class LoggedImageModel:
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


def log_image_model(
    client: "MlflowClient",
    model: ImageModel,
    *,
    state: Mapping[str, Tensor],
    run_id: str,
    tags: Mapping[str, str] | None = None,
) -> LoggedImageModel:
    """Logs a classifier to a run of MLflow, through this client alone; no run becomes active.

    Args:
        client: On the tracking store that has the run.
        model: What it is.
        state: Its parameters and buffers by name.
        run_id: The trial's run.
        tags: Tags of the logged model.
    Raises:
        MlflowException: If MLflow refuses or cannot be reached.
    Side effects: One logged model in the run's experiment; it is marked as failed where the
        upload breaks off.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(
        experiment_id, name=_MODEL_NAME, source_run_id=run_id, tags=dict(tags or {})
    )
    card = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        run_id=run_id,
        model_id=logged.model_id,
    )
    status = LoggedModelStatus.FAILED
    try:
        with tempfile.TemporaryDirectory() as folder:
            save_image_model(Path(folder, "model"), model, state=state, card=card)
            client.log_model_artifacts(logged.model_id, str(Path(folder, "model")))
        status = LoggedModelStatus.READY
    finally:
        client.finalize_logged_model(logged.model_id, status)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return LoggedImageModel(logged.model_id, logged.artifact_location, run_id)


def register_image_model(
    client: "MlflowClient",
    logged: LoggedImageModel,
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


def save_image_model(
    path: Path, model: ImageModel, *, state: Mapping[str, Tensor], card: Any = None
) -> None:
    """Writes a classifier as an MLflow model folder.

    Args:
        path: The folder; must not exist.
        model: What it is.
        state: Its parameters and buffers by name.
        card: The MLflow `Model` that names its run; a fresh one by default.
    """
    import mlflow.pyfunc

    # "Validating input example ...": news for nobody.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        weights, description = Path(folder, "weights.safetensors"), Path(folder, "model.json")
        save_file({name: _plain(tensor) for name, tensor in state.items()}, weights)
        description.write_text(json.dumps(model.description(), indent=2), "utf-8")
        with _without_progress_bars():
            mlflow.pyfunc.save_model(
                str(path),
                python_model=str(_CODE),
                artifacts={"weights": str(weights), "model": str(description)},
                signature=image_signature(model.classes),
                input_example=_example(model.input.size),
                pip_requirements=requirements(),
                mlflow_model=card,
            )


def image_signature(classes: Sequence[str]) -> "ModelSignature":
    """What the served model takes and gives: encoded images in, probabilities out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    from runner.promotion.served_image_model import DEFAULT_BATCH_SIZE, class_column

    columns = [ColSpec(DataType.string, "label"), ColSpec(DataType.double, "probability")]
    columns += [ColSpec(DataType.double, class_column(name)) for name in classes]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema([*columns]),
        params=ParamSchema(
            [
                ParamSpec("top_k", DataType.long, 1),
                ParamSpec("batch_size", DataType.long, DEFAULT_BATCH_SIZE),
            ]
        ),
    )


def requirements() -> list[str]:
    """What the served model imports, at the versions installed here."""
    # A local part such as +cu128 names a build that package indexes do not have.
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in _REQUIRED]


def _example(size: int) -> "pd.DataFrame":
    """One grey image: MLflow keeps it, and the request that serving expects, with the model."""
    import pandas as pd

    encoded = io.BytesIO()
    Image.new("RGB", (size, size), (128, 128, 128)).save(encoded, "PNG")
    return pd.DataFrame({"image": [encoded.getvalue()]})


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


def _plain(tensor: Tensor) -> Tensor:
    """A copy of its own on the CPU: safetensors refuses tensors that share memory."""
    return tensor.detach().to(torch.device("cpu"), copy=True).contiguous()
