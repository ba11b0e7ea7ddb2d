"""The layer groups of a text model: embeddings, each encoder layer, what follows them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from runner.experiment import first_line
from runner.models.dry_run import CANNOT_RUN, evaluating, stand_ins
from runner.models.groups import LayerGroups, module_groups
from runner.models.order import NoLayerOrder
from runner.models.text.head import encoder_of, text_head_parameters

# A text this long fits every model; blocks of tokens (Longformer, BigBird) pad it themselves.
_TOKENS = 8


def text_layer_groups(model: nn.Module) -> LayerGroups:
    """The layer groups of a text model; on the meta device too, in milliseconds.

    What the encoder reads before its first layer is the first group, each layer is one, and what
    it reads after the last layer (a pooler, a last norm) is one more. Layers that share their
    weights are one group. An encoder whose layers cannot be told apart gets one group, all but
    the head, with the reason in `unordered`.
    """
    head = text_head_parameters(model)
    try:
        names = _ordered(model, head)
        reason = None
    except NoLayerOrder as err:
        own = (name for name, _ in model.named_parameters())
        names, reason = (tuple(name for name in own if name not in head),), str(err)
    return LayerGroups(names, head, module_groups(model, names, head), reason)


def encoder_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the encoder's layers, in order from the input.

    Raises:
        NoLayerOrder: If there is not exactly one list of them.
    """
    lists = [
        (name, module)
        for name, module in encoder_of(model).named_modules(prefix=str(model.base_model_prefix))
        if isinstance(module, nn.ModuleList) and any(True for _ in module.parameters())
    ]
    outer = [each for each in lists if not any(_is_inside(each[0], name) for name, _ in lists)]
    config: Any = model.config
    if len(outer) > 1:
        depth = getattr(config, "num_hidden_layers", None)
        outer = [(name, layers) for name, layers in outer if len(layers) == depth]
    if len(outer) != 1:
        found = ", ".join(name for name, _ in lists) or "none"
        raise NoLayerOrder(f"it has not one list of layers but {len(outer)} (lists: {found})")
    name, layers = outer[0]
    return tuple(f"{name}.{number}" for number in range(len(layers)))


def _is_inside(name: str, outer: str) -> bool:
    return name.startswith(f"{outer}.")


def _ordered(model: nn.Module, head: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    layers = encoder_layers(model)
    finished = _finished_when_read(model, layers)
    groups: dict[int, list[str]] = defaultdict(list)
    for name, _ in model.named_parameters():
        if name in head:
            continue
        own = next((n for n, layer in enumerate(layers, 1) if _is_inside(name, layer)), None)
        read = finished.get(name, len(layers))
        after = len(layers) + 1 if read == len(layers) else read
        groups[own if own is not None else after].append(name)
    return tuple(tuple(groups[number]) for number in sorted(groups))


@dataclass
class _Progress:
    """Where a forward pass is.

    Attributes:
        current: Number of the running layer, counted from 1; None between layers.
        finished: Largest number of a layer that has ended.
    """

    current: int | None = None
    finished: int = 0


@dataclass
class _Reading:
    """Which parameters were read, and how many layers had ended at the first time."""

    progress: _Progress
    owner: Mapping[int, tuple[str, int | None]]
    first: dict[str, int] = field(default_factory=dict)

    def read(self, tensor: Tensor) -> None:
        """Note that an operation reads a tensor."""
        if id(tensor) not in self.owner:
            return
        name, layer = self.owner[id(tensor)]
        if layer is not None and layer != self.progress.current:
            where = "outside its layers" if self.progress.current is None else "in another layer"
            raise NoLayerOrder(f"{name} of layer {layer} is read {where}")
        self.first.setdefault(name, self.progress.finished)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of a forward pass."""

    def __init__(self, reading: _Reading) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reading = reading

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self._reading.read(leaf)
        return func(*args, **(kwargs or {}))


def _finished_when_read(model: nn.Module, layers: Sequence[str]) -> dict[str, int]:
    """How many layers had ended when each of the encoder's parameters was first read.

    Raises:
        NoLayerOrder: If the layers do not run one after another, or share parameters.
    """
    readings: list[_Reading] = []

    @contextmanager
    def watch(tensors: Mapping[str, Tensor]) -> Iterator[None]:
        reading = _Reading(_Progress(), _owners(model, layers, tensors))
        readings.append(reading)
        with _followed(model, layers, reading.progress), _Watch(reading):
            yield

    try:
        run_without_values(model, watch)
    except CANNOT_RUN as err:
        raise NoLayerOrder(f"its forward pass cannot be followed: {first_line(err)}") from err
    return readings[-1].first


def _owners(
    model: nn.Module, layers: Sequence[str], tensors: Mapping[str, Tensor]
) -> dict[int, tuple[str, int | None]]:
    """Name and layer of each parameter, by the id of its stand-in."""
    found: dict[int, tuple[str, int | None]] = {}
    for name, _ in model.named_parameters():
        layer = next((n for n, each in enumerate(layers, 1) if _is_inside(name, each)), None)
        found[id(tensors[name])] = name, layer
    return found


@contextmanager
def _followed(model: nn.Module, layers: Sequence[str], progress: _Progress) -> Iterator[None]:
    def enter(number: int) -> None:
        if number < progress.finished:
            raise NoLayerOrder(f"layer {number} runs after layer {progress.finished}")
        progress.current = number

    def leave(number: int) -> None:
        progress.current, progress.finished = None, number

    hooks = []
    for number, name in enumerate(layers, 1):
        layer = model.get_submodule(name)
        hooks.append(layer.register_forward_pre_hook(lambda *_, n=number: enter(n)))
        hooks.append(layer.register_forward_hook(lambda *_, n=number: leave(n)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def run_without_values(
    model: nn.Module,
    watch: Callable[[Mapping[str, Tensor]], AbstractContextManager[None]],
) -> None:
    """One forward pass of a text model in evaluation mode on stand-ins for all its tensors.

    Args:
        model: On any device; its tensors are not touched.
        watch: Gets the stand-ins by name; what it gives is entered around the pass. A pass that
            looks at values on its way is begun again with fake tensors, which transformers
            spares such looks; they are slower.
    """
    try:
        _run(model, watch)
    except CANNOT_RUN:
        with FakeTensorMode():
            _run(model, watch)


def _run(
    model: nn.Module, watch: Callable[[Mapping[str, Tensor]], AbstractContextManager[None]]
) -> None:
    tensors = stand_ins(model)
    tokens = torch.zeros(2, _TOKENS, dtype=torch.int64, device="meta")
    with without_padding_number(model), evaluating(model), watch(tensors):
        functional_call(model, tensors, (), {"input_ids": tokens}, tie_weights=False)


@contextmanager
def without_padding_number(model: nn.Module) -> Iterator[None]:
    """Lets a text model run without values: for a while it has no number of the padding token.

    transformers looks for padding in a text that comes without a mask, and needs values to.
    """
    config: Any = model.config
    padding = config.pad_token_id
    # Set past the configuration's own check, which knows models that need the number.
    object.__setattr__(config, "pad_token_id", None)
    try:
        yield
    finally:
        object.__setattr__(config, "pad_token_id", padding)
