"""The training pass of a trial: the model's own, or from some epoch on a compiled one.

What is compiled is the forward pass in training mode, and with it the backward pass, for batches
of one shape; others, and everything that cannot be compiled, are computed plainly.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from runner.experiment import Recipe
from runner.trial.checkpoint import TrainingState
from runner.trial.modality import Batch
from runner.trial.precision import Numerics
from runner.trial.route import Route

logger = logging.getLogger(__name__)

# How much faster a compiled training is: 21 % in float32 and 51 % under autocast, 43 % over all,
# the mean of 163 models on an A100. Source: the announcement of PyTorch 2.0 (2022). We have not
# measured it on a GPU.
_SPEED_UP_FLOAT32, _SPEED_UP_AUTOCAST = 1.21, 1.51
# What it costs: tens of seconds to a minute, where nothing of it is on disk yet. Source:
# documentation of nequip 0.7 ("around a minute"). Not measured by us on a GPU either.
COMPILE_S = 60.0

# Largest distance of compiled outputs, and of the gradient, from the plain ones, as a share of
# their norm. Sums are taken in another order: seen on the CPU in float32 are 3e-6 and 2.6e-3, the
# latter the plain pass's own distance from float64. Rounding to bfloat16 alone is 0.4 %.
_TOLERANCES_FLOAT32, _TOLERANCES_16_BITS = (1e-3, 5e-2), (5e-2, 2e-1)

_DEVICES = ("cpu", "cuda")
_LONGEST_REASON = 200


def obstacle_to_compiling(recipe: Recipe, route: Route, device: torch.device) -> str | None:
    """Why the training pass of a trial is not compiled; None if it may be.

    Args:
        recipe: The trial's. Asked for outright (`compile: on`), everything is tried.
        route: How it computes.
        device: Where.
    """
    if recipe.compile == "off":
        return "train.compile is off"
    if device.type not in _DEVICES:
        return f"{device.type} devices cannot"
    if recipe.compile == "on":
        return None
    if device.type != "cuda":
        return "auto compiles on CUDA devices alone"
    if route.cut is not None:
        return "auto leaves out what follows shared features, which is small"
    if route.train.inputs.lengths is not None:
        return "auto leaves out texts, which have many lengths"
    if recipe.unfreeze_every and recipe.freeze_depth:
        return "auto leaves out layers that thaw, each time compiled again"
    return None


@dataclass
class TrainingPass:
    """A model's outputs for training batches.

    Attributes:
        model: What is trained.
        route: How it computes.
        numerics: In which numbers, and where.
        recipe: The trial's.
        threads: How many may compile side by side.
        obstacle: Why nothing is compiled (any more); None while it may be.
    """

    model: nn.Module
    route: Route
    numerics: Numerics
    recipe: Recipe
    threads: int
    obstacle: str | None = None
    _graph: Callable[[Batch], Tensor] | None = field(default=None, init=False)
    _compile_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.obstacle is None:
            device = self.numerics.device
            self.obstacle = obstacle_to_compiling(self.recipe, self.route, device)

    def __call__(self, batch: Batch) -> Tensor:
        """The outputs, [B, C], or of each word [B, W, C]."""
        if self._graph is None:
            return self.route.forward(self.model, batch)
        # An epoch's last and short batch is computed plainly: compiling it would never pay.
        with torch.compiler.set_stance("eager_on_recompile"):
            return self._graph(batch)

    def discard(self) -> None:
        """Forget the graph: other layers train from now on."""
        self._graph = None

    def begin(self, state: TrainingState, batch: Batch) -> None:
        """Compile for batches like this one, the next of an epoch, if that is due.

        Never raises: what cannot be compiled is computed plainly.

        Args:
            state: Says what was decided; noted there if it fails.
            batch: As it goes through the model.
        """
        is_due = self.recipe.compile == "on" or state.compiled_from is not None
        if self.obstacle is not None or self._graph is not None or not is_due:
            return
        started = time.monotonic()
        try:
            self._graph = self._rehearsed(batch)
        except Exception as error:
            logger.warning("compiling failed; going on without", exc_info=True)
            self.obstacle = f"compiling failed: {_said(error)}"
            if state.compiled_from == state.epoch + 1:
                state.compiled_from = None
            state.plain_because = self.obstacle
        else:
            self._compile_s += time.monotonic() - started
            state.compiled_from = state.compiled_from or state.epoch + 1
            logger.info("compiled in %.1f s", time.monotonic() - started)

    def judge(self, state: TrainingState, *, epoch_s: float, last_epoch: int) -> None:
        """Decide, after the first whole epoch, whether what is left is worth compiling.

        Args:
            state: After that epoch; the decision goes there.
            epoch_s: Seconds that training took in it, validation not counted.
            last_epoch: The epoch after which the trial ends.
        """
        is_decided = state.compiled_from is not None or state.plain_because is not None
        if self.obstacle is not None or self.recipe.compile != "auto" or is_decided:
            return
        left_s = (last_epoch - state.epoch) * epoch_s
        if is_worth_compiling(left_s, self.numerics.dtype):
            state.compiled_from = state.epoch + 1
        else:
            state.plain_because = f"{left_s:.0f} s of training were left, too few to pay for it"

    def note(self, state: TrainingState) -> str:
        """From which epoch on the trial was compiled, or why it was not."""
        because = self.obstacle or state.plain_because or "the trial ended before it was decided"
        if state.compiled_from is None:
            return f"no: {because}"
        since = f"from epoch {state.compiled_from}"
        if self.obstacle is not None:
            return f"{since}, but not to the end: {because}"
        return f"{since}, in {self._compile_s:.0f} s" if self._compile_s else since

    def _rehearsed(self, batch: Batch) -> Callable[[Batch], Tensor]:
        """A graph that has been seen to work.

        Raises:
            Exception: Whatever compiling or running it raises.
        """
        forward, model = self.route.forward, self.model

        def plain(batch: Batch) -> Tensor:
            return forward(model, batch)

        # Nothing of an earlier shape, trial or failure has a say in this one.
        torch.compiler.reset()
        graph = torch.compile(plain, fullgraph=True, dynamic=False, options=self._options())
        expected = self._seen(plain, batch)
        self._mark_lengths(batch)
        is_exact = self.numerics.dtype == torch.float32
        tolerances = _TOLERANCES_FLOAT32 if is_exact else _TOLERANCES_16_BITS
        for what, found, wanted, tolerance in zip(
            ("outputs are", "gradient is"),
            self._seen(graph, batch),
            expected,
            tolerances,
            strict=True,
        ):
            _require_near(found, wanted, tolerance, what=what)
        return graph

    def _seen(self, forward: Callable[[Batch], Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs, and the gradient of their sum, each as one vector, float32."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        with _untouched(self.model, self.numerics.device):
            with self.numerics.autocast():
                outputs = forward(batch)
            found = torch.autograd.grad(outputs.float().sum(), trained, materialize_grads=True)
        gradient = torch.cat([each.float().flatten() for each in found])
        return outputs.detach().float().flatten(), gradient

    def _options(self) -> dict[str, Any]:
        """Random numbers as the plain pass draws them, and kernels not chosen by a stop-watch."""
        return {
            "fallback_random": True,
            "deterministic": True,
            "compile_threads": max(1, self.threads),
        }

    def _mark_lengths(self, batch: Batch) -> None:
        """One graph for texts of all lengths."""
        if self.route.train.inputs.lengths is not None:
            for tensor in batch.values():
                # Tokens [B, L], and what layers make of them [B, L, H].
                if tensor.ndim == 3 or (tensor.ndim == 2 and not tensor.is_floating_point()):
                    torch._dynamo.mark_dynamic(tensor, 1)


def is_worth_compiling(left_s: float, dtype: torch.dtype) -> bool:
    """Whether compiling takes less than it is expected to save.

    Args:
        left_s: Seconds of training that are left, as it is computed now.
        dtype: What it is computed in, under autocast unless float32.
    """
    speed_up = _SPEED_UP_FLOAT32 if dtype == torch.float32 else _SPEED_UP_AUTOCAST
    return left_s * (1 - 1 / speed_up) > COMPILE_S


def compiler_problem(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device on this machine, found by trying; None if it can.

    Takes seconds, the first time on a machine up to twenty.
    """
    if device.type not in _DEVICES:
        return f"does not work on {device.type} devices, only on cpu and cuda"

    def probe(values: Tensor) -> Tensor:
        return torch.nn.functional.gelu(values) * 2

    torch.compiler.reset()
    try:
        values = torch.ones(64, device=device, requires_grad=True)
        torch.autograd.grad(torch.compile(probe, fullgraph=True)(values).sum(), values)
    except Exception as error:
        logger.info("the compiler does not work", exc_info=True)
        needs = "a C++ compiler" if device.type == "cpu" else "Triton and a C compiler"
        return f"does not work here: on {device.type} it needs {needs} ({_said(error)})"
    return None


def _said(error: Exception) -> str:
    """The first line of what an exception says, cut where it is long."""
    first = (str(error) or type(error).__name__).strip().splitlines()[0]
    return first if len(first) <= _LONGEST_REASON else f"{first[:_LONGEST_REASON]}..."


@contextlib.contextmanager
def _untouched(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back at the end what a forward pass in training mode changes."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, values in before:
            buffer.copy_(values)


def _require_near(found: Tensor, expected: Tensor, tolerance: float, *, what: str) -> None:
    """Check what was compiled against what is plain.

    Raises:
        ArithmeticError: If it is further away than rounding explains, or not a number.
    """
    distance, size = float((found - expected).norm()), float(expected.norm())
    if not distance <= tolerance * size:
        raise ArithmeticError(f"its {what} {distance:.3g} away from the plain, norm {size:.3g}")
