"""Forward passes without values, written down so that two can be compared."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from runner.models.dry_run import stand_ins

T = TypeVar("T")


@dataclass(frozen=True)
class Operation:
    """One operation of a forward pass; two are equal if they would compute the same.

    Attributes:
        name: PyTorch's, with its overload.
        parameters: Names of the model's parameters that it reads.
        numbers: Its arguments that are no tensors.
        shapes: Of its results.
        is_random: Whether it draws random numbers.
    """

    name: str
    parameters: tuple[str, ...]
    numbers: tuple[int | float | str, ...]
    shapes: tuple[tuple[int, ...], ...]
    is_random: bool


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation of a forward pass, in order."""

    def __init__(self, parameters: Mapping[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._reads: list[frozenset[int]] = []
        self._parameters = parameters
        self._alive: list[Any] = []  # an id is only good while its tensor lives

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.namespace == "prim":  # questions about a tensor, not operations on it
            return result
        leaves = tree_leaves((args, kwargs))
        read = [id(leaf) for leaf in leaves if isinstance(leaf, Tensor)]
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.operations.append(
            Operation(
                str(func),
                tuple(self._parameters[each] for each in read if each in self._parameters),
                tuple(leaf for leaf in leaves if isinstance(leaf, int | float | str)),
                tuple(tuple(leaf.shape) for leaf in results),
                torch.Tag.nondeterministic_seeded in func.tags,
            )
        )
        self._reads.append(frozenset(read))
        self._alive.append((leaves, results))
        return result

    def reading(self, tensor: Tensor) -> tuple[Operation, ...]:
        """The operations that read a tensor."""
        return tuple(
            operation
            for operation, reads in zip(self.operations, self._reads, strict=True)
            if id(tensor) in reads
        )

    def since(self, tensor: Tensor) -> tuple[Operation, ...]:
        """The operations from the first that reads a tensor.

        A layer may look at its weights before it looks at what it is given: that belongs to it.
        """
        first = next(
            (place for place, reads in enumerate(self._reads) if id(tensor) in reads),
            len(self._reads),
        )
        while first > 0 and self.operations[first - 1].parameters:
            first -= 1
        return tuple(self.operations[first:])


def parameters_read(operations: Collection[Operation]) -> set[str]:
    """Names of the parameters that any of the operations reads."""
    return {name for operation in operations for name in operation.parameters}


def count_random(operations: Collection[Operation]) -> int:
    """How many of the operations draw random numbers."""
    return sum(operation.is_random for operation in operations)


class _Host(nn.Module):
    """Makes any computation with a model a forward pass, so that functional_call can run it."""

    def __init__(self, model: nn.Module, run: Callable[[Trace], Any], trace: Trace) -> None:
        super().__init__()
        self.model = model
        self._run, self._trace = run, trace

    def forward(self) -> Any:
        return self._run(self._trace)


def traced(model: nn.Module, run: Callable[[Trace], T]) -> tuple[T, Trace]:
    """Runs a computation on stand-ins without values for all of a model's tensors.

    Args:
        model: On any device; its tensors are not touched.
        run: Computes with the model on tensors of the meta device; gets the trace as it grows.
    Returns:
        What it gave, and the operations it took.
    """
    tensors = stand_ins(model)
    trace = Trace({id(tensors[name]): name for name, _ in model.named_parameters()})
    named = {f"model.{name}": tensor for name, tensor in tensors.items()}
    with torch.no_grad(), trace:
        result: T = functional_call(_Host(model, run, trace), named, (), tie_weights=False)
    return result, trace


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Gives every module its own mode back at the end."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, was_training in modes.items():
            module.training = was_training
