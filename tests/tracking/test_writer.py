"""The writer keeps order, is patient, and never loses a record without saying so."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import TrackingUnreachable
from runner.tracking.backlog import IN_MEMORY
from runner.tracking.carrier import NotTaken
from runner.tracking.records import End, Record, RunStatus
from runner.tracking.writer import Writer


def ending(key: int) -> End:
    return End(key, RunStatus.FINISHED, 0)


def writer(deliver: Callable[[Record, bool], None], *, patience_s: float = 5.0) -> Writer:
    return Writer(deliver, shown_uri="http://host", linger_s=0.0, patience_s=patience_s)


def test_writer_many_records_arrive_in_order_on_one_other_thread() -> None:
    arrived: list[int | None] = []
    threads: set[int] = set()

    def deliver(record: Record, _: bool) -> None:
        arrived.append(record.key)
        threads.add(threading.get_ident())

    ours = writer(deliver)
    for key in range(300):
        ours.put(ending(key))
    ours.close()
    assert arrived == list(range(300))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_put_slow_delivery_does_not_wait() -> None:
    """Fails where `put` delivers by itself."""
    ours = writer(lambda *_: time.sleep(0.3))
    started_s = time.monotonic()
    ours.put(ending(1), ending(2))
    assert time.monotonic() - started_s < 0.1
    assert ours.undelivered == 2
    ours.close()
    assert ours.undelivered == 0


def test_writer_passing_trouble_retries_the_same_record_and_says_it_is_a_retry() -> None:
    """Fails where a second try is like the first."""
    attempts: list[tuple[int | None, bool]] = []

    def deliver(record: Record, is_retry: bool) -> None:
        attempts.append((record.key, is_retry))
        if len(attempts) < 3:
            raise NotTaken("no route to http://ann:s3cret@host", is_refusal=False)

    ours = writer(deliver)
    ours.put(ending(1), ending(2))
    while len(attempts) < 2:
        time.sleep(0.01)
    assert ours.trouble is not None
    assert ours.trouble.why == "no route to http://***@host"
    ours.close()
    assert attempts == [(1, False), (1, True), (1, True), (2, False)]
    assert ours.trouble is None


def test_flush_lasting_trouble_raises_with_the_count_and_later_delivers() -> None:
    is_down = threading.Event()
    is_down.set()
    arrived: list[int | None] = []

    def deliver(record: Record, _: bool) -> None:
        if is_down.is_set():
            raise NotTaken("connection refused", is_refusal=False)
        arrived.append(record.key)

    ours = writer(deliver, patience_s=0.3)
    ours.put(ending(1), ending(2), ending(3))
    with pytest.raises(TrackingUnreachable) as caught:
        ours.flush()
    assert str(caught.value) == (
        "MLflow tracking at http://host has not taken 3 record(s): connection refused"
    )
    is_down.clear()
    ours.close()
    assert arrived == [1, 2, 3]


def test_close_lasting_trouble_raises_and_ends_the_thread() -> None:
    def deliver(record: Record, _: bool) -> None:
        raise NotTaken("connection refused", is_refusal=False)

    before = set(threading.enumerate())
    ours = writer(deliver, patience_s=0.2)
    ours.put(ending(1))
    with pytest.raises(TrackingUnreachable, match=r"has not taken 1 record\(s\)"):
        ours.close()
    assert set(threading.enumerate()) <= before


def test_flush_that_waits_says_why_and_for_how_long(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where it waits without a word, which was two minutes of silence at a search's end."""
    monkeypatch.setattr("runner.tracking.writer.TOLD_AFTER_S", 0.2)

    def deliver(record: Record, is_retry: bool) -> None:
        raise NotTaken("connection refused", is_refusal=False)

    ours = writer(deliver, patience_s=1.0)
    ours.put(ending(1))
    with pytest.raises(TrackingUnreachable):
        ours.close()
    assert caplog.messages == [
        "MLflow takes nothing just now: connection refused; it is waited for, up to 1 s"
    ]


def test_flush_refused_record_is_counted_once_and_the_rest_delivered() -> None:
    arrived: list[int | None] = []

    def deliver(record: Record, _: bool) -> None:
        if record.key == 2:
            raise NotTaken("the run is deleted", is_refusal=True)
        arrived.append(record.key)

    ours = writer(deliver)
    ours.put(ending(1), ending(2), ending(3))
    with pytest.raises(TrackingUnreachable) as caught:
        ours.flush()
    assert str(caught.value) == (
        "MLflow tracking at http://host refused 1 record(s); the first: the run is deleted"
    )
    ours.close()
    assert arrived == [1, 3]


def test_writer_error_that_nobody_foresaw_is_trouble_and_does_not_end_the_thread() -> None:
    """Fails where only NotTaken is caught: the thread ends, and `trouble` stays None."""
    is_broken = threading.Event()
    is_broken.set()

    def deliver(record: Record, _: bool) -> None:
        if is_broken.is_set():
            raise OSError("no more processes")

    ours = writer(deliver, patience_s=0.2)
    ours.put(ending(1))
    with pytest.raises(TrackingUnreachable, match=r"1 record\(s\): OSError: no more processes$"):
        ours.flush()
    assert ours.trouble is not None
    is_broken.clear()
    ours.close()
    assert ours.undelivered == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_flush_writer_thread_died_does_not_hang() -> None:
    def deliver(record: Record, _: bool) -> None:
        raise SystemExit

    ours = writer(deliver)
    ours.put(ending(1))
    with pytest.raises(TrackingUnreachable, match="the writer's thread has ended"):
        ours.flush()


def test_flush_within_a_time_gives_up_on_an_mlflow_that_does_not_answer() -> None:
    is_answered = threading.Event()
    ours = writer(lambda *_: is_answered.wait(), patience_s=600.0)
    ours.put(ending(1))
    with pytest.raises(TrackingUnreachable, match=r"1 record\(s\): no answer yet$"):
        ours.flush(within_s=0.3)
    is_answered.set()
    ours.close(within_s=5.0)


def test_flush_within_a_time_goes_on_while_mlflow_takes_something() -> None:
    arrived: list[int | None] = []

    def deliver(record: Record, _: bool) -> None:
        time.sleep(0.1)
        arrived.append(record.key)

    ours = writer(deliver)
    ours.put(*map(ending, range(12)))
    ours.close(within_s=0.5)
    assert arrived == list(range(12))


def test_writer_long_trouble_waits_in_a_file_and_delivers_all_in_order(tmp_path: Path) -> None:
    """Fails where the file is never written."""
    is_down = threading.Event()
    is_down.set()
    arrived: list[int | None] = []

    def deliver(record: Record, _: bool) -> None:
        if is_down.is_set():
            raise NotTaken("connection refused", is_refusal=False)
        arrived.append(record.key)

    ours = Writer(deliver, shown_uri="http://host", spool=tmp_path, linger_s=0.0)
    count = 3 * IN_MEMORY
    for key in range(count):
        ours.put(ending(key))
    assert ours.undelivered == count
    file = ours._backlog._file
    assert file is not None
    assert os.fstat(file.fileno()).st_size > 0
    is_down.clear()
    ours.close()
    assert arrived == list(range(count))
