"""timm's image models and transformers' text encoders behind one face.

Names, weights, input, layer groups, freezing, cuts and adapters. Importing this room imports torch
and timm (about ten seconds): workers do, the driver does not. transformers and peft are imported
when a text model or an adapter is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.models.adapters.files import save_adapter
from runner.models.adapters.lora import apply_lora
from runner.models.adapters.state import load_trainable, merged_model, trainable_state
from runner.models.adapters.targets import adapter_problems
from runner.models.build import build_model, expected_model, has_regulariser
from runner.models.catalogue import canonical_name
from runner.models.checks import ModelProblem, check_model
from runner.models.cutting.points import cut_points, cut_shapes, run_prefix, run_suffix
from runner.models.cutting.splitting import CutShape
from runner.models.freezing import freeze, keep_frozen_in_eval
from runner.models.groups import FreezeDepth, LayerGroups, layer_groups
from runner.models.heads import HeadStart, head_start
from runner.models.input_spec import (
    InputSpec,
    arguments_for_size,
    input_spec,
    plain_architecture,
)
from runner.models.order import NoLayerOrder
from runner.models.text.locations import TextFiles, text_files
from runner.models.text.outputs import text_logits
from runner.models.text.weights import load_text_weights
from runner.models.weight_files import write_state, writing_weights
from runner.models.weights import Weights, fingerprint, load_weights

if TYPE_CHECKING:
    from runner.models.text.build import build_text_model, expected_text_model
    from runner.models.text.checks import check_text_model
    from runner.models.text.limits import text_limit
    from runner.models.text.tokenizing import load_tokenizer, tokenizer_key

# Modules that import transformers, by the public names in them.
_HEAVY = {
    "build_text_model": "build",
    "expected_text_model": "build",
    "check_text_model": "checks",
    "text_limit": "limits",
    "load_tokenizer": "tokenizing",
    "tokenizer_key": "tokenizing",
}

__all__ = [
    "CutShape",
    "FreezeDepth",
    "HeadStart",
    "InputSpec",
    "LayerGroups",
    "ModelProblem",
    "NoLayerOrder",
    "TextFiles",
    "Weights",
    "adapter_problems",
    "apply_lora",
    "arguments_for_size",
    "build_model",
    "build_text_model",
    "canonical_name",
    "check_model",
    "check_text_model",
    "cut_points",
    "cut_shapes",
    "expected_model",
    "expected_text_model",
    "fingerprint",
    "freeze",
    "has_regulariser",
    "head_start",
    "input_spec",
    "keep_frozen_in_eval",
    "layer_groups",
    "load_text_weights",
    "load_tokenizer",
    "load_trainable",
    "load_weights",
    "merged_model",
    "plain_architecture",
    "run_prefix",
    "run_suffix",
    "save_adapter",
    "text_files",
    "text_limit",
    "text_logits",
    "tokenizer_key",
    "trainable_state",
    "write_state",
    "writing_weights",
]


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        return getattr(import_module(f"runner.models.text.{_HEAVY[name]}"), name)
    raise AttributeError(f"module 'runner.models' has no attribute {name!r}")
