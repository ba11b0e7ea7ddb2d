"""Tokenizers: the fast ones, which are data and no code."""

import hashlib
import json
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from runner.errors import WeightsUnavailable
from runner.experiment import LabelKind, first_line
from runner.models.text.locations import TextFiles

_CONFIG = "tokenizer_config.json"


def load_tokenizer(
    files: TextFiles, *, kind: LabelKind = LabelKind.CLASS
) -> PreTrainedTokenizerFast:
    """The tokenizer of a text model.

    Args:
        files: Of the model.
        kind: For tags, words come one by one: a byte-level tokenizer is then told to see a space
            before each, as it does inside a text.
    Raises:
        WeightsUnavailable: If it is damaged, wants code of its own to be run, or has no fast form
            or no padding token.
    """
    tokenizer = _load(files)
    if kind is LabelKind.TAGS and _glues_words(tokenizer):
        tokenizer = _load(files, add_prefix_space=True)
        for part in _byte_levels(tokenizer):
            part.add_prefix_space = True
    return tokenizer


def tokenizer_key(tokenizer: PreTrainedTokenizerFast) -> str:
    """sha256 over everything that decides its tokens and their numbers, as 64 hex digits."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    rest = json.dumps(
        [list(tokenizer.model_input_names), tokenizer.pad_token_id, tokenizer.padding_side]
    )
    return hashlib.sha256(f"{backend.to_str()}|{rest}".encode()).hexdigest()


def _load(files: TextFiles, **changes: Any) -> PreTrainedTokenizerFast:
    _refuse_code(files)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            files.tokenizer, local_files_only=True, trust_remote_code=False, **changes
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as err:
        raise WeightsUnavailable(
            f"tokenizer {files.tokenizer}: not readable: {first_line(err)}"
        ) from err
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise WeightsUnavailable(
            f"tokenizer {files.tokenizer}: {type(tokenizer).__name__} has no fast form; "
            "take a model with a tokenizer.json"
        )
    if tokenizer.pad_token_id is None:
        raise WeightsUnavailable(f"tokenizer {files.tokenizer}: it has no padding token")
    return tokenizer


def _refuse_code(files: TextFiles) -> None:
    path = files.tokenizer / _CONFIG
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise WeightsUnavailable(f"{path}: not readable: {first_line(err)}") from err
    if isinstance(content, dict) and "auto_map" in content:
        raise WeightsUnavailable(
            f"{path}: auto_map names code that comes with the tokenizer; such code is never run "
            "here"
        )


def _glues_words(tokenizer: PreTrainedTokenizerFast) -> bool:
    return any(not part.add_prefix_space for part in _byte_levels(tokenizer))


def _byte_levels(tokenizer: PreTrainedTokenizerFast) -> list[Any]:
    """The byte-level steps of splitting a text; changing one changes the tokenizer."""
    splitting: Any = tokenizer.backend_tokenizer.pre_tokenizer
    is_sequence = isinstance(splitting, pre_tokenizers.Sequence)
    steps: list[Any] = [*splitting] if is_sequence else [splitting]
    return [step for step in steps if isinstance(step, pre_tokenizers.ByteLevel)]
