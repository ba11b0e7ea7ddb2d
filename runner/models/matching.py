"""Pretrained tensors on a model: by name, else as its family converts them, else by order."""

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from runner.errors import WeightsUnavailable

_log = logging.getLogger(__name__)
# Files older than PyTorch 0.4.1 lack this counter; it only matters where momentum is None.
_COUNTER = "num_batches_tracked"
_NAMES_SHOWN = 4


@dataclass(frozen=True)
class _Fit:
    """How a file's tensors lie on a model's.

    Attributes:
        tensors: What to load, under the model's names.
        missing: Model tensors outside the head that the file lacks.
        unexpected: File tensors the model has no place for.
        reshaped: Model tensors outside the head whose shape differs, with both shapes.
    """

    tensors: dict[str, Tensor]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped)


def load_onto(model: nn.Module, state: Mapping[str, Tensor], *, head: Iterable[str]) -> None:
    """Loads pretrained tensors; a head that is missing or of another class count stays fresh.

    Args:
        model: Changed in place.
        state: The file's tensors.
        head: Names of the classifier's tensors in the model.
    Raises:
        WeightsUnavailable: If anything but the head is missing, left over or of another shape.
    """
    own = dict(model.state_dict())
    heads = set(head)
    by_name = _fit_by_name(own, state, heads)
    fit = by_name
    if not fit.is_complete:
        fit = _fit_converted(model, own, state, heads) or _fit_by_order(own, state, heads) or fit
    if not fit.is_complete:
        raise WeightsUnavailable(f"the weights do not fit {_title(model)}: {_difference(by_name)}")
    model.load_state_dict(fit.tensors, strict=False)
    fresh = sorted(heads - fit.tensors.keys())
    if fresh:
        _log.info("head of %s starts fresh: %s", _title(model), ", ".join(fresh))


def _fit_by_name(own: Mapping[str, Tensor], state: Mapping[str, Tensor], head: set[str]) -> _Fit:
    missing = [
        key for key in own if key not in state and key not in head and not key.endswith(_COUNTER)
    ]
    reshaped = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and key not in head and state[key].shape != own[key].shape
    ]
    tensors = {
        key: state[key] for key in own if key in state and state[key].shape == own[key].shape
    }
    unexpected = [key for key in state if key not in own]
    return _Fit(tensors, tuple(missing), tuple(unexpected), tuple(reshaped))


def _fit_converted(
    model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor], head: set[str]
) -> _Fit | None:
    """The fit after the model family's own conversion: older names, another image size."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        converted = convert(dict(state), model)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError):
        return None  # the file is of another family; the plain difference says it best
    fit = _fit_by_name(own, converted, head)
    if not fit.is_complete:
        return None
    _log.info("weights converted to %s by timm's own conversion", _title(model))
    return fit


def _fit_by_order(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], head: set[str]
) -> _Fit | None:
    """The fit of tensors one by one in their order, if every shape outside the head agrees."""
    wanted = [key for key in own if not key.endswith(_COUNTER)]
    given = [key for key in state if not key.endswith(_COUNTER)]
    if len(given) == len(wanted) - len(head):
        wanted = [key for key in wanted if key not in head]
    if len(given) != len(wanted):
        return None
    pairs = list(zip(wanted, given, strict=True))
    if any(own[key].shape != state[name].shape for key, name in pairs if key not in head):
        return None
    if any(own[key].shape[1:] != state[name].shape[1:] for key, name in pairs if key in head):
        return None
    _log.warning(
        "weights matched by order: names differ, all %d shapes agree (%s -> %s ... %s -> %s)",
        len(pairs),
        *(pairs[0][1], pairs[0][0], pairs[-1][1], pairs[-1][0]),
    )
    same = [(key, name) for key, name in pairs if own[key].shape == state[name].shape]
    return _Fit({key: state[name] for key, name in same})


def _difference(fit: _Fit) -> str:
    parts = (
        counted("missing", fit.missing),
        counted("unexpected", fit.unexpected),
        counted("of another shape", fit.reshaped),
    )
    return "; ".join(part for part in parts if part)


def counted(what: str, names: tuple[str, ...]) -> str:
    """How many there are of something and the first of their names; "" for none."""
    if not names:
        return ""
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = f", ... {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {what} ({shown}{more})"


def _title(model: nn.Module) -> str:
    config = getattr(model, "pretrained_cfg", {})
    return str(config.get("architecture", type(model).__name__))
