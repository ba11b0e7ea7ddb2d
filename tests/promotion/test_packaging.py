"""The packaged model in a real MLflow: logged, registered, loaded without us, and served."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from runner.models import build_model, input_spec
from runner.promotion.packaging import (
    ImageModel,
    LoggedImageModel,
    log_image_model,
    register_image_model,
    requirements,
    save_image_model,
)

_CLASSES = ("ape", "bee", "cat")


def _network() -> nn.Module:
    return build_model(
        "test_resnet",
        num_classes=len(_CLASSES),
        weights=None,
        arguments={},
        dropout=0.0,
        drop_path=0.0,
        seed=0,
    )


def _model() -> ImageModel:
    wanted = input_spec("test_resnet", {})
    return ImageModel("test_resnet", {}, _CLASSES, wanted, resolution=wanted.size)


def _png(width: int, height: int) -> bytes:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def _logged_to(client: MlflowClient, experiment: str) -> LoggedImageModel:
    run_id = client.create_run(experiment).info.run_id
    return log_image_model(
        client, _model(), state=_network().state_dict(), run_id=run_id, tags={"trial": "7"}
    )


def test_requirements_are_exact_versions_without_build_parts_or_addresses() -> None:
    lines = requirements()
    assert [line.partition("==")[0] for line in lines] == [
        "torch",
        "timm",
        "safetensors",
        "pillow",
        "numpy",
        "pandas",
    ]
    assert all(line.partition("==")[2] for line in lines)
    assert not any("+" in line or "/" in line for line in lines)


def test_save_image_model_writes_weights_and_a_description(tmp_path: Path) -> None:
    network = _network()
    save_image_model(tmp_path / "model", _model(), state=network.state_dict())
    files = tmp_path / "model" / "artifacts"
    described = json.loads((files / "model.json").read_text("utf-8"))
    assert described["timm_name"] == "test_resnet"
    assert described["classes"] == list(_CLASSES)
    assert described["resolution"] == described["input"]["size"] == 160
    weights = load_file(files / "weights.safetensors")
    assert weights.keys() == network.state_dict().keys()
    written = (tmp_path / "model" / "requirements.txt").read_text("utf-8").split()
    assert set(requirements()) < set(written)


def test_save_image_model_leaves_the_progress_bar_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    save_image_model(tmp_path / "a", _model(), state=_network().state_dict())
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true"
    monkeypatch.delenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    save_image_model(tmp_path / "b", _model(), state=_network().state_dict())
    assert "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR" not in os.environ


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Address of a fresh local store, and its one experiment's id."""
    root = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    return uri, client.create_experiment("cats", artifact_location=str(root / "artifacts"))


@pytest.mark.slow
def test_log_and_register_touch_only_the_clients_store(
    database: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri, experiment = database
    client = MlflowClient(uri, uri)
    address = mlflow.get_tracking_uri()
    logged = _logged_to(client, experiment)
    first = register_image_model(client, logged, name="cats", tags={"study": "a"})
    second = register_image_model(client, logged, name="cats")
    assert (first, second) == ("1", "2")
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == address
    assert list(tmp_path.iterdir()) == []
    run = client.get_run(logged.run_id)
    assert run.info.status == "RUNNING"
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]
    kept = client.get_logged_model(logged.model_id)
    assert (str(kept.status), kept.tags["trial"]) == ("READY", "7")
    assert json.loads(kept.tags["mlflow.modelVersions"]) == [
        {"name": "cats", "version": "1"},
        {"name": "cats", "version": "2"},
    ]
    version = client.get_model_version("cats", "1")
    assert (version.run_id, version.tags) == (logged.run_id, {"study": "a"})


@pytest.mark.slow
def test_log_image_model_that_breaks_off_is_marked_failed(database: tuple[str, str]) -> None:
    uri, experiment = database
    client = MlflowClient(uri, uri)
    run_id = client.create_run(experiment).info.run_id
    arguments = {"act_layer": nn.ReLU}
    broken = ImageModel("test_resnet", arguments, _CLASSES, input_spec("test_resnet", {}), 160)
    with pytest.raises(TypeError, match="type is not JSON serializable"):
        log_image_model(client, broken, state=_network().state_dict(), run_id=run_id)
    (left,) = [
        model
        for model in client.search_logged_models([experiment])
        if model.source_run_id == run_id
    ]
    assert str(left.status) == "FAILED"


@pytest.mark.slow
@pytest.mark.server
def test_register_on_a_server_loads_by_alias(mlflow_server: str, tmp_path: Path) -> None:
    client = MlflowClient(mlflow_server, mlflow_server)
    logged = _logged_to(client, client.create_experiment("packaging"))
    version = register_image_model(client, logged, name="packaged")
    client.set_registered_model_alias("packaged", "champion", version)
    rows = _predict_without_runner(mlflow_server, "models:/packaged@champion", tmp_path)
    assert [set(_CLASSES) < row.keys() for row in rows] == [True] * 3


_PLAIN_MLFLOW = """
import json, sys
from importlib.abc import MetaPathFinder

class Forbidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "runner":
            raise ImportError("runner is not to be imported here")

sys.meta_path.insert(0, Forbidden())
import mlflow, pandas
uri, model, *images = sys.argv[1:]
mlflow.set_tracking_uri(uri)
loaded = mlflow.pyfunc.load_model(model)
frame = pandas.DataFrame({"image": [open(image, "rb").read() for image in images]})
print("ANSWER", json.dumps(loaded.predict(frame).to_dict("records")))
"""


def _predict_without_runner(uri: str, model: str, folder: Path) -> list[dict[str, Any]]:
    """Rows for three images of three sizes, by plain MLflow in a process without this project."""
    images = [folder / f"{side}.png" for side in (40, 170, 300)]
    for image, side in zip(images, (40, 170, 300), strict=True):
        image.write_bytes(_png(side, side // 2))
    command = [sys.executable, "-I", "-c", _PLAIN_MLFLOW, uri, model, *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    answer = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    rows: list[dict[str, Any]] = json.loads(answer.removeprefix("ANSWER "))
    return rows


@pytest.mark.slow
def test_registered_model_predicts_where_runner_cannot_be_imported(
    database: tuple[str, str], tmp_path: Path
) -> None:
    uri, experiment = database
    client = MlflowClient(uri, uri)
    version = register_image_model(client, _logged_to(client, experiment), name="plain")
    client.set_registered_model_alias("plain", "champion", version)
    rows = _predict_without_runner(uri, "models:/plain@champion", tmp_path)
    assert len(rows) == 3
    for row in rows:
        assert list(row) == ["label", "probability", *_CLASSES]
        assert sum(row[name] for name in _CLASSES) == pytest.approx(1.0, abs=1e-6)
        assert row["probability"] == max(row[name] for name in _CLASSES) == row[row["label"]]


@pytest.fixture(scope="module")
def served_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `mlflow models serve` for the packaged model, on 127.0.0.1."""
    root = tmp_path_factory.mktemp("serving")
    save_image_model(root / "model", _model(), state=_network().state_dict())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(root / "model")]
    command += ["-h", "127.0.0.1", "-p", str(port), "--env-manager", "local", "-w", "1"]
    # MLflow starts uvicorn by name: what an activated environment would find.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = root / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            cwd=root,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/ping", server, log)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _wait_until_ready(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def _ask(address: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def _rows(*images: bytes) -> dict[str, Any]:
    return {"columns": ["image"], "data": [[base64.b64encode(each).decode()] for each in images]}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("count", [1, 3])
def test_models_serve_answers_a_request_of_any_batch(served_address: str, count: int) -> None:
    images = [_png(40 + 30 * position, 60) for position in range(count)]
    answer = _ask(served_address, {"dataframe_split": _rows(*images), "params": {"top_k": 2}})
    rows = answer["predictions"]
    assert len(rows) == count
    assert list(rows[0])[:4] == ["label", "probability", "label_2", "probability_2"]
    assert sum(rows[-1][name] for name in _CLASSES) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.server
def test_models_serve_refuses_a_broken_image_by_row(served_address: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _ask(served_address, {"dataframe_split": _rows(_png(40, 40), b"no image")})
    assert caught.value.code == 400
    told = json.loads(caught.value.read())
    assert told["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "row 1 (counted from 0): the column 'image' holds no readable image" in told["message"]
