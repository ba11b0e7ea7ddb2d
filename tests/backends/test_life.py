"""What counts as a sign of life of a worker."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runner.backends.life import Heart, Silence, Vitals
from runner.heartbeat import pulse

# Other tests have left threads in this process that look at clocks.
BESIDE = 0.2


def moved(vitals: Vitals, *, is_computing_life: bool = True) -> bool:
    return vitals.have_moved(is_computing_life=is_computing_life)


def compute(seconds: float) -> None:
    """In a thread: that of the one who looks does not count."""

    def work() -> None:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_beat_is_a_sign_of_life_once() -> None:
    vitals = Vitals()
    assert not moved(vitals, is_computing_life=False)
    pulse.beat()
    assert moved(vitals, is_computing_life=False)
    assert not moved(vitals, is_computing_life=False)


def test_beat_of_one_who_only_watches_is_none() -> None:
    vitals = Vitals()
    with pulse.unnoticed():
        pulse.beat()
    assert not moved(vitals, is_computing_life=False)


def test_computing_counts_where_it_is_to_and_waiting_does_not() -> None:
    vitals = Vitals(idle_share=BESIDE)
    moved(vitals)  # nothing to compare with yet
    compute(0.3)
    assert not moved(vitals, is_computing_life=False)
    assert moved(vitals)
    time.sleep(0.5)
    assert not moved(vitals)


def test_work_counts_after_a_long_pause() -> None:
    """What is stopped for an hour cannot have worked in it. Fails where all of it is counted."""
    vitals = Vitals(idle_share=0.02)
    moved(vitals)
    vitals._watch._looked_s -= 3600.0
    compute(0.4)
    assert moved(vitals)


def test_looking_is_no_work() -> None:
    """Fails where the looking thread's own time is not left out."""
    vitals = Vitals(idle_share=BESIDE)
    moved(vitals)
    until = time.thread_time() + 0.3
    while time.thread_time() < until:
        pass
    assert not moved(vitals)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody counts what is written")
def test_writing_counts_where_work_does(tmp_path: Path) -> None:
    """A download takes hardly any processor time."""
    vitals = Vitals(idle_share=9.0)
    moved(vitals)
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(2_000_000))
    assert moved(vitals)
    assert not moved(vitals)


def test_what_a_started_process_computes_counts() -> None:
    vitals = Vitals(idle_share=BESIDE)
    code = "import time\nwhile time.process_time() < 20: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        moved(vitals)
        time.sleep(0.7)
        assert moved(vitals)
        process.kill()


def test_heart_beats_at_work_alone() -> None:
    said = threading.Event()
    heart = Heart(said.set, Silence(0.2))
    heart.start()
    compute(0.2)
    assert not said.is_set()
    with heart.at_work(is_trial=True):
        until = time.monotonic() + 10
        while not said.is_set() and time.monotonic() < until:
            compute(0.05)
    assert said.is_set()


def test_silence_is_looked_at_often_enough_and_seldom() -> None:
    assert Silence(1.0).beat_every_s == 0.25
    assert Silence(1800.0).beat_every_s == 5.0
    assert Silence(1.0).of_a_start_s == 120.0
    assert Silence(1800.0).of_a_start_s == 1800.0
