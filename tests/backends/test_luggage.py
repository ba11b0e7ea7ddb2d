"""Trials' folders on a machine that does not see the study's, through a real Ray."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.backends.ray.depot import Address, Delivery, close_depot, open_depot
from runner.backends.ray.freight import items_of, places_here
from runner.backends.ray.luggage import Luggage, Sending
from runner.heartbeat import pulse
from runner.trial import Attempt, Decision, Ending, Files, Job, Outcome, Report, TrialSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_here")]


class Heard:
    """A channel that keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def report(self, key: Attempt, report: Report) -> Decision:
        self.said.append(report)
        return Decision.CONTINUE

    def decision(self, key: Attempt) -> Decision:
        return Decision.CONTINUE

    def end(self, key: Attempt, ending: Ending) -> None:
        self.said.append(ending)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[Address]:
    root = tmp_path / "trials"
    root.mkdir()
    data = tmp_path / "data"
    data.mkdir()
    for number in range(500):
        (data / str(number)).write_text(str(number))
    opened = open_depot(root, items_of([Files("data.path", str(data))]), log=tmp_path / "sent.txt")
    yield opened
    close_depot(opened)


def packed(address: Address, attempt: int) -> tuple[Luggage, Path]:
    spec = TrialSpec(Attempt(0, attempt), {}, 1, str(Path(address.root) / "0"))
    address.depot.begin.remote({spec.key: spec.folder})
    luggage = Luggage(address, Job((spec,)))
    return luggage, Path(luggage.job.trials[0].folder)


def test_worker_that_was_cut_off_leaves_and_writes_nothing_more(address: Address) -> None:
    report, ending = Report(1, {}, 1), Ending(Outcome.COMPLETE)
    far = Path(address.root) / "0" / "checkpoint"
    old, old_folder = packed(address, 0)
    heard = Heard()
    (old_folder / "checkpoint").write_text("old")
    assert Sending(heard, old).report(Attempt(0, 0), report) is Decision.CONTINUE
    assert far.read_text() == "old"

    new, new_folder = packed(address, 1)
    assert (new_folder / "checkpoint").read_text() == "old"
    (new_folder / "checkpoint").write_text("new")
    Sending(heard, new).report(Attempt(0, 1), report)
    (old_folder / "checkpoint").write_text("late")
    assert Sending(heard, old).report(Attempt(0, 0), report) is Decision.STOP
    Sending(heard, old).end(Attempt(0, 0), ending)

    assert far.read_text() == "new"
    assert heard.said == [report, report, ending]
    old.close()
    new.close()


def test_pieces_of_files_that_travel_are_signs_of_life(address: Address) -> None:
    """Fails where either way does not beat."""
    first, folder = packed(address, 0)
    (folder / "checkpoint").write_text("large")
    before = pulse.beats
    first.send(Attempt(0, 0))
    assert pulse.beats == before + 1
    second, _ = packed(address, 1)
    assert pulse.beats == before + 2
    first.close()
    second.close()


def test_items_come_through_the_depot(address: Address, tmp_path: Path) -> None:
    (item,) = address.items
    there = replace(item, files=replace(item.files, path="/nowhere/data"))

    places = places_here([there], Delivery(address.depot), tmp_path / "cache")

    copy = Path(places["/nowhere/data"])
    assert {path.name: path.read_text() for path in copy.iterdir()} == {
        str(number): str(number) for number in range(500)
    }
    assert len((tmp_path / "sent.txt").read_text().splitlines()) == 1
