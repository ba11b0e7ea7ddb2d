"""A text model's configuration: its folder's, or its architecture's, with what is asked on top."""

import json
from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedTokenizerBase

from runner.errors import TrialFailed, WeightsUnavailable
from runner.experiment import first_line
from runner.models.text.locations import TextFiles
from runner.models.text.places import CONFIG

# Set by the runner itself; an experiment that sets them too would contradict it.
RESERVED = {
    "num_labels": "the data's classes decide it",
    "id2label": "the data's classes decide it",
    "label2id": "the data's classes decide it",
    "problem_type": "the task decides it",
    "model_type": "model.name or the weights decide it",
    "architectures": "the task decides it",
    "auto_map": "code from the hub is never run",
    "quantization_config": "quantised weights are not supported",
    **dict.fromkeys(
        ("attn_implementation", "experts_implementation", "allow_all_kernels"),
        "it may name code on the hub, which is never run",
    ),
    "dtype": "set train.precision",
    "classifier_dropout": "set train.dropout",
    "classifier_dropout_prob": "set train.dropout",
    "seq_classif_dropout": "set train.dropout",
    "cls_dropout": "set train.dropout",
}
# What a file may say that is not this model's any more, or names code: kernels of the hub.
_DROPPED = (
    *("num_labels", "id2label", "label2id", "problem_type", "dtype", "torch_dtype"),
    *("attn_implementation", "_attn_implementation"),
    *("experts_implementation", "_experts_implementation"),
)
# What configurations raise for values they cannot hold.
BAD_VALUES = (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError)
_FROM_TOKENIZER = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")


def model_type_of(files: TextFiles) -> str:
    """transformers' name of the architecture.

    Raises:
        WeightsUnavailable: If the configuration cannot be used.
    """
    return files.name if files.folder is None else str(read_config(files)["model_type"])


def read_config(files: TextFiles) -> dict[str, Any]:
    """The content of a folder's config.json; {} where there is no folder.

    Raises:
        WeightsUnavailable: If it wants code of its own to be run, or is quantised.
    """
    if files.folder is None:
        return {}
    path = files.folder / CONFIG
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "auto_map" in content:
        raise WeightsUnavailable(
            f"{path}: auto_map names code that comes with the weights "
            f"({', '.join(map(str, content['auto_map']))}); such code is never run here. Take a "
            "model whose architecture is part of transformers"
        )
    if "quantization_config" in content:
        raise WeightsUnavailable(f"{path}: {RESERVED['quantization_config']}")
    return content


def text_config(
    files: TextFiles,
    arguments: Mapping[str, Any],
    *,
    outputs: int,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> PreTrainedConfig:
    """The configuration a model is built from.

    Args:
        files: Of the model.
        arguments: Values that differ from the folder's, or from the architecture's own.
        outputs: Size of the head.
        tokenizer: Gives a configuration without a folder its vocabulary size and special tokens,
            where the arguments do not.
    Raises:
        WeightsUnavailable: If the folder's configuration cannot be used.
        TrialFailed: If the values cannot be used; `check_text_model` finds it earlier.
    """
    values = read_config(files)
    kind = _config_class(str(values.get("model_type", files.name)))
    own = {key: value for key, value in values.items() if key not in _DROPPED}
    if files.folder is None and tokenizer is not None:
        own = _vocabulary(tokenizer)
    names: Mapping[str, str] = getattr(kind, "attribute_map", {})
    asked = {names.get(key, key): value for key, value in arguments.items()}
    try:
        return kind(**{**own, **asked, "num_labels": outputs})
    except BAD_VALUES as err:
        raise TrialFailed(
            f"model.arguments: {files.name} cannot be configured so: {bad_value(err)}"
        ) from err


def known_arguments(files: TextFiles) -> tuple[str, ...]:
    """Names of the values a configuration has, apart from those the runner sets itself."""
    kind = _config_class(model_type_of(files))
    names = {*kind().to_dict(), *getattr(kind, "attribute_map", {}), *read_config(files)}
    return tuple(sorted(name for name in names if not name.startswith("_")))


def bad_value(err: BaseException) -> str:
    """What a configuration says of a value, in one line."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return " ".join(lines[:2]) if isinstance(err, StrictDataclassError) else first_line(err)


def _config_class(model_type: str) -> type[PreTrainedConfig]:
    try:
        found: type[PreTrainedConfig] = CONFIG_MAPPING[model_type]
    except KeyError as err:
        raise WeightsUnavailable(
            f"{model_type}: no architecture of the installed transformers"
        ) from err
    return found


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    special = {name: getattr(tokenizer, name, None) for name in _FROM_TOKENIZER}
    known = {name: value for name, value in special.items() if value is not None}
    return {"vocab_size": len(tokenizer), **known}
