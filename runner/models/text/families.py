"""Which of transformers' architectures can be fine-tuned here, and why others cannot."""

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

from runner.experiment import LabelKind


def model_types(kind: LabelKind) -> tuple[str, ...]:
    """Every `model_type` with a head for this kind of label that reads a whole text at once.

    Encoders are told by transformers' own table of models that guess masked words.
    """
    return tuple(sorted(each for each in _with_head(kind) if _is_encoder(each)))


def misfit(model_type: str, kind: LabelKind) -> str | None:
    """Why an architecture does not fit, and which do; None if it fits."""
    if model_type in _with_head(kind) and _is_encoder(model_type):
        return None
    fitting = ", ".join(model_types(kind))
    return f"{model_type} does not fit: {_reason(model_type, kind)}; those that do: {fitting}"


def _with_head(kind: LabelKind) -> frozenset[str]:
    if kind is LabelKind.TAGS:
        return frozenset(MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES)
    return frozenset(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)


def _is_encoder(model_type: str) -> bool:
    is_sequence_to_sequence = model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    return model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not is_sequence_to_sequence


def _reason(model_type: str, kind: LabelKind) -> str:
    if model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "it is an encoder-decoder, made to write text from text"
    if _is_encoder(model_type):
        what = "words" if kind is LabelKind.TAGS else "whole texts"
        return f"transformers has no head for it that classifies {what}"
    if model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "it is decoder-only: each word sees only those before it"
    return "it is no encoder of plain text"
