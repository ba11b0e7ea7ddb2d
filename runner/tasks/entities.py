"""Entities in tagged sentences: which there are, and how well they are found."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nervaluate.entities import EvaluationResult

# IOB1, IOB2, IOBES and BILOU in one: what a tag begins with says whether its word may begin an
# entity (B, S, U always do), and whether it ends one (E, L, S, U do).
_TAG = re.compile(r"([BIMESLU])-(.+)", re.DOTALL)


@dataclass(frozen=True)
class EntityResult:
    """How well the entities of one type, or of all, are found; fractions.

    Attributes:
        support: Entities there are.
    """

    precision: float
    recall: float
    f1: float
    support: int


def iob2(tags: Iterable[str]) -> Iterator[str]:
    """The same entities as IOB2 tags, whatever scheme the tags are in.

    As the evaluation of CoNLL reads them: I-x begins an entity where none of type x goes on. A
    tag without a prefix is an entity of one word, as `conlleval -r` has it.
    """
    going_on: str | None = None
    for tag in tags:
        if tag == "O":
            going_on = None
            yield tag
            continue
        found = _TAG.fullmatch(tag)
        prefix, kind = found.groups() if found is not None else ("S", tag)
        is_first = prefix in "BSU" or kind != going_on
        yield f"{'B' if is_first else 'I'}-{kind}"
        going_on = None if prefix in "ESLU" else kind


def entity_results(
    true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> tuple[EntityResult | None, dict[str, EntityResult]]:
    """Results over all entities, and over those of each type that occurs or is predicted.

    An entity is found where span and type are exactly right. What is divided by nothing is 0
    (nothing predicted: precision 0), as in CoNLL's evaluation.

    Args:
        true: Tags of each sentence.
        predicted: Likewise, of the same lengths.
    Returns:
        None in place of the first where there is no entity at all, true or predicted.
    Source: SemEval 2013 task 9.1's strict scheme as nervaluate has it, which for tags, where
        entities do not overlap, is that of CoNLL 2003.
    """
    # Its evaluator computes four schemes, of which this is one, in several times the time.
    from nervaluate.entities import EvaluationResult
    from nervaluate.loaders import ListLoader
    from nervaluate.strategies import StrictEvaluation

    loader, strict = ListLoader(), StrictEvaluation()
    found: defaultdict[str, EvaluationResult] = defaultdict(EvaluationResult)
    for there, guessed in zip(
        loader.load([list(iob2(tags)) for tags in true]),
        loader.load([list(iob2(tags)) for tags in predicted]),
        strict=True,
    ):
        for kind in {entity.label for entity in (*there, *guessed)}:
            result, _ = strict.evaluate(
                [entity for entity in there if entity.label == kind],
                [entity for entity in guessed if entity.label == kind],
                [kind],
            )
            _add(result, to=found[kind])
    if not found:
        return None, {}
    overall = EvaluationResult()
    for result in found.values():
        _add(result, to=overall)
    return _result(overall), {kind: _result(found[kind]) for kind in sorted(found)}


def _add(result: "EvaluationResult", *, to: "EvaluationResult") -> None:
    to.correct += result.correct
    to.incorrect += result.incorrect
    to.missed += result.missed
    to.spurious += result.spurious


def _result(counts: "EvaluationResult") -> EntityResult:
    counts.compute_metrics()
    return EntityResult(
        precision=float(counts.precision),
        recall=float(counts.recall),
        f1=float(counts.f1),
        support=counts.possible,
    )
