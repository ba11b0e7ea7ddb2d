"""Training once, outside of a search: what it leaves, and what it never loses.

Seen to fail with the connection before the training, the result kept where recording fails, the
end of what dead ones recorded, or the removal of the folder taken out.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from runner.errors import DiskRefused, TrackingUnreachable
from runner.experiment import Store
from runner.study import EVALUATION, WEIGHTS, train
from runner.study.underway import TAG_MARK, UNDER_WAY
from runner.tracking import connect
from tests.disks import Disk

pytestmark = pytest.mark.slow

EXPERIMENT = """
name: tiny
data: {source: bundled, name: digits, size: 20, image_size: 32}
model: {name: resnet10t, weights: none, arguments: {channels: [8, 8, 16, 16]}}
train: {epochs: 1, batch_size: 32}
search: {devices: [cpu], trials: 1, space: {dropout: {float: [0.0, 0.4]}}}
"""
Train = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mlruns")


@pytest.fixture
def train_tiny(store: Store, tmp_path: Path) -> Train:
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)

    def run(**options: Any) -> dict[str, Any]:
        options.setdefault("say", lambda line: None)
        return train(store, str(tmp_path / "tiny.yaml"), **options)

    return run


def left_of(store: Store) -> list[str]:
    """Files under `trained/`."""
    files = (path for path in store.trained.rglob("*") if path.is_file())
    return sorted(path.name for path in files)


def test_train_keeps_its_weights_in_the_store_and_clears_what_killed_ones_left(
    train_tiny: Train, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    killed = store.trained / "tiny" / "20200101-000000-abcdef"
    kept = store.trained / "tiny" / "20200101-000000-fedcba"
    for folder, name in ((killed, "checkpoint.pt"), (kept, WEIGHTS)):
        folder.mkdir(parents=True)
        (folder / name).touch()

    result = train_tiny()

    weights = Path(result["weights"])
    assert weights.parent.parent == store.trained / "tiny"
    assert load_file(weights)
    beside = json.loads((weights.parent / EVALUATION).read_text())
    assert beside["value"] == result["value"]
    assert beside["history"] == result["history"]
    assert left_of(store) == [EVALUATION, WEIGHTS, WEIGHTS]
    assert not killed.exists()
    assert kept.exists()
    run = connect(None, store).client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags[TAG_MARK] == weights.parent.name
    # Locks on devices, and torch's own cache of compiled code.
    left = {path.name.partition("_")[0] for path in (tmp_path / "temporary").iterdir()}
    assert left <= {"runner-leases", "torchinductor"}


def test_train_with_output_leaves_the_weights_there_alone(
    train_tiny: Train, store: Store, tmp_path: Path
) -> None:
    result = train_tiny(output=tmp_path / "out.safetensors")
    assert result["weights"] == str(tmp_path / "out.safetensors")
    assert load_file(tmp_path / "out.safetensors")
    assert left_of(store) == []


def test_train_finds_out_that_mlflow_is_down_before_it_trains(
    train_tiny: Train, store: Store
) -> None:
    said: list[str] = []
    with pytest.raises(TrackingUnreachable):
        train_tiny(overrides=["tracking.uri=http://127.0.0.1:9"], say=said.append)
    assert said == []
    assert left_of(store) == []


def test_train_that_cannot_be_recorded_keeps_the_weights_and_says_the_value(
    train_tiny: Train, store: Store, disk: Disk
) -> None:
    uri = f"sqlite:///{disk.path / 'mlflow.db'}"
    with pytest.raises(TrackingUnreachable) as caught:
        train_tiny(overrides=[f"tracking.uri={uri}"], say=lambda line: disk.fill())
    last = str(caught.value).splitlines()[-1]
    assert last.startswith("The training itself is done: value ")
    weights = Path(last.partition("; its weights are in ")[2])
    assert load_file(weights)
    assert json.loads((weights.parent / EVALUATION).read_text())["history"][0]["epoch"] == 1


def test_train_whose_output_does_not_fit_says_where_the_weights_are(
    train_tiny: Train, store: Store, disk: Disk
) -> None:
    with pytest.raises(DiskRefused) as caught:
        train_tiny(output=disk.path / "out.safetensors", say=lambda line: disk.fill())
    first, last = str(caught.value).splitlines()
    assert first.startswith(f"{disk.path / 'out.safetensors'} cannot be written: the disk is full")
    assert load_file(Path(last.partition("; its weights are in ")[2]))
    assert [path.name for path in disk.path.iterdir()] == ["ballast"]


def test_train_to_an_output_that_cannot_be_written_does_not_begin(
    train_tiny: Train, store: Store, disk: Disk
) -> None:
    disk.remount("ro")
    said: list[str] = []
    with pytest.raises(DiskRefused, match="read-only"):
        train_tiny(output=disk.path / "out.safetensors", say=said.append)
    assert said == []


def test_run_that_a_killed_train_was_recording_is_ended_by_the_next_one(
    train_tiny: Train, store: Store
) -> None:
    tracking = connect(None, store)
    dead = store.trained / "tiny" / UNDER_WAY / "20200101-000000-abcdef"
    dead.parent.mkdir(parents=True)
    dead.touch()
    experiment = tracking.experiment_id("tiny")
    run = tracking.client.create_run(experiment, tags={TAG_MARK: dead.name})
    train_tiny()
    assert tracking.client.get_run(run.info.run_id).info.status == "KILLED"
    assert os.listdir(dead.parent) == []  # noqa: PTH208
