"""A transformers encoder with a head, built reproducibly, pretrained or not."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from runner.errors import TrialFailed, WeightsUnavailable
from runner.experiment import LabelKind, first_line
from runner.models.heads import start_small
from runner.models.matching import counted
from runner.models.text.configuration import model_type_of, text_config
from runner.models.text.families import misfit
from runner.models.text.head import encoder_prefix, head_dropouts, output_layer, set_fresh
from runner.models.text.locations import TextFiles
from runner.models.text.tokenizing import load_tokenizer
from runner.models.weights import Weights

_log = logging.getLogger(__name__)
# The configuration's names for the dropout before the classifier, where a family has one.
_DROPOUT_KEYS = (
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "cls_dropout",
)
# Position numbers that older versions of transformers wrote into their files.
_OBSOLETE = "position_ids"
_POOLER = "pooler"


def build_text_model(
    files: TextFiles,
    *,
    kind: LabelKind,
    outputs: int,
    weights: Weights | None,
    arguments: Mapping[str, Any],
    dropout: float,
    seed: int,
) -> PreTrainedModel:
    """transformers' own model for texts (or for words, where labels are tags), on the CPU.

    It is in training mode. The same arguments give the same parameters bit for bit; the caller's
    random state stays as it was.

    Args:
        files: Of the model.
        kind: What its outputs are.
        outputs: Size of the head.
        weights: What the encoder starts from; a head of the same shape is taken from it too.
        arguments: Configuration values that differ from the files'.
        dropout: Probability before the classifier, in [0, 1).
        seed: Of the fresh parameters.
    Raises:
        WeightsUnavailable: If the weights do not fit.
        TrialFailed: If the architecture does not fit, the model has no such dropout, or the values
            cannot be used.
    """
    config = _config(files, arguments, kind=kind, outputs=outputs)
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        if weights is None:
            model = _create(files, config, kind)
        else:
            model = _pretrained(_create_class(config, kind), config, weights, seed=seed)
    _set_dropout(model, dropout, name=files.name)
    model.train()
    return model


def expected_text_model(
    files: TextFiles, *, kind: LabelKind, outputs: int, arguments: Mapping[str, Any]
) -> PreTrainedModel:
    """The same model on the meta device: names and shapes in milliseconds, no values.

    Raises:
        TrialFailed: If the architecture does not fit, or the values cannot be used.
    """
    with torch.device("meta"):
        config = _config(files, arguments, kind=kind, outputs=outputs)
        return _create(files, config, kind)


def _config(
    files: TextFiles, arguments: Mapping[str, Any], *, kind: LabelKind, outputs: int
) -> PreTrainedConfig:
    problem = misfit(model_type_of(files), kind)
    if problem is not None:
        raise TrialFailed(f"model.name: {problem}")
    tokenizer = load_tokenizer(files) if files.folder is None else None
    return text_config(files, arguments, outputs=outputs, tokenizer=tokenizer)


def _auto_class(kind: LabelKind) -> Any:
    is_tags = kind is LabelKind.TAGS
    return AutoModelForTokenClassification if is_tags else AutoModelForSequenceClassification


def _create_class(config: PreTrainedConfig, kind: LabelKind) -> type[PreTrainedModel]:
    found: type[PreTrainedModel] = _auto_class(kind)._model_mapping[type(config)]
    return found


def _create(files: TextFiles, config: PreTrainedConfig, kind: LabelKind) -> PreTrainedModel:
    try:
        model: PreTrainedModel = _auto_class(kind).from_config(config, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError) as err:
        raise TrialFailed(
            f"model.arguments: {files.name} cannot be built so: {first_line(err)}"
        ) from err
    return model


def _pretrained(
    kind: type[PreTrainedModel], config: PreTrainedConfig, weights: Weights, *, seed: int
) -> PreTrainedModel:
    """The model with its file's tensors, by transformers' own rules for older names."""
    # Copies: transformers uses the very tensors it is given, and trials share these.
    state = {name: tensor.clone() for name, tensor in weights.state.items()}
    loaded: Any = kind.from_pretrained(
        None,
        config=config,
        state_dict=state,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model: PreTrainedModel = loaded[0]
    found = loaded[1]
    reshaped = {
        name: f"{name} {tuple(a)} for {tuple(b)}" for name, a, b in found["mismatched_keys"]
    }
    fresh = {*found["missing_keys"], *reshaped}
    _require_fit(model, fresh, reshaped, _left_over(model, weights, found["unexpected_keys"]))
    name, layer = output_layer(model)
    if f"{name}.weight" in fresh:
        start_small({"weight": layer.weight, "bias": layer.bias}, seed=seed)
    return model


def _require_fit(
    model: PreTrainedModel, fresh: set[str], reshaped: Mapping[str, str], left_over: Iterable[str]
) -> None:
    """Refuses weights that lack more than the head and the pooler, or hold more than heads."""
    prefix = encoder_prefix(model)
    inside = {name for name in fresh if name.startswith(prefix)}
    missing = sorted(name for name in inside if name not in reshaped and not _is_pooler(name))
    parts = (
        counted("missing", tuple(missing)),
        counted("unexpected", tuple(left_over)),
        counted(
            "of another shape", tuple(reshaped[each] for each in sorted(inside & {*reshaped}))
        ),
    )
    difference = "; ".join(part for part in parts if part)
    title = type(model).__name__
    if difference:
        raise WeightsUnavailable(f"the weights do not fit {title}: {difference}")
    if inside:
        set_fresh(model, inside)
        _log.info(
            "the weights of %s have no pooler: it starts fresh and counts as part of the head "
            "(%s)",
            *(title, ", ".join(sorted(inside))),
        )
    if fresh - inside:
        _log.info("head of %s starts fresh: %s", title, ", ".join(sorted(fresh - inside)))


def _left_over(
    model: PreTrainedModel, weights: Weights, unexpected: Iterable[str]
) -> tuple[str, ...]:
    """Tensors of the encoder that the model has no place for; heads of other tasks are none."""
    prefix = encoder_prefix(model)
    is_bare = not any(name.startswith(prefix) for name in weights.state)
    return tuple(
        sorted(
            name
            for name in unexpected
            if (is_bare or name.startswith(prefix))
            and not _is_pooler(name)
            and not name.endswith(_OBSOLETE)
        )
    )


def _is_pooler(name: str) -> bool:
    return _POOLER in name.split(".")


def _set_dropout(model: PreTrainedModel, dropout: float, *, name: str) -> None:
    layers = head_dropouts(model)
    if not layers and dropout > 0:
        raise TrialFailed(f"dropout = {dropout}: {name} has no dropout; set train.dropout to 0")
    for layer in layers:
        layer.p = dropout
    for key in _DROPOUT_KEYS:
        if hasattr(model.config, key):
            setattr(model.config, key, dropout)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no tables of tensors: what matters of them is checked and logged."""
    said: Any = transformers_logging
    verbosity, had_bars = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.set_verbosity(verbosity)
        if had_bars:
            said.enable_progress_bar()
