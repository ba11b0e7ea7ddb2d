"""Folding records into few calls loses nothing and keeps every run's order."""

from hypothesis import given
from hypothesis import strategies as st

from runner.tracking.records import (
    Batch,
    End,
    Open,
    Point,
    Record,
    RunStatus,
    Texts,
    coalesce,
    record_count,
)


def opening(key: int) -> Open:
    return Open(key, name=f"trial {key}", tags={}, at_ms=0)


def metrics(key: int | None, step: int) -> Batch:
    return Batch(key, points=[Point("loss", 0.5, step, 0)])


def test_coalesce_short_trial_becomes_three_calls() -> None:
    records = [
        opening(1),
        Batch(1, params={"learning_rate": "0.1"}),
        metrics(1, 0),
        metrics(1, 1),
        Batch(1, tags={"runner.outcome": "complete"}),
        End(1, RunStatus.FINISHED, 0),
    ]
    first, batch, last = coalesce(records)
    assert isinstance(first, Open)
    assert first.tags == {"runner.outcome": "complete"}
    assert last == records[-1]
    assert isinstance(batch, Batch)
    assert [point.step for point in batch.points] == [0, 1]
    assert batch.params == {"learning_rate": "0.1"}
    assert batch.tags == {}
    assert sum(map(record_count, (first, batch, last))) == len(records)


def test_coalesce_interleaved_trials_one_batch_each() -> None:
    folded = coalesce([metrics(1, 0), metrics(2, 0), metrics(None, 0), metrics(1, 1)])
    assert [record.key for record in folded] == [1, 2, None]


def test_coalesce_leaves_tags_of_a_run_opened_before_with_their_batch() -> None:
    (batch,) = coalesce([metrics(1, 0), Batch(1, tags={"a": "1"}), Batch(1, tags={"a": "2"})])
    assert isinstance(batch, Batch)
    assert batch.tags == {"a": "2"}


def test_coalesce_never_moves_tags_of_one_attempt_to_the_next() -> None:
    records = [
        opening(1),
        Batch(1, tags={"outcome": "lost"}),
        End(1, RunStatus.KILLED, 0),
        opening(1),
        Batch(1, tags={"outcome": "complete"}),
    ]
    folded = coalesce(records)
    assert [record.tags for record in folded if isinstance(record, Open)] == [
        {"outcome": "lost"},
        {"outcome": "complete"},
    ]
    assert sum(map(record_count, folded)) == len(records)


def test_coalesce_never_moves_metrics_across_an_ending() -> None:
    ending = End(1, RunStatus.KILLED, 0)
    folded = coalesce([metrics(1, 0), ending, opening(1), metrics(1, 1)])
    assert [type(record) for record in folded] == [Batch, End, Open, Batch]


def test_coalesce_input_stays_as_it_was() -> None:
    first = metrics(1, 0)
    coalesce([first, metrics(1, 1)])
    assert [point.step for point in first.points] == [0]


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    records: list[Record] = []
    for step, (key, kind) in enumerate(
        draw(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("obte")), max_size=30))
    ):
        match kind:
            case "o":
                records.append(opening(key))
            case "b":
                records.append(metrics(key, step))
            case "t":
                records.append(Texts(key, {"a.txt": str(step)}))
            case _:
                records.append(End(key, RunStatus.FINISHED, step))
    return records


def lifetimes(records: list[Record], key: int) -> list[list[int]]:
    """Steps logged to a run, split where it was opened or ended."""
    pieces: list[list[int]] = [[]]
    for record in records:
        if record.key == key and isinstance(record, Open | End):
            pieces.append([])
        elif record.key == key and isinstance(record, Batch):
            pieces[-1] += [point.step for point in record.points]
    return pieces


@given(histories())
def test_coalesce_any_history_keeps_every_point_in_its_lifetime(records: list[Record]) -> None:
    folded = coalesce(records)
    assert sum(map(record_count, folded)) == len(records)
    for key in range(4):
        assert lifetimes(folded, key) == lifetimes(records, key)
