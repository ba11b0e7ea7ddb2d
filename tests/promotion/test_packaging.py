"""A packaged model in a real MLflow: logged, registered, loaded without us, and served."""

import base64
import io
import json
import os
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from torch import nn

from runner.experiment import LabelKind
from runner.models import build_model, input_spec
from runner.promotion.answers import Answers
from runner.promotion.image_packaging import ImageModel, serve_images
from runner.promotion.packaging import (
    LoggedModel,
    ServedModel,
    joined,
    log_model,
    register_model,
    requirements,
    save_model,
)
from tests.promotion.plain_mlflow import ask, models_serve, predict_without_runner

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


def _served(**arguments: Any) -> ServedModel:
    wanted = input_spec("test_resnet", {})
    answers = Answers(LabelKind.CLASS, _CLASSES)
    model = ImageModel("test_resnet", arguments, answers, wanted, resolution=wanted.size)
    return serve_images(model, _network().state_dict())


def _encoded(*sides: int) -> list[str]:
    """Images of these sides as base64 text, which a served model takes as well as bytes."""
    return [base64.b64encode(_png(side, side // 2)).decode() for side in sides]


def _png(width: int, height: int) -> bytes:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def _logged_to(client: MlflowClient, experiment: str) -> LoggedModel:
    run_id = client.create_run(experiment).info.run_id
    return log_model(client, _served(), run_id=run_id, tags={"trial": "7"})


def test_requirements_are_exact_versions_without_build_parts_or_addresses() -> None:
    lines = requirements(["torch", "timm", "pillow"])
    assert [line.partition("==")[0] for line in lines] == ["torch", "timm", "pillow"]
    assert all(line.partition("==")[2] for line in lines)
    assert not any("+" in line or "/" in line for line in lines)


def test_joined_files_are_one_that_imports_nothing_of_this_project(tmp_path: Path) -> None:
    first, last = tmp_path / "first.py", tmp_path / "last.py"
    first.write_text('"""First."""\n\nimport math\n\nHALF = math.pi\n')
    last.write_text(
        '"""Last."""\n\nimport json\nfrom runner.first import (\n    HALF,\n)\nWHOLE = 2 * HALF\n'
    )
    text = joined([first, last])
    found: dict[str, Any] = {}
    exec(compile(text, "joined", "exec"), found)
    assert found["WHOLE"] == pytest.approx(6.2832, abs=1e-4)
    assert "runner" not in text


def test_save_model_keeps_one_file_of_code(tmp_path: Path) -> None:
    save_model(tmp_path / "model", _served())
    (code,) = (tmp_path / "model").glob("*.py")
    text = code.read_text("utf-8")
    assert code.name == "served_image_model.py"
    assert "from runner" not in text
    assert "def answer_table(" in text


def test_save_model_leaves_the_progress_bar_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    save_model(tmp_path / "a", _served())
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true"
    monkeypatch.delenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    save_model(tmp_path / "b", _served())
    assert "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR" not in os.environ


@pytest.mark.slow
def test_log_and_register_touch_only_the_clients_store(
    database: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri, experiment = database
    client = MlflowClient(uri, uri)
    address = mlflow.get_tracking_uri()
    logged = _logged_to(client, experiment)
    first = register_model(client, logged, name="cats", tags={"study": "a"})
    second = register_model(client, logged, name="cats")
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
def test_log_model_that_breaks_off_is_marked_failed(database: tuple[str, str]) -> None:
    uri, experiment = database
    client = MlflowClient(uri, uri)
    run_id = client.create_run(experiment).info.run_id
    with pytest.raises(TypeError, match="type is not JSON serializable"):
        log_model(client, _served(act_layer=nn.ReLU), run_id=run_id)
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
    version = register_model(client, logged, name="packaged")
    client.set_registered_model_alias("packaged", "champion", version)
    rows = predict_without_runner(
        mlflow_server, "models:/packaged@champion", {"image": _encoded(40, 170, 300)}, tmp_path
    )
    assert [set(_CLASSES) < row.keys() for row in rows] == [True] * 3


@pytest.mark.slow
def test_registered_model_predicts_where_runner_cannot_be_imported(
    database: tuple[str, str], tmp_path: Path
) -> None:
    uri, experiment = database
    client = MlflowClient(uri, uri)
    version = register_model(client, _logged_to(client, experiment), name="plain")
    client.set_registered_model_alias("plain", "champion", version)
    images = {"image": _encoded(40, 170, 300)}
    rows = predict_without_runner(uri, "models:/plain@champion", images, tmp_path)
    assert len(rows) == 3
    for row in rows:
        assert list(row) == ["label", "probability", *_CLASSES]
        assert sum(row[name] for name in _CLASSES) == pytest.approx(1.0, abs=1e-6)
        assert row["probability"] == max(row[name] for name in _CLASSES) == row[row["label"]]


@pytest.fixture(scope="module")
def served_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `mlflow models serve` for the packaged model, on 127.0.0.1."""
    folder = tmp_path_factory.mktemp("serving") / "model"
    save_model(folder, _served())
    with models_serve(folder) as address:
        yield address


def _rows(*images: bytes) -> dict[str, Any]:
    return {"columns": ["image"], "data": [[base64.b64encode(each).decode()] for each in images]}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("count", [1, 3])
def test_models_serve_answers_a_request_of_any_batch(served_address: str, count: int) -> None:
    images = [_png(40 + 30 * position, 60) for position in range(count)]
    answer = ask(served_address, {"dataframe_split": _rows(*images), "params": {"top_k": 2}})
    rows = answer["predictions"]
    assert len(rows) == count
    assert list(rows[0])[:4] == ["label", "probability", "label_2", "probability_2"]
    assert sum(rows[-1][name] for name in _CLASSES) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.server
def test_models_serve_refuses_a_broken_image_by_row(served_address: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(served_address, {"dataframe_split": _rows(_png(40, 40), b"no image")})
    assert caught.value.code == 400
    told = json.loads(caught.value.read())
    assert told["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "row 1 (counted from 0): the column 'image' holds no readable image" in told["message"]
