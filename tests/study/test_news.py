"""What people hear of a search as a whole: each thing once."""

import time

from runner.study import Silent
from runner.study.news import TROUBLE_AFTER_S, News
from runner.tracking import Trouble


class Hearing(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def noted(self, text: str) -> None:
        self.heard.append(text)


def test_tell_says_once_why_a_search_stops() -> None:
    listener = Hearing()
    news = News(listener, lambda: None)
    news.tell("")
    assert listener.heard == []
    for _ in range(3):
        news.tell("interrupted by Ctrl-C")
    assert listener.heard == [
        "stopping: interrupted by Ctrl-C; what runs saves its state and leaves (Ctrl-C again ends "
        "at once)"
    ]


def test_tell_says_when_mlflow_has_long_been_away_and_when_it_is_back() -> None:
    listener, trouble = Hearing(), list[Trouble]()
    news = News(listener, lambda: trouble[0] if trouble else None)
    trouble.append(Trouble("connection refused", time.monotonic()))
    news.tell("")
    assert listener.heard == []
    trouble[0] = Trouble("connection refused", time.monotonic() - TROUBLE_AFTER_S - 1)
    for _ in range(3):
        news.tell("")
    trouble.clear()
    news.tell("")
    assert listener.heard == [
        "MLflow takes nothing just now: connection refused; training goes on, and what waits is "
        "delivered later",
        "MLflow answers again",
    ]
