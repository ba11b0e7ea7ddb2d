"""Sharing units out to parts so that every part sees every stratum in the asked proportion."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from runner.data.example import Part
from runner.data.units import Unit

Shares = Mapping[Part, float]
_FILL_ORDER = (Part.TRAIN, Part.VALIDATION, Part.TEST)  # who gets a stratum's first examples


def allocate(units: Sequence[Unit], shares: Shares) -> dict[Part, list[Unit]]:
    """Every unit in one part.

    Units of several examples go first, the largest before the smaller, each where it brings
    the counts by stratum closest to their targets; single examples then fill what is left. A
    stratum of two has one in train and one in validation; one of one is in train. No class is
    outside train alone.

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
        for stratum, count in unit.counts.items():
            missing[stratum][part] -= count
    _repair(result, parts)
    return result


def _targets(
    units: Sequence[Unit], shares: Shares, parts: Sequence[Part]
) -> dict[int, dict[Part, int]]:
    """How many examples of each stratum each part should get."""
    totals: dict[int, int] = defaultdict(int)
    for unit in units:
        for stratum, count in unit.counts.items():
            totals[stratum] += count
    return {stratum: shared_out(total, shares, parts) for stratum, total in totals.items()}


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
            count * (count - 2 * missing[stratum][part]) for stratum, count in unit.counts.items()
        )

    if unit.is_single:
        stratum = next(iter(unit.counts))
        return max(parts, key=lambda part: missing[stratum][part])
    return min(parts, key=change)


def _repair(result: dict[Part, list[Unit]], parts: Sequence[Part]) -> None:
    """Large units can leave train without a class, or a part empty: move what it takes."""
    train = parts[0]
    present = {index for unit in result[train] for index in unit.needed}
    for other in parts[1:]:
        for unit in list(result[other]):
            if not present.issuperset(unit.needed):
                present.update(unit.needed)
                result[other].remove(unit)
                result[train].append(unit)
    for other in parts[1:]:
        if not result[other]:
            _lend(result, train, other)


def _lend(result: dict[Part, list[Unit]], train: Part, empty: Part) -> None:
    """Move the smallest unit that train can spare without losing a class."""
    having: dict[int, int] = defaultdict(int)
    for unit in result[train]:
        for index in unit.needed:
            having[index] += 1
    spare = [unit for unit in result[train] if all(having[index] > 1 for index in unit.needed)]
    if spare:
        smallest = min(spare, key=lambda unit: (len(unit.positions), unit.rank))
        result[train].remove(smallest)
        result[empty].append(smallest)
