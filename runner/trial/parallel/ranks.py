"""The processes that train a trial together, as one of them sees them: its share, their sums."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from runner.errors import TrialFailed, TrialLost
from runner.experiment import first_line

# Tensors travel in pieces of about this size: few messages, and little memory beside the model.
BUCKET_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Ranks:
    """One of some processes that train a trial, each on a device of its own.

    Attributes:
        rank: Which this is, counted from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """Positions of this rank's examples in a batch of `count`; the first ranks have more.

        Rank 0 always has one; where there are fewer examples than ranks, the last have none.
        """
        least, more = divmod(count, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def largest_share(self, count: int) -> int:
        """Most examples of a batch of `count` that any rank has."""
        return -(-count // self.size)

    @property
    def stream(self) -> tuple[int | str, ...]:
        """What sets this rank's random numbers apart; rank 0 has those of a trial by itself."""
        return ("rank", self.rank) if self.rank > 0 else ()

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Put in place of each tensor its sum over all ranks; every rank gets the same bits.

        Raises:
            TrialLost: If another rank has gone.
        """
        if self.size > 1:
            _move(tensors, dist.all_reduce)

    def sum(self, tensor: Tensor) -> Tensor:
        """A tensor's sum over all ranks; see `add`."""
        if self.size == 1:
            return tensor
        summed = tensor.clone()
        self.add([summed])
        return summed

    def begin_alike(self, model: nn.Module) -> None:
        """Give every rank the weights and statistics of rank 0."""
        if self.size > 1:
            _move(list(model.state_dict().values()), _from_first)


@dataclass
class GradientSum:
    """Adds up the gradients of all ranks.

    What has no gradient on one device has none here either, so that the optimiser lets it be.
    """

    ranks: Ranks
    _trained: list[nn.Parameter] = field(default_factory=list, init=False)
    _used: list[nn.Parameter] = field(default_factory=list, init=False)

    def add(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
        """Put in place of each gradient, and of the loss, the sum over all ranks.

        Raises:
            TrialFailed: If the model uses a parameter that it did not use in its first step.
            TrialLost: If another rank has gone.
        """
        if self.ranks.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if [*map(id, trained)] != [*map(id, self._trained)]:
            self._used, self._trained = self._used_by_any(trained), trained
        known = set(map(id, self._used))
        if any(each.grad is not None and id(each) not in known for each in trained):
            raise TrialFailed("on several devices a model must use the same weights in every step")
        for parameter in self._used:
            # A rank without an example adds nothing.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [each.grad for each in self._used if each.grad is not None]
        self.ranks.add([*gradients, loss])

    def _used_by_any(self, trained: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        has_gradient = torch.tensor(
            [float(parameter.grad is not None) for parameter in trained],
            device=trained[0].device,
        )
        self.ranks.add([has_gradient])
        counts = has_gradient.tolist()
        return [each for each, count in zip(trained, counts, strict=True) if count > 0]


def _move(tensors: Sequence[Tensor], exchange: Callable[[Tensor], object]) -> None:
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
        try:
            exchange(flat)
        except RuntimeError as error:
            said = first_line(error)
            raise TrialLost(f"the devices of the trial have lost touch ({said})") from error
        parts = torch.split(flat, [tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.detach().copy_(part.view(tensor.shape))


def _from_first(tensor: Tensor) -> None:
    dist.broadcast(tensor, 0)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one type each, in an order that is the same on every rank."""
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor)
    for alike in by_type.values():
        bucket: list[Tensor] = []
        nbytes = 0
        for tensor in alike:
            bucket.append(tensor)
            nbytes += tensor.nbytes
            if nbytes >= BUCKET_BYTES:
                yield bucket
                bucket, nbytes = [], 0
        if bucket:
            yield bucket
