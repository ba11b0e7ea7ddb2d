"""Where a transformers encoder can be cut: after its embeddings, after each layer, at its head.

The model's own code computes a suffix, in a view of the model (`views.py`): the embeddings give
the features and the first layers are left out. So masks, relative and rotary positions and the
pooler stay what the model makes of them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from runner.models.cutting.catching import caught
from runner.models.cutting.pooling import TOKENS, HeadFeed, head_feed
from runner.models.cutting.splitting import NoSplitting, Splitting
from runner.models.cutting.trace import Operation, modes_kept, parameters_read, traced
from runner.models.cutting.views import Given, with_parts
from runner.models.dry_run import CANNOT_RUN
from runner.models.groups import LayerGroups
from runner.models.text.head import encoder_prefix
from runner.models.text.layers import encoder_layers, without_padding_number
from runner.models.text.outputs import scores_of, text_inputs

T = TypeVar("T")
_EMBEDDINGS = ("embeddings",)
# What leads to the first layer, inside the encoder, by `model_type`: families whose masks and
# positions have been tried with features in the place of embeddings.
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "albert": (*_EMBEDDINGS, "encoder.embedding_hidden_mapping_in"),
    "bert": _EMBEDDINGS,
    "camembert": _EMBEDDINGS,
    "deberta-v2": _EMBEDDINGS,
    "distilbert": _EMBEDDINGS,
    "electra": (*_EMBEDDINGS, "embeddings_project"),
    "modernbert": _EMBEDDINGS,
    "mpnet": _EMBEDDINGS,
    "roberta": _EMBEDDINGS,
    "xlm-roberta": _EMBEDDINGS,
}


@dataclass(frozen=True)
class _Encoder:
    """Cuts of a text model.

    Attributes:
        sources: Names of the modules that lead to the first layer.
        layers: Names of the layers, in order.
        layered: The cuts before layers and after the last.
        count: The cut at the head.
        head: How to feed the head there; None if it cannot be fed by itself.
    """

    sources: tuple[str, ...]
    layers: tuple[str, ...]
    layered: tuple[int, ...]
    count: int
    head: HeadFeed | None

    @property
    def cuts(self) -> tuple[int, ...]:
        """In the layers, and at the head."""
        return (*self.layered, *([] if self.head is None else [self.count]))

    def prefix(
        self, model: nn.Module, batch: Mapping[str, Tensor], cuts: Collection[int]
    ) -> dict[int, Tensor]:
        """See `Splitting.prefix`."""
        layers = [model.get_submodule(name) for name in self.layers]
        inside = [cut for cut in cuts if cut in self.layered]
        found = caught(
            lambda: model(**text_inputs(model, batch)),
            entering={cut: layers[cut - 1] for cut in inside if cut <= len(layers)},
            leaving={
                **{cut: layers[-1] for cut in inside if cut > len(layers)},
                **({} if self.head is None else self._at_head(model, self.head, cuts)),
            },
        )
        return {cut: self._features(cut, found[cut], batch) for cut in cuts}

    def _at_head(
        self, model: nn.Module, head: HeadFeed, cuts: Collection[int]
    ) -> dict[int, nn.Module]:
        return {self.count: model.get_submodule(head.source)} if self.count in cuts else {}

    def _features(self, cut: int, seen: Any, batch: Mapping[str, Tensor]) -> Tensor:
        if cut not in self.layered:
            assert self.head is not None  # or there is no such cut
            return self.head.features(seen, batch)
        features: Tensor = seen if isinstance(seen, Tensor) else seen[0]
        return features

    def suffix(
        self, model: nn.Module, features: Tensor, batch: Mapping[str, Tensor], *, cut: int
    ) -> Tensor:
        """See `Splitting.suffix`."""
        if cut in self.layered:
            view = self._from_layer(model, features, cut)
            inputs = {"inputs_embeds": features}
            if "attention_mask" in batch:
                inputs["attention_mask"] = batch["attention_mask"]
            return scores_of(view(**inputs).logits, batch)
        assert self.head is not None  # or there is no such cut
        return scores_of(self.head.logits(model, features), batch)

    def _from_layer(self, model: nn.Module, features: Tensor, cut: int) -> nn.Module:
        """The model with the features in the place of everything before a layer."""
        parts: dict[str, nn.Module] = dict.fromkeys(self.sources, Given(features))
        container = self.layers[0].rpartition(".")[0]
        parts[container] = nn.ModuleList(model.get_submodule(n) for n in self.layers[cut - 1 :])
        return with_parts(model, parts)


def text_splitting(model: nn.Module, groups: LayerGroups) -> Splitting:
    """Where a text model can be cut; costs some passes without values."""
    with modes_kept(model), without_padding_number(model):
        model.train()  # so that every dropout shows
        head = _or_fake(lambda: head_feed(model, groups.head))
        inside = _or_fake(lambda: _between_layers(model, groups))
    if inside is not None:
        return replace(inside, head=head)
    if head is not None:
        return _Encoder((), (), (), groups.count, head)
    return NoSplitting()


def _or_fake(find: Callable[[], T]) -> T | None:
    """What following a pass shows, if need be with fake tensors; None if nothing."""
    try:
        return find()
    except CANNOT_RUN:
        pass
    try:
        with FakeTensorMode():
            return find()
    except CANNOT_RUN:
        return None


def _between_layers(model: nn.Module, groups: LayerGroups) -> _Encoder | None:
    """The cuts in the layers, those alone whose suffix is what the plain pass ends with."""
    config: Any = model.config
    if config.model_type not in _SOURCES or groups.unordered is not None:
        return None
    layers = encoder_layers(model)
    possible = tuple(range(1, min(len(layers) + 2, groups.count)))
    found = _Encoder(_sources(model), layers, possible, groups.count, None)
    tokens = torch.zeros(2, TOKENS, dtype=torch.int64, device="meta")
    _, plain = traced(model, lambda _: model(input_ids=tokens))
    hidden = torch.empty(2, TOKENS, config.hidden_size, device="meta")
    good = [
        cut
        for cut in possible
        if _is_boundary(
            plain.operations,
            _suffix_operations(model, found, hidden, cut),
            groups.frozen_parameters(cut),
        )
    ]
    return replace(found, layered=tuple(good))


def _sources(model: nn.Module) -> tuple[str, ...]:
    """What leads to the first layer, of that which the model has."""
    config: Any = model.config
    names = {name for name, _ in model.named_modules()}
    sources = (f"{encoder_prefix(model)}{name}" for name in _SOURCES[config.model_type])
    return tuple(name for name in sources if name in names)


def _suffix_operations(
    model: nn.Module, found: _Encoder, hidden: Tensor, cut: int
) -> tuple[Operation, ...]:
    """What is done with the features; nothing where the model's code cannot go on from them."""
    try:
        _, trace = traced(model, lambda _: found.suffix(model, hidden, {}, cut=cut))
    except CANNOT_RUN:
        return ()
    return trace.since(hidden)


def _is_boundary(
    plain: Sequence[Operation], suffix: Sequence[Operation], before: Collection[str]
) -> bool:
    """Whether a suffix is how the plain pass ends, and all that it leaves out is frozen."""
    rest, end = plain[: -len(suffix)], plain[-len(suffix) :]
    return bool(suffix) and tuple(end) == tuple(suffix) and parameters_read(rest) <= {*before}
