"""An adapter as a folder in peft's own layout."""

import copy
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from runner.errors import TrialFailed
from runner.models.adapters.state import trainable_state
from runner.models.groups import head_of
from runner.models.text.head import encoder_prefix, is_text_model

# peft's name for the one adapter of a model; left out in its files.
_ADAPTER = "default"
_PREFIX = "base_model.model."
_WEIGHTS = "adapter_model.safetensors"


def save_adapter(model: nn.Module, folder: Path, *, base_name: str) -> None:
    """Writes adapters and head as peft does, so that plain peft puts them on the base model.

    `peft.PeftModel.from_pretrained(base, folder)` gives the same outputs, base being the model
    without adapters, with a head of the same shape.

    Args:
        model: With adapters.
        folder: Made if it is not there; adapter_config.json and adapter_model.safetensors.
        base_name: What the base model's weights are called, for people and for peft.
    Raises:
        TrialFailed: If the model has no adapters.
    """
    configs: Any = getattr(model, "peft_config", None)
    if configs is None:
        raise TrialFailed(f"{type(model).__name__} has no adapters to save")
    config = copy.copy(configs[_ADAPTER])
    config.base_model_name_or_path = base_name
    config.modules_to_save = _head_modules(model)
    config.inference_mode = True
    config.task_type = _task_type(model)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tensors = {
        _PREFIX + name.replace(f".{_ADAPTER}.", "."): tensor.detach().cpu().contiguous()
        for name, tensor in trainable_state(model).items()
    }
    save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})


def _head_modules(model: nn.Module) -> list[str]:
    """The modules that hold the head: whole ones of a text model, timm's layers one by one."""
    head = head_of(model)
    if is_text_model(model):
        # Of a pooler inside the encoder the second name: the first is the encoder's.
        prefix = encoder_prefix(model)
        return sorted({name.removeprefix(prefix).partition(".")[0] for name in head})
    return sorted({name.rpartition(".")[0] for name in head})


def _task_type(model: nn.Module) -> str | None:
    if not is_text_model(model):
        return None
    return "TOKEN_CLS" if type(model).__name__.endswith("ForTokenClassification") else "SEQ_CLS"
