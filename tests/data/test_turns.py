"""Threads that wait for one another where they take too much."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from runner.data.turns import Turns


def test_no_more_is_taken_than_there_is() -> None:
    turns, taken, most = Turns(10), 0, 0
    lock = threading.Lock()

    def work(amount: int) -> None:
        nonlocal taken, most
        with turns.taken(amount):
            with lock:
                taken += amount
                most = max(most, taken)
            time.sleep(0.005)
            with lock:
                taken -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 9, 3, 4, 2, 10, 5] * 6))
    assert 5 < most <= 10


def test_who_needs_more_than_there_is_works_alone() -> None:
    turns = Turns(10)
    with turns.taken(1000):
        later = threading.Thread(target=lambda: turns.taken(1).__enter__())
        later.start()
        later.join(0.05)
        assert later.is_alive()
    later.join(5)
    assert not later.is_alive()


def test_who_needs_much_is_not_overtaken() -> None:
    turns, order = Turns(10), []
    first = turns.taken(5)
    first.__enter__()

    def work(name: str, amount: int) -> None:
        with turns.taken(amount):
            order.append(name)

    threads = [
        threading.Thread(target=work, args=("large", 10)),
        threading.Thread(target=work, args=("small", 1)),
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    assert order == []
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join(5)
    assert order == ["large", "small"]


def test_an_error_gives_back_what_was_taken() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError), turns.taken(1):
        raise ValueError
    with turns.taken(1):
        pass
