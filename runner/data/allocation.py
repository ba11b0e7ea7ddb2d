"""Sharing units out to parts so that every part sees every class in the asked proportion."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from runner.data.example import Part
from runner.data.units import Unit

Shares = Mapping[Part, float]
_FILL_ORDER = (Part.TRAIN, Part.VALIDATION, Part.TEST)  # who gets a class's first examples


def allocate(units: Sequence[Unit], shares: Shares) -> dict[Part, list[Unit]]:
    """Every unit in one part.

    Units of several examples go first, the largest before the smaller, each where it brings
    the class counts closest to their targets; single examples then fill what is left. A class
    of two has one in train and one in validation; a class of one is in train.

    Args:
        units: In the order of their rank.
        shares: Fraction by part, together 1; parts with share 0 stay empty.
    """
    parts = [part for part in _FILL_ORDER if shares.get(part, 0) > 0]
    missing = _targets(units, shares, parts)
    result: dict[Part, list[Unit]] = {part: [] for part in parts}
    by_size = sorted(units, key=lambda unit: -len(unit.positions))
    for unit in by_size:
        part = _neediest(unit, missing, parts)
        result[part].append(unit)
        for label, count in unit.counts.items():
            missing[label][part] -= count
    _repair(result, parts)
    return result


def _targets(
    units: Sequence[Unit], shares: Shares, parts: Sequence[Part]
) -> dict[int, dict[Part, int]]:
    """How many examples of each label each part should get."""
    totals: dict[int, int] = defaultdict(int)
    for unit in units:
        for label, count in unit.counts.items():
            totals[label] += count
    return {label: shared_out(total, shares, parts) for label, total in totals.items()}


def shared_out(total: int, shares: Shares, parts: Sequence[Part]) -> dict[Part, int]:
    """A count in whole numbers, by largest remainder; while it lasts, no part gets none."""
    exact = {part: total * shares[part] for part in parts}
    counts = {part: int(exact[part] + 1e-9) for part in parts}
    by_remainder = sorted(parts, key=lambda part: counts[part] - exact[part])
    for part in by_remainder[: total - sum(counts.values())]:
        counts[part] += 1
    for part in parts:
        richest = max(parts, key=lambda other: counts[other])
        if counts[part] == 0 and (counts[richest] > 1 or part is parts[0]):
            counts[part], counts[richest] = 1, counts[richest] - 1
    return counts


def _neediest(
    unit: Unit, missing: Mapping[int, Mapping[Part, int]], parts: Sequence[Part]
) -> Part:
    """The part whose squared distance to its targets falls most; ties go to the first."""

    def change(part: Part) -> int:
        """What taking the unit adds to the squared distance of a part."""
        return sum(
            count * (count - 2 * missing[label][part]) for label, count in unit.counts.items()
        )

    if unit.is_single:
        label = next(iter(unit.counts))
        return max(parts, key=lambda part: missing[label][part])
    return min(parts, key=change)


def _repair(result: dict[Part, list[Unit]], parts: Sequence[Part]) -> None:
    """Large units can leave train without a class, or a part empty: move what it takes."""
    train = parts[0]
    present = {label for unit in result[train] for label in unit.counts}
    for other in parts[1:]:
        for unit in list(result[other]):
            if not present.issuperset(unit.counts):
                present.update(unit.counts)
                result[other].remove(unit)
                result[train].append(unit)
    for other in parts[1:]:
        if not result[other]:
            _lend(result, train, other)


def _lend(result: dict[Part, list[Unit]], train: Part, empty: Part) -> None:
    """Move the smallest unit that train can spare without losing a class."""
    having: dict[int, int] = defaultdict(int)
    for unit in result[train]:
        for label in unit.counts:
            having[label] += 1
    spare = [unit for unit in result[train] if all(having[label] > 1 for label in unit.counts)]
    if spare:
        smallest = min(spare, key=lambda unit: (len(unit.positions), unit.rank))
        result[train].remove(smallest)
        result[empty].append(smallest)
