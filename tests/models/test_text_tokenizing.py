"""Tokenizers: read as data, told apart by what they do, fit for words where labels are tags."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from runner.errors import WeightsUnavailable
from runner.experiment import LabelKind
from runner.models import TextFiles, load_tokenizer, text_files, tokenizer_key
from tests.tiny_text_models import make_tiny_text_model

_Tiny = Callable[[str], Path]
_WORDS = ["the", "fox"]


def _files(folder: Path) -> TextFiles:
    return text_files("tiny", str(folder), base=folder)


def _byte_level_without_spaces(folder: Path) -> Path:
    """A tiny RoBERTa whose tokenizer is as the published ones: no space before a text."""
    make_tiny_text_model(folder, "roberta")
    for name, key, value in (
        ("tokenizer_config.json", "tokenizer_class", "RobertaTokenizer"),
        ("tokenizer.json", "pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": False}),
    ):
        content = json.loads((folder / name).read_text())
        rest = {"trim_offsets": True, "use_regex": True} if isinstance(value, dict) else {}
        content[key] = {**value, **rest} if isinstance(value, dict) else value
        (folder / name).write_text(json.dumps(content))
    return folder


def test_load_tokenizer_of_texts_is_the_folders_own(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(_files(_byte_level_without_spaces(tmp_path)))
    assert tokenizer.tokenize("the fox")[0] != "Ġthe"


def test_load_tokenizer_of_words_sees_a_space_before_each_and_keeps_it_when_saved(
    tmp_path: Path,
) -> None:
    files = _files(_byte_level_without_spaces(tmp_path / "model"))
    tokenizer = load_tokenizer(files, kind=LabelKind.TAGS)
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for each in (tokenizer, saved):
        encoded = each(_WORDS, is_split_into_words=True)
        tokens = each.convert_ids_to_tokens(encoded["input_ids"])
        assert tokens[1] == "Ġthe"
        assert encoded.word_ids()[1] == 0
        assert tokens[encoded.word_ids().index(1)].startswith("Ġ")


def test_tokenizer_key_depends_on_what_it_does_and_on_nothing_it_was_used_for(
    tmp_path: Path, tiny: _Tiny
) -> None:
    bert = load_tokenizer(_files(tiny("bert")))
    key = tokenizer_key(bert)
    bert(["the fox", "a"], padding="max_length", truncation=True, max_length=9)
    assert tokenizer_key(bert) == key
    copied = shutil.copytree(tiny("bert"), tmp_path / "elsewhere")
    assert tokenizer_key(load_tokenizer(_files(copied))) == key
    other = make_tiny_text_model(tmp_path / "other", sentences=["quite other words"])
    keys = {key, tokenizer_key(load_tokenizer(_files(other)))}
    byte_level = _files(_byte_level_without_spaces(tmp_path / "bytes"))
    keys |= {tokenizer_key(load_tokenizer(byte_level, kind=k)) for k in LabelKind}
    assert len(keys) == 4


def _rewritten(folder: Path, name: str, **changes: object) -> TextFiles:
    make_tiny_text_model(folder)
    content = json.loads((folder / name).read_text())
    content |= changes
    (folder / name).write_text(json.dumps(content))
    return _files(folder)


def test_load_tokenizer_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    """Fails where `auto_map` is not looked for."""
    code = {"AutoTokenizer": ["mine.Tokenizer", None]}
    files = _rewritten(tmp_path, "tokenizer_config.json", auto_map=code)
    message = r"tokenizer_config\.json: auto_map names code that comes with the tokenizer; such "
    with pytest.raises(WeightsUnavailable, match=message):
        load_tokenizer(files)


def test_load_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    files = _rewritten(tmp_path, "tokenizer_config.json", pad_token=None)
    with pytest.raises(WeightsUnavailable, match="it has no padding token$"):
        load_tokenizer(files)


def test_load_tokenizer_that_is_damaged_is_refused(tmp_path: Path) -> None:
    make_tiny_text_model(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsUnavailable, match=r"^tokenizer .*: not readable: "):
        load_tokenizer(_files(tmp_path))
