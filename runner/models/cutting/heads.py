"""The one cut that most models have: before their classifier."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from runner.models.cutting.catching import caught
from runner.models.cutting.splitting import PIXELS, Splitting
from runner.models.cutting.trace import (
    Trace,
    count_random,
    modes_kept,
    parameters_read,
    traced,
)
from runner.models.freezing import keep_frozen_in_eval
from runner.models.groups import LayerGroups


@dataclass(frozen=True)
class _HeadOnly:
    """The cut before a timm model's classifier.

    Attributes:
        count: The cut.
        classifier: Name of the classifier.
        dropout: Name of the module before it that leaves features out at random; "" for a function
            that the model calls by itself, None for neither.
        is_flattened: Whether what the classifier gives is flattened to [B, C].
    """

    count: int
    classifier: str
    dropout: str | None
    is_flattened: bool

    @property
    def cuts(self) -> tuple[int, ...]:
        """The head alone."""
        return (self.count,)

    def prefix(
        self, model: nn.Module, batch: Mapping[str, Tensor], cuts: Collection[int]
    ) -> dict[int, Tensor]:
        """See `Splitting.prefix`."""
        classifier = model.get_submodule(self.classifier)
        # In evaluation mode the dropout before it passes everything on.
        return caught(lambda: model(batch[PIXELS]), entering=dict.fromkeys(cuts, classifier))

    def suffix(
        self, model: nn.Module, features: Tensor, batch: Mapping[str, Tensor], *, cut: int
    ) -> Tensor:
        """See `Splitting.suffix`."""
        x = features
        if self.dropout == "":
            x = functional.dropout(x, _rate(model), training=model.training)
        elif self.dropout is not None:
            x = model.get_submodule(self.dropout)(x)
        scores: Tensor = model.get_submodule(self.classifier)(x)
        return scores.flatten(1) if self.is_flattened else scores


def before_classifier(model: nn.Module, groups: LayerGroups, image: Tensor) -> Splitting | None:
    """The cut before a timm model's classifier, if that can be fed by itself.

    Args:
        model: On any device; it is followed without values.
        groups: Of this model.
        image: What it takes, shape [B, 3, S, S], on the meta device.
    Returns:
        None where the classifier is more than one module, or more than it acts on the features or
        draws random numbers.
    """
    classifier: Any = model.get_classifier()  # type: ignore[operator]
    name = next((name for name, each in model.named_modules() if each is classifier), "")
    if not name or isinstance(classifier, nn.Identity):
        return None
    with modes_kept(model):
        model.train()
        keep_frozen_in_eval(model, groups, depth=groups.count)
        seen, plain = traced(model, lambda _: _followed(model, classifier, image))
        if len(seen.given) != 1:
            return None
        for dropout in dict.fromkeys((seen.dropout, "" if _rate(model) > 0 else None, None)):
            found = _HeadOnly(groups.count, name, dropout, seen.is_flattened)
            if _is_tail(model, found, seen, plain, groups):
                return found
    return None


@dataclass(frozen=True)
class _Seen:
    """What a forward pass shows of the classifier.

    Attributes:
        given: What it was called with, each time.
        dropout: Name of a dropout module that gave just that, if one did.
        is_flattened: Whether the model's result is what it gave, made flat.
        result: The model's.
    """

    given: list[Tensor]
    dropout: str | None
    is_flattened: bool
    result: Tensor


def _followed(model: nn.Module, classifier: nn.Module, image: Tensor) -> _Seen:
    given: list[Tensor] = []
    gave: list[Tensor] = []
    dropped: list[tuple[str, Tensor]] = []
    names = {each: name for name, each in model.named_modules() if isinstance(each, _DropoutNd)}
    hooks = [
        each.register_forward_hook(lambda each, _, x: dropped.append((names[each], x)))
        for each in names
    ]
    hooks.append(classifier.register_forward_pre_hook(lambda _, args: given.append(args[0])))
    hooks.append(classifier.register_forward_hook(lambda *called: gave.append(called[-1])))
    try:
        result: Tensor = model(image)
    finally:
        for hook in hooks:
            hook.remove()
    dropout = next((name for name, x in reversed(dropped) if given and x is given[-1]), None)
    is_flattened = bool(gave) and result is not gave[-1] and result.ndim == 2 < gave[-1].ndim
    return _Seen(given, dropout, is_flattened, result)


def _is_tail(
    model: nn.Module, found: _HeadOnly, seen: _Seen, plain: Trace, groups: LayerGroups
) -> bool:
    """Whether the suffix does what the plain pass ends with, and draws all its random numbers."""
    features = torch.empty_like(seen.given[0])
    result, own = traced(model, lambda _: found.suffix(model, features, {}, cut=found.count))
    rest, end = plain.operations[: -len(own.operations)], plain.operations[-len(own.operations) :]
    return (
        end == own.operations
        and count_random(rest) == 0
        and not parameters_read(rest) & set(groups.head)
        and parameters_read(end) <= set(groups.head)
        and result.shape == seen.result.shape
    )


def _rate(model: nn.Module) -> float:
    """The dropout before the classifier that a timm model was built with."""
    rate = cast(Any, model).drop_rate if hasattr(model, "drop_rate") else 0.0
    return float(rate)
