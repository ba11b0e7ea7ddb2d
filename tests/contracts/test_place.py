"""What every place of studies must do: run over folders, and over a real PostgreSQL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import optuna
import pytest

from runner.errors import NotFound, StudyError, StudyLocked
from runner.experiment import Store
from runner.study import StudyRecord, list_studies, study_for_optuna
from runner.study.control import delete
from runner.study.inbox import Enqueue, StopStudy, StopTrial
from runner.study.place import Place, existing_place, next_place
from runner.study.sampling import Proposal
from runner.study.shelf import shelf_of
from runner.trial import Ending, Outcome
from tests.objectives import ROOT

NAMES = (f"cats-{number}" for number in count())
UNIFORM = optuna.distributions.FloatDistribution(0.0, 1.0)


@pytest.fixture(params=["folder", pytest.param("postgres", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(tmp_path / "mlruns")
    return Store(tmp_path / "mlruns", request.getfixturevalue("postgres").address())


@pytest.fixture
def name() -> str:
    return next(NAMES)


def new_place(store: Store, name: str, *, new: bool = False) -> Place:
    return next_place(shelf_of(store), name, new=new)


def begun(store: Store, name: str, *, new: bool = False) -> Place:
    """A study that has been begun and let go."""
    place = new_place(store, name, new=new)
    with place.lock():
        StudyRecord.open(place, direction="maximize")
    return place


HOLDER = """
import sys, time
from runner.experiment import Store
from runner.study.place import next_place
from runner.study.shelf import shelf_of
with next_place(shelf_of(Store.default()), sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(300)
"""


@contextmanager
def held_by_another_process(store: Store, name: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RUNNER_HOME": str(store.root)}
    if store.storage is not None:
        environment["RUNNER_STORAGE"] = store.storage
    command = [sys.executable, "-c", HOLDER, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_studies_are_numbered_from_one_and_the_newest_goes_on(store: Store, name: str) -> None:
    assert new_place(store, name, new=True).number == 1
    begun(store, name)
    assert new_place(store, name).number == 1
    begun(store, name, new=True)
    assert new_place(store, name).number == 2
    shelf = shelf_of(store)
    assert existing_place(shelf, name).number == 2
    assert existing_place(shelf, f"{name}:1").number == 1
    assert shelf.begun(name) == [(name, 1), (name, 2)]
    assert [s.reference for s in list_studies(store) if s.reference.startswith(f"{name}:")] == [
        f"{name}:1",
        f"{name}:2",
    ]


def test_study_that_is_not_there_is_named_with_where_it_was_looked_for(
    store: Store, name: str
) -> None:
    begun(store, name)
    shelf = shelf_of(store)
    for reference in (f"{name}:2", f"{name}:x", f"{name}-other"):
        with pytest.raises(NotFound) as caught:
            existing_place(shelf, reference)
        assert str(caught.value).startswith(f"no study {reference!r} {shelf.where}; there are ")
        assert f"{name}:1" in str(caught.value)


@pytest.mark.parametrize(
    "reference", ["..", "../../outside", "../outside:1", ".", "a/b", "/x", ""]
)
def test_study_by_what_is_no_name_is_not_there_whatever_lies_there(
    store: Store, name: str, reference: str
) -> None:
    begun(store, name)
    outside = store.root.parent / "outside" / "1"
    for folder in (outside, store.studies / "a" / "b" / "1", store.root / "1"):
        folder.mkdir(parents=True)
        (folder / "journal.log").write_text("{}\n")
    with pytest.raises(NotFound, match="no study"):
        existing_place(shelf_of(store), reference)
    with pytest.raises(NotFound, match="no study"):
        delete(store, reference)
    assert (outside / "journal.log").exists()


@pytest.mark.parametrize("wrong", ["../outside", "..", "a/b", "", "a\nb"])
def test_place_of_what_is_no_name_is_refused(store: Store, wrong: str) -> None:
    with pytest.raises(StudyError, match="is no name of an experiment"):
        shelf_of(store).place(wrong, 1)


class AnyShelf:
    """A shelf that believes every name."""

    where = "there"

    def begun(self, name: str | None = None) -> list[tuple[str, int]]:
        return [(name or "cats", 1)]

    def place(self, name: str, number: int) -> Place:
        raise AssertionError(name)


@pytest.mark.parametrize("reference", ["../x", "../x:1", "a/b:1", "..:1"])
def test_study_by_what_is_no_name_is_not_even_looked_for(reference: str) -> None:
    with pytest.raises(NotFound, match=r"no study .* there are cats:1"):
        existing_place(AnyShelf(), reference)


def test_folder_with_what_is_no_name_is_no_study(tmp_path: Path) -> None:
    shelf = shelf_of(Store(tmp_path))
    for folder in ("studies/a b/1", "studies/.hidden/1", "1", "studies/cats/1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "journal.log").write_text("{}\n")
    assert shelf.begun() == [("cats", 1)]
    assert shelf.begun("..") == []


def test_archived_study_stays_and_the_next_search_begins_a_new_one(
    store: Store, name: str
) -> None:
    place = begun(store, name)
    with place.lock():
        place.archive()
    assert place.standing().is_archived
    assert new_place(store, name).number == 2
    assert existing_place(shelf_of(store), name).standing().is_archived


def test_study_that_was_forgotten_is_not_there_and_leaves_its_number(
    store: Store, name: str
) -> None:
    place = begun(store, name)
    with place.lock():
        place.forget()
    assert shelf_of(store).begun(name) == []
    again = new_place(store, name)
    assert again.number == 1
    with again.lock():
        assert StudyRecord.open(again, direction="maximize").trials() == []


def test_study_held_by_another_process_is_refused_and_free_after_its_kill(
    store: Store, name: str
) -> None:
    """Fails without `flock`. Fails where PostgreSQL's lock is not looked at."""
    place = begun(store, name)
    with held_by_another_process(store, name) as holder:
        assert place.standing().is_locked
        assert not place.standing().is_left_behind
        with pytest.raises(StudyLocked) as caught, new_place(store, name).lock():
            pass
        assert f"is being searched by process {holder.pid} on " in str(caught.value)
        assert f"`python -m runner status {name}`" in str(caught.value)
        assert f"`python -m runner stop {name}`" in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    wait_until_free(place)
    assert place.standing().is_left_behind
    with place.lock():
        assert place.standing().is_locked
    standing = place.standing()
    assert not standing.is_locked
    assert not standing.is_left_behind


def wait_until_free(place: Place) -> None:
    """A server needs a moment to see that a connection has ended."""
    for _ in range(1000):
        if not place.standing().is_locked:
            return
    raise AssertionError("the dead driver's lock is still held")


def test_study_that_ended_with_an_error_is_left_behind(store: Store, name: str) -> None:
    place = begun(store, name)
    with pytest.raises(ZeroDivisionError), place.lock():
        raise ZeroDivisionError
    assert place.standing().is_left_behind


def test_record_is_read_as_it_was_written_also_while_its_driver_writes(
    store: Store, name: str
) -> None:
    place = new_place(store, name)
    with place.lock():
        record = StudyRecord.open(place, direction="maximize")
        record.set_attribute("facts", {"labels": ["Katze", "猫", "\0"]})
        number = record.add(Proposal({"x": 0.25}, {"x": UNIFORM}), origin="sampler", seed=3)
        record.begin(number)
        record.add_rung(number, 1, 0.5)
        record.sync()
        read = StudyRecord.read(existing_place(shelf_of(store), name))
        assert read.trials() == record.trials()
        assert read.trial(0).state == "running"
        record.close(number, Ending(Outcome.COMPLETE, value=0.75, best_step=1))
    read = StudyRecord.read(existing_place(shelf_of(store), name))
    assert read.trials() == record.trials()
    assert dict(read.attributes) == dict(record.attributes)
    assert (read.reference, read.study_id) == (f"{name}:1", record.study_id)


def test_record_is_gone_on_with_by_the_next_driver(store: Store, name: str) -> None:
    place = new_place(store, name)
    with suppress(ZeroDivisionError), place.lock():
        record = StudyRecord.open(place, direction="maximize")
        for seed in range(3):
            record.add(Proposal({}, {}), origin="sampler", seed=seed)
        record.begin(1)
        raise ZeroDivisionError
    place = existing_place(shelf_of(store), name)
    with place.lock():
        again = StudyRecord.reopen(place)
        assert again.settle() == [1]
        assert again.add(Proposal({}, {}), origin="sampler", seed=9) == 3
    states = [trial.state for trial in StudyRecord.read(place).trials()]
    assert states == ["waiting", "waiting (interrupted)", "waiting", "waiting"]


def test_optunas_own_tools_get_the_study(store: Store, name: str, tmp_path: Path) -> None:
    place = new_place(store, name)
    with place.lock():
        record = StudyRecord.open(place, direction="maximize")
        for value in (0.5, 0.75):
            proposal = Proposal({"x": value}, {"x": UNIFORM})
            number = record.add(proposal, origin="sampler", seed=0)
            record.begin(number)
            record.close(number, Ending(Outcome.COMPLETE, value=value))
    storage = study_for_optuna(store, name)
    elsewhere = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=elsewhere)
    copy = optuna.load_study(study_name=name, storage=elsewhere)
    assert [(trial.value, trial.params) for trial in copy.trials] == [
        (0.5, {"x": 0.5}),
        (0.75, {"x": 0.75}),
    ]
    with pytest.raises(StudyError, match="nothing can be written to it"):
        optuna.load_study(study_name=name, storage=storage).set_user_attr("a", 1)


def test_wishes_are_there_oldest_first_until_they_are_settled(store: Store, name: str) -> None:
    begun(store, name)
    driver = existing_place(shelf_of(store), name)
    with driver.lock():
        other = existing_place(shelf_of(store), name)
        assert driver.pending() == []
        other.post("stop-trial", {"number": 3})
        wish_id = other.post("enqueue", {"params": {"learning_rate": 0.1}})
        other.post("stop-study", {})
        first, second, third = driver.pending()
        assert isinstance(first, StopTrial)
        assert first.number == 3
        assert second == Enqueue(wish_id, {"learning_rate": 0.1})
        assert isinstance(third, StopStudy)
        driver.settled(second)
        driver.settled(second)
        assert driver.pending() == other.pending() == [first, third]


def test_setting_that_was_enqueued_waits_for_the_next_driver(store: Store, name: str) -> None:
    place = begun(store, name)
    wish_id = place.post("enqueue", {"params": {"x": 0.5}})
    with place.lock():
        assert [wish.id for wish in place.pending()] == [wish_id]
