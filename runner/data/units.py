"""What a split may not tear apart: examples of one group, and exact duplicates."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runner.data.example import Labelled
from runner.data.strata import class_indices, strata


@dataclass(frozen=True)
class Unit:
    """Examples that stay together.

    Attributes:
        positions: Their positions in the source, in the order of their ids.
        counts: Number of examples by stratum.
        needed: Indices into the classes that occur in them: what must not be outside training
            alone.
        rank: A number that the seed and the ids decide; units are drawn in its order.
    """

    positions: tuple[int, ...]
    counts: dict[int, int]
    needed: frozenset[int]
    rank: str

    @cached_property
    def is_single(self) -> bool:
        """Whether it holds one example."""
        return len(self.positions) == 1


def units_of(source: Labelled, positions: Sequence[int], *, seed: int) -> list[Unit]:
    """The units of these examples, in the order of their rank.

    The order follows from hashes of ids, so it is the same on every machine, for every listing
    order and with every version of every library.
    """
    examples, stratum = source.examples, strata(source)
    together = _Together(len(examples))
    first_of: dict[tuple[str, str], int] = {}
    for position in positions:
        example = examples[position]
        keys = [("digest", example.digest)]
        if example.group is not None:
            keys.append(("group", example.group))
        for key in keys:
            together.join(first_of.setdefault(key, position), position)
    members: dict[int, list[int]] = {}
    for position in positions:
        members.setdefault(together.root(position), []).append(position)
    units = (_unit(source, stratum, group, seed) for group in members.values())
    return sorted(units, key=lambda unit: unit.rank)


def _unit(source: Labelled, stratum: Sequence[int], members: list[int], seed: int) -> Unit:
    examples = source.examples
    ordered = sorted(members, key=lambda position: examples[position].id)
    name = f"{seed}\0{examples[ordered[0]].id}"
    needed = (class_indices(examples[position].label, source.kind) for position in ordered)
    return Unit(
        tuple(ordered),
        dict(Counter(stratum[position] for position in ordered)),
        frozenset[int]().union(*needed),
        hashlib.sha256(name.encode()).hexdigest(),
    )


class _Together:
    """Sets that are merged (union-find with path halving)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, item: int) -> int:
        """The representative of an item's set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        """Merge the sets of two items."""
        self._parent[self.root(other)] = self.root(one)
