"""What the driver hands to the writer, and how records are folded into few MLflow calls."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

TAG_STUDY = "runner.study_id"
TAG_KIND = "runner.kind"
TAG_TRIAL = "runner.trial"
TAG_OUTCOME = "runner.outcome"
TAG_PARENT = "mlflow.parentRunId"

RunKey = int | None
"""A trial's number, or None for the study's own (parent) run."""


class RunStatus(StrEnum):
    """How MLflow shows a run."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    KILLED = "KILLED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    name: str
    value: float
    step: int
    timestamp_ms: int


@dataclass(frozen=True)
class Open:
    """Create a trial's run, or set the existing one back to RUNNING; may stand for more records,
    whose tags it has.
    """

    key: int
    name: str
    tags: Mapping[str, str]
    at_ms: int
    records: int = 1

    def absorb(self, other: "Batch") -> "Open":
        """With the tags of a later batch of the same run."""
        tags = {**self.tags, **other.tags}
        return replace(self, tags=tags, records=self.records + other.records)


@dataclass
class Batch:
    """Metrics, parameters and tags of one run; several records become one."""

    key: RunKey
    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    records: int = 1

    def absorb(self, other: "Batch") -> None:
        """Take in a later batch of the same run; its tags win."""
        self.points += other.points
        self.params.update(other.params)
        self.tags.update(other.tags)
        self.records += other.records


@dataclass(frozen=True)
class Texts:
    """Small artifacts: run-relative path -> content."""

    key: RunKey
    texts: Mapping[str, str]


@dataclass(frozen=True)
class FileCopy:
    """One file to be kept under a run-relative path."""

    key: RunKey
    source: Path
    path: str


@dataclass(frozen=True)
class End:
    """Give a run its final status."""

    key: RunKey
    status: RunStatus
    at_ms: int


Record = Open | Batch | Texts | FileCopy | End

_KINDS: dict[str, type[Record]] = {
    kind.__name__: kind for kind in (Open, Batch, Texts, FileCopy, End)
}


def to_bytes(record: Record) -> bytes:
    """A record as JSON."""
    return json.dumps([type(record).__name__, asdict(record)], default=str).encode()


def from_bytes(content: bytes) -> Record:
    """The record that `to_bytes` was given."""
    kind, fields = json.loads(content)
    if kind == Batch.__name__:
        fields["points"] = [Point(**point) for point in fields["points"]]
    elif kind == FileCopy.__name__:
        fields["source"] = Path(fields["source"])
    elif kind == End.__name__:
        fields["status"] = RunStatus(fields["status"])
    return _KINDS[kind](**fields)


def coalesce(records: Iterable[Record]) -> list[Record]:
    """The same records in an order and number that cost few calls.

    Everything of one run keeps its order but for this: its batches between two openings or
    endings become one, which precedes the artifacts among them; tags go with the opening where
    it is among the records, because a run that is created with them costs less.
    """
    folded: list[Record] = []
    batches: dict[RunKey, Batch] = {}
    openings: dict[RunKey, int] = {}
    for record in records:
        if not isinstance(record, Batch):
            if isinstance(record, Open | End):
                batches.pop(record.key, None)
                openings.pop(record.key, None)
            if isinstance(record, Open):
                openings[record.key] = len(folded)
            folded.append(record)
            continue
        if record.tags and (place := openings.get(record.key)) is not None:
            opening = folded[place]
            assert isinstance(opening, Open)
            is_empty = not (record.points or record.params)
            folded[place] = opening.absorb(replace(record, records=int(is_empty)))
            record = replace(record, tags={})
            if is_empty:
                continue
        if record.key in batches:
            batches[record.key].absorb(record)
        else:
            batches[record.key] = Batch(record.key, records=0)
            batches[record.key].absorb(record)
            folded.append(batches[record.key])
    return folded


def record_count(record: Record) -> int:
    """How many of the driver's records one folded record stands for."""
    return record.records if isinstance(record, Batch | Open) else 1
