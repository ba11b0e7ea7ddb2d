"""Cut a model: where it can be, its features there, and its outputs from them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from runner.models.cutting.images import image_splitting
from runner.models.cutting.splitting import CutShape, NoSplitting, Splitting
from runner.models.dry_run import evaluating
from runner.models.groups import LayerGroups, layer_groups
from runner.models.text.head import is_text_model

_KEPT = 32
# Splittings hold names alone, so models of one structure share them: finding one takes some
# forward passes without values, and every trial has a model of its own.
_of_structure: dict[Hashable, tuple[LayerGroups, Splitting]] = {}
_of_model: WeakKeyDictionary[nn.Module, Splitting] = WeakKeyDictionary()


def cut_points(model: nn.Module, groups: LayerGroups) -> tuple[int, ...]:
    """Freeze depths at which a model can be cut in two, ascending.

    Between layer groups for the common families; `groups.count`, the input of the classifier, for
    most others. Found by following forward passes without values, on any device.

    Args:
        model: Not changed.
        groups: Of this model.
    Returns:
        Each in [1, groups.count]; none for a model that cannot be cut, or has adapters.
    """
    return _splitting_of(model, groups).cuts


def run_prefix(
    model: nn.Module, batch: Mapping[str, Tensor], cuts: Sequence[int]
) -> dict[int, Tensor]:
    """The features at some cuts, from one forward pass in evaluation mode and without gradients.

    Args:
        model: Every module gets its mode back.
        batch: As the model takes it: `pixels` [B, 3, S, S], or the tokens of texts.
        cuts: Some of `cut_points`.
    Returns:
        By cut: what the layers before it give. Of images [B, ...], at the head what the classifier
        gets before any dropout, [B, D] for most models. Of texts [B, L, H]; at the head [B, H] for
        models of whole texts.
    Raises:
        ValueError: If the model has no such cut.
    Shapes: B examples, S pixels, D and H features, L tokens.
    """
    splitting = _splitting_of(model)
    for cut in cuts:
        _require(splitting, cut)
    if not cuts:
        return {}
    with evaluating(model):
        return splitting.prefix(model, batch, sorted({*cuts}))


def run_suffix(
    model: nn.Module, features: Tensor, batch: Mapping[str, Tensor], *, cut: int
) -> Tensor:
    """The model's outputs from the features at a cut; its modules keep the modes they are in.

    In training mode the same random numbers are drawn as in a plain forward pass whose frozen
    layers are in evaluation mode. Of padded texts, what the features hold at padding is of no
    matter.

    Args:
        model: Not changed.
        features: As `run_prefix` gave them.
        batch: Of texts `attention_mask` [B, L], and `word_positions` [B, W] where words are
            tagged; of images nothing.
        cut: One of `cut_points`.
    Returns:
        Shape [B, C], or of words [B, W, C].
    Raises:
        ValueError: If the model has no such cut.
    Shapes: B examples, L tokens, W words, C outputs.
    """
    splitting = _splitting_of(model)
    _require(splitting, cut)
    return splitting.suffix(model, features, batch, cut=cut)


def cut_shapes(
    model: nn.Module, groups: LayerGroups, batch: Mapping[str, Tensor]
) -> dict[int, CutShape]:
    """What the features of one example look like at every cut, found by running one example.

    Args:
        model: Not changed.
        groups: Of this model.
        batch: As for `run_prefix`; only its first example is used. Call it as the features will be
            made: on the same device, under the same autocast.
    """
    one = {name: tensor[:1] for name, tensor in batch.items()}
    found = run_prefix(model, one, cut_points(model, groups))
    is_text = is_text_model(model)
    return {
        cut: CutShape(tuple(x.shape[1:]), x.dtype, is_text and x.ndim > 2)
        for cut, x in found.items()
    }


def _require(splitting: Splitting, cut: int) -> None:
    if cut not in splitting.cuts:
        cuts = ", ".join(str(each) for each in splitting.cuts) or "none"
        raise ValueError(f"cut {cut}: the model has no such cut; those it has: {cuts}")


def _splitting_of(model: nn.Module, groups: LayerGroups | None = None) -> Splitting:
    """Where a model can be cut; found once for all models of its structure."""
    if groups is None and model in _of_model:
        return _of_model[model]
    structure = structure_of(model)
    known = _of_structure.get(structure)
    if known is None or groups not in (None, known[0]):
        asked = groups if groups is not None else layer_groups(model)
        known = asked, _found(model, asked)
        if len(_of_structure) >= _KEPT:
            _of_structure.pop(next(iter(_of_structure)))
        _of_structure[structure] = known
    _of_model[model] = known[1]
    return known[1]


def _found(model: nn.Module, groups: LayerGroups) -> Splitting:
    if groups.fixed:  # what trains then lies inside the layers that are frozen
        return NoSplitting()
    if is_text_model(model):
        from runner.models.cutting.texts import text_splitting

        return text_splitting(model, groups)
    return image_splitting(model, groups)


def structure_of(model: nn.Module) -> Hashable:
    """Everything of a model but its tensors and modes: equal for models that compute alike."""
    config: Any = getattr(model, "config", None)
    settings = repr(config) if is_text_model(model) else ""
    return settings, tuple(
        (name, type(module), _plain_settings(module)) for name, module in model.named_modules()
    )


def _plain_settings(module: nn.Module) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, repr(value))
        for name, value in vars(module).items()
        if isinstance(value, int | float | str | tuple | frozenset | None) and name != "training"
    )
