"""timm's image classifiers behind one face: names, weights, input, layer groups and freezing.

Importing this room imports torch and timm (about ten seconds): workers do, the driver does not.
"""

from runner.models.build import build_model, expected_model, has_regulariser
from runner.models.catalogue import canonical_name
from runner.models.checks import ModelProblem, check_model
from runner.models.freezing import freeze, keep_frozen_in_eval
from runner.models.groups import FreezeDepth, LayerGroups, layer_groups
from runner.models.input_spec import (
    InputSpec,
    arguments_for_size,
    input_spec,
    plain_architecture,
)
from runner.models.order import NoLayerOrder
from runner.models.weights import Weights, fingerprint, load_weights

__all__ = [
    "FreezeDepth",
    "InputSpec",
    "LayerGroups",
    "ModelProblem",
    "NoLayerOrder",
    "Weights",
    "arguments_for_size",
    "build_model",
    "canonical_name",
    "check_model",
    "expected_model",
    "fingerprint",
    "freeze",
    "has_regulariser",
    "input_spec",
    "keep_frozen_in_eval",
    "layer_groups",
    "load_weights",
    "plain_architecture",
]
