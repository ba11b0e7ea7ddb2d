"""How many tokens a text model takes."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerFast

from runner.experiment import LabelKind
from runner.models.text.build import expected_text_model
from runner.models.text.head import encoder_of
from runner.models.text.locations import TextFiles

# transformers writes 1e30 where a tokenizer knows no limit.
_NO_LIMIT = 10**9
_TABLE = "position_embeddings"


def text_limit(
    files: TextFiles, arguments: Mapping[str, Any], *, tokenizer: PreTrainedTokenizerFast
) -> int | None:
    """The longest text a model takes, in tokens, special ones included; None: no limit.

    Args:
        files: Of the model.
        arguments: Configuration values that differ from the files'.
        tokenizer: Its own limit counts too.
    Raises:
        WeightsUnavailable: If the configuration cannot be used.
        TrialFailed: If the values cannot be used.
    """
    model = expected_text_model(files, kind=LabelKind.CLASS, outputs=2, arguments=arguments)
    known = [limit for limit in (_positions(model), tokenizer.model_max_length) if limit]
    smallest = min(known, default=_NO_LIMIT)
    return None if smallest >= _NO_LIMIT else int(smallest)


def _positions(model: nn.Module) -> int | None:
    """Positions the encoder knows: rows of its table, else what its configuration says.

    RoBERTa and its kin number positions from the padding token's number on, so that the first
    rows are never used.
    """
    for name, table in encoder_of(model).named_modules():
        if name.rpartition(".")[2] == _TABLE and isinstance(table, nn.Embedding):
            unused = 0 if table.padding_idx is None else table.padding_idx + 1
            return table.num_embeddings - unused
    config: Any = model.config
    configured = getattr(config, "max_position_embeddings", None)
    return configured if configured and configured > 0 else None
