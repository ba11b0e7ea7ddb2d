"""Where text models lie: folders, packages, configurations; what is said where they do not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runner.errors import WeightsUnavailable
from runner.models import load_text_weights, text_files
from tests.tiny_text_models import make_tiny_text_model, make_tiny_tokenizer

_Tiny = Callable[[str], Path]


def test_text_files_of_a_folder_are_all_in_it(tiny: _Tiny) -> None:
    folder = tiny("bert")
    files = text_files("my model", f"../{folder.name}", base=folder.parent / "experiments")
    assert files.folder == files.tokenizer == folder
    assert files.weights == (folder / "model.safetensors",)
    assert files.name == "my model"
    assert files.description == f"../{folder.name}"


def test_text_files_of_a_configuration_folder_leave_its_weights(tiny: _Tiny) -> None:
    folder = tiny("bert")
    files = text_files(str(folder), "none", base=Path("/"))
    assert files.folder == files.tokenizer == folder
    assert files.weights == ()
    assert load_text_weights(files) is None


def test_text_files_tokenizer_may_come_from_elsewhere(tmp_path: Path, tiny: _Tiny) -> None:
    make_tiny_tokenizer(tmp_path / "words")
    files = text_files("bert", str(tiny("bert")), base=tmp_path, tokenizer="./words")
    assert files.tokenizer == tmp_path / "words"
    assert text_files("bert", "none", base=tmp_path, tokenizer="./words").folder is None


@pytest.mark.parametrize(
    ("name", "weights", "tokenizer", "message"),
    [
        ("x", "./gone", None, r"^no such folder: .*/gone$"),
        (
            "x",
            "./empty",
            None,
            r"empty lacks a config\.json with a model_type, and model\.safetensors or "
            r"pytorch_model\.bin; it has: nothing$",
        ),
        (
            "bert",
            "none",
            None,
            r"^a configuration of its own has no tokenizer; name one: a folder \(\./\.\.\.\), ",
        ),
        ("bert", "none", "./empty", r"empty lacks a tokenizer \(tokenizer\.json, vocab\.txt, "),
        (
            "x",
            "package:no-such-model",
            None,
            r"^package:no-such-model: no-such-model is not installed here; run: pip install "
            r"no-such-model$",
        ),
        (
            "x",
            "package:pytest",
            None,
            r"^package:pytest: exactly one folder with a config\.json with a model_type, and ",
        ),
    ],
)
def test_text_files_that_are_not_there_say_what_is_missing(
    tmp_path: Path, name: str, weights: str, tokenizer: str | None, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsUnavailable, match=message):
        text_files(name, weights, base=tmp_path, tokenizer=tokenizer)


def test_text_files_folder_without_a_tokenizer_says_how_to_name_one(
    tmp_path: Path, tiny: _Tiny
) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny("bert") / name, tmp_path)
    with pytest.raises(WeightsUnavailable, match=r"has no tokenizer .*; name one with model\.tok"):
        text_files("bert", "./", base=tmp_path)


def test_text_files_configuration_of_another_library_is_not_taken(
    tmp_path: Path, tiny: _Tiny
) -> None:
    shutil.copytree(tiny("bert"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps({"word_embedding_dimension": 384}))
    with pytest.raises(WeightsUnavailable, match=r"lacks a config\.json with a model_type"):
        text_files("bert", "./", base=tmp_path)


def _pickled(folder: Path, **extra: object) -> Path:
    """A tiny model whose tensors lie in PyTorch's own format."""
    make_tiny_text_model(folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**state, **extra}, folder / "pytorch_model.bin")
    return folder


def test_load_text_weights_of_a_pickle_of_tensors_are_those_of_the_safetensors(
    tmp_path: Path, tiny: _Tiny
) -> None:
    pickled = load_text_weights(text_files("a", str(_pickled(tmp_path)), base=tmp_path))
    safe = load_text_weights(text_files("b", str(tiny("bert")), base=tmp_path))
    assert pickled is not None
    assert safe is not None
    assert pickled.fingerprint == safe.fingerprint


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("loading this ran code",)


def test_load_text_weights_of_a_pickle_with_code_is_refused_and_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails without `weights_only`."""
    files = text_files("a", str(_pickled(tmp_path, code=_Code())), base=tmp_path)
    with pytest.raises(WeightsUnavailable, match=r"pytorch_model\.bin: refused: loading it would"):
        load_text_weights(files)
    assert "ran code" not in capsys.readouterr().out


def test_load_text_weights_prefers_safetensors_and_reads_all_shards(
    tmp_path: Path, tiny: _Tiny
) -> None:
    _pickled(tmp_path)
    state = load_file(tiny("bert") / "model.safetensors")
    names = sorted(state)
    for number, part in enumerate((names[:9], names[9:]), 1):
        shard = tmp_path / f"model-0000{number}-of-00002.safetensors"
        save_file({name: state[name] for name in part}, shard, metadata={"format": "pt"})
    files = text_files("sharded", "./", base=tmp_path)
    weights = load_text_weights(files)
    assert [path.suffix for path in files.weights] == [".safetensors"] * 2
    assert weights is not None
    assert weights.state.keys() == state.keys()


def test_load_text_weights_with_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    make_tiny_text_model(tmp_path)
    whole = tmp_path / "model.safetensors"
    shutil.copy(whole, tmp_path / "model-00001-of-00002.safetensors")
    whole.rename(tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(WeightsUnavailable, match=r"embeddings\.LayerNorm\.bias is in two of the"):
        load_text_weights(text_files("doubled", "./", base=tmp_path))
