"""What an experiment names and another machine has not: fetched whole, once, as it is."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from runner.backends.ray import freight
from runner.backends.ray.freight import Item, Warehouse, items_of, named, places_here
from runner.errors import DataError, RunnerError
from runner.heartbeat import pulse
from runner.trial import Facts, Files, Finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small files, one that is empty, one of several pieces, one that can be run, a hidden one."""
    root = tmp_path / "driver" / "cats"
    (root / "a" / "b").mkdir(parents=True)
    for number in range(30):
        (root / "a" / f"{number}.txt").write_text(str(number))
    (root / "a" / "b" / "empty").touch()
    (root / "a" / "b" / "large").write_bytes(os.urandom(2500))
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / ".hidden").write_text("x")
    return root


class TwoMachines:
    """The driver's, and another that has its files, if any, at another path."""

    def __init__(self, tmp_path: Path, *needs: Files, there: Path | None = None) -> None:
        driver = items_of(needs)
        self.there = there or tmp_path / "nowhere" / "cats"
        self.items = tuple(self._elsewhere(item) for item in driver)
        self.log = tmp_path / "sent.txt"
        self.warehouse = Warehouse(driver, self.log)
        self.cache = tmp_path / "cache"

    def _elsewhere(self, item: Item) -> Item:
        return replace(item, files=replace(item.files, path=str(self.there)))

    def place(self) -> Path | None:
        """Where the other machine finds it; None: where the experiment says."""
        places = places_here(self.items, self.warehouse, self.cache)
        return Path(places[str(self.there)]) if places else None

    @property
    def sent(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_folder_that_is_not_there_comes_whole_in_few_pieces_and_once(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(freight, "PIECE_BYTES", 1000)
    machines = TwoMachines(tmp_path, Files("data.path", str(folder)))

    before = pulse.beats
    place = machines.place()

    assert pulse.beats - before >= 3  # else one that waits for them would count as hung
    assert place is not None
    assert place.name == "cats"
    known = contents(folder)
    del known[".hidden"]
    assert contents(place) == known
    assert os.access(place / "run.sh", os.X_OK)
    assert not os.access(place / "a" / "1.txt", os.X_OK)
    assert len(list(machines.warehouse.pieces(0, "m"))) == 3
    assert machines.place() == place
    assert machines.sent == 2  # one by the line above


def test_folder_with_the_same_content_is_used_where_it_is(folder, tmp_path):
    there = tmp_path / "mounted" / "cats"
    there.parent.mkdir()
    folder.rename(there)
    folder.symlink_to(there)
    machines = TwoMachines(tmp_path, Files("data.path", str(folder)), there=there)
    assert machines.place() is None

    # Copied before, and so with other times.
    for path in there.rglob("*"):
        os.utime(path, (1e9, 1e9))
    assert machines.place() is None
    assert machines.sent == 0


def test_folder_with_other_content_of_equal_size_is_not_used(folder, tmp_path):
    machines = TwoMachines(
        tmp_path, Files("data.path", str(folder)), there=tmp_path / "c" / "cats"
    )
    machines.there.mkdir(parents=True)
    for name, content in contents(folder).items():
        path = machines.there / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert machines.place() is None

    (machines.there / "a" / "7.txt").write_text("8")
    place = machines.place()
    assert place is not None
    assert (place / "a" / "7.txt").read_text() == "7"


def test_folder_with_a_file_more_is_not_used(folder, tmp_path):
    machines = TwoMachines(
        tmp_path, Files("data.path", str(folder)), there=tmp_path / "c" / "cats"
    )
    machines.there.parent.mkdir()
    machines.there.mkdir()
    for name, content in {**contents(folder), "a/more.txt": b""}.items():
        path = machines.there / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    assert machines.place() is not None


def test_file_keeps_its_name_and_a_folder_the_files_that_are_named(folder, tmp_path):
    weights = folder / "a" / "b" / "large"
    machines = TwoMachines(tmp_path, Files("model.weights", str(weights)))
    place = machines.place()
    assert place is not None
    assert place.is_file()
    assert place.read_bytes() == weights.read_bytes()

    names = ("a/3.txt", ".hidden", "not/there")
    machines = TwoMachines(tmp_path, Files("data.root", str(folder), names))
    place = machines.place()
    assert place is not None
    assert contents(place) == {"a/3.txt": b"3", ".hidden": b"x"}


def test_what_the_driver_has_not_is_left_to_the_machine(tmp_path):
    assert items_of([Files("data.path", str(tmp_path / "nowhere"))]) == ()


def test_what_changes_while_it_is_sent_is_refused_and_nothing_is_kept(folder, tmp_path):
    machines = TwoMachines(tmp_path, Files("data.path", str(folder)))
    machines.warehouse.content(0)
    (folder / "a" / "7.txt").write_text("8")

    with pytest.raises(DataError, match=r"data.path: .*cats changed while it was sent"):
        machines.place()
    assert [path for path in (machines.cache / "copies").iterdir() if path.is_dir()] == []


def test_what_does_not_fit_is_refused_in_words(folder, tmp_path):
    machines = TwoMachines(tmp_path, Files("data.path", str(folder)))
    machines.items = tuple(replace(item, nbytes=2**60) for item in machines.items)

    with pytest.raises(RunnerError, match=r"data.path: .* takes .* has room for .*RUNNER_HOME"):
        machines.place()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_piece_that_leads_out_of_its_folder_is_refused(name, tmp_path):
    with pytest.raises(DataError, match="leads out of its folder"):
        freight._receive(iter([[(name, 0, b"x", False)]]), tmp_path / "cats")
    assert not list(tmp_path.rglob("out"))


def test_facts_call_things_as_the_experiment_does():
    facts = Facts(
        findings=(Finding("data.path", "/cache/copies/1/cats is odd", "/cache/copies/1/cats"),),
        details={"lines": ["data: /cache/copies/1/cats/a"], "train": 3},
    )

    told = named(facts, {"/data/cats": "/cache/copies/1/cats"})

    assert told.findings == (Finding("data.path", "/data/cats is odd", "/data/cats"),)
    assert told.details == {"lines": ["data: /data/cats/a"], "train": 3}
