"""The driver's end of the trials' folders: who may write, and what is left of who may not."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runner.backends.ray.commits import PARTIAL
from runner.backends.ray.depot import DeadAttempt, Depot, NotBegun
from runner.experiment import link_or_copy
from runner.trial import Attempt
from runner.trial.custom.folders import TrialFolders

FIRST, SECOND = Attempt(3, 0), Attempt(3, 1)
OTHER = Attempt(4, 0)


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    (tmp_path / "3" / "artifacts").mkdir(parents=True)
    return Depot(str(tmp_path))


def begin(depot: Depot, *keys: Attempt) -> None:
    """The driver says that attempts begin, each in the folder called like its trial."""
    depot.begin({key: str(depot._root / str(key.trial)) for key in keys})


def send(depot: Depot, key: Attempt, content: bytes, *, commit: bool = True) -> None:
    depot.write(key, "3/artifacts/model", content, offset=0)
    if commit:
        depot.commit(key, ["3/artifacts/model"], [])


def test_pieces_take_their_place_together(depot, tmp_path):
    begin(depot, FIRST)
    depot.write(FIRST, "3/log.txt", b"one ", offset=0)
    depot.write(FIRST, "3/log.txt", b"two", offset=4)
    assert not (tmp_path / "3" / "log.txt").exists()

    depot.commit(FIRST, ["3/log.txt"], [])
    assert (tmp_path / "3" / "log.txt").read_bytes() == b"one two"


def test_attempt_writes_nothing_once_a_newer_one_has_begun(depot, tmp_path):
    """Fails where an older attempt is not refused."""
    begin(depot, FIRST)
    send(depot, FIRST, b"first")
    begin(depot, SECOND)

    with pytest.raises(DeadAttempt, match="attempt 0 at trial 3 is over"):
        send(depot, FIRST, b"late")
    with pytest.raises(DeadAttempt):
        depot.commit(FIRST, [], ["3/artifacts/model"])
    with pytest.raises(DeadAttempt):
        depot.files(FIRST)
    assert (tmp_path / "3" / "artifacts" / "model").read_bytes() == b"first"
    send(depot, SECOND, b"second")
    assert (tmp_path / "3" / "artifacts" / "model").read_bytes() == b"second"


def test_attempt_waits_for_the_drivers_word(depot):
    with pytest.raises(NotBegun, match="attempt 0 at trial 3 has not begun"):
        depot.files(FIRST)
    begin(depot, FIRST)
    with pytest.raises(NotBegun):
        depot.files(SECOND)
    depot.end(FIRST)
    with pytest.raises(NotBegun):
        depot.files(SECOND)
    begin(depot, SECOND)
    assert depot.files(SECOND) == {}


def test_attempt_writes_nothing_after_its_end_and_its_pieces_go(depot, tmp_path):
    """Fails where an older attempt is not refused."""
    begin(depot, FIRST)
    depot.files(FIRST)
    send(depot, FIRST, b"half", commit=False)
    depot.end(FIRST)

    assert list(tmp_path.rglob("*/*")) == [tmp_path / "3" / "artifacts"]
    with pytest.raises(DeadAttempt):
        send(depot, FIRST, b"late")
    begin(depot, SECOND)
    send(depot, SECOND, b"again")


def test_pieces_of_a_dead_driver_go_when_the_trial_goes_on(depot, tmp_path):
    (tmp_path / "3" / "artifacts" / f"model{PARTIAL}").write_bytes(b"half")
    (tmp_path / "3" / "artifacts" / "x.partial").write_bytes(b"the user's")
    begin(depot, SECOND)

    assert depot.files(SECOND) == {"artifacts/x.partial": 10}
    assert not (tmp_path / "3" / "artifacts" / f"model{PARTIAL}").exists()


class Killed(BaseException):
    """The driver's end dies."""


MOMENTS = {b"1": {"history.json", "files/a", "files/gone"}, b"2": {"history.json", "files/a"}}


def save(depot: Depot, moment: bytes) -> None:
    for name in MOMENTS[moment]:
        depot.write(FIRST, f"3/checkpoint/{name}", moment, offset=0)
    gone = [f"3/checkpoint/{name}" for name in MOMENTS[b"1"] - MOMENTS[moment]]
    depot.commit(FIRST, [f"3/checkpoint/{name}" for name in MOMENTS[moment]], gone)


def dying(after: Iterator[int], act: Callable[..., Any]) -> Callable[..., Any]:
    def die_or_act(*arguments: Any, **named: Any) -> Any:
        if next(after, None) is None:
            raise Killed
        return act(*arguments, **named)

    return die_or_act


def save_and_die(depot: Depot, steps: int) -> bool:
    """Save the second moment, killed after so many steps; whether it was."""
    after = iter(range(steps))
    acts = [(Path, "replace"), (Path, "rename"), (Path, "unlink"), (os, "link")]
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (*acts, (shutil, "rmtree")):
            patch.setattr(owner, name, dying(after, getattr(owner, name)))
        try:
            save(depot, b"2")
        except Killed:
            return True
    return False


def go_on_here(root: Path) -> None:
    """As on a machine that sees the folder, on any backend."""
    TrialFolders(root / "3").begin()


def go_on_there(root: Path) -> None:
    """As on one that does not."""
    again = Depot(str(root))
    begin(again, SECOND)
    names = set(again.files(SECOND))
    moment = moment_of(root / "3" / "checkpoint")
    assert names == {f"checkpoint/{name}" for name in MOMENTS[moment]}


def moment_of(checkpoint: Path) -> bytes:
    files = [p for p in checkpoint.rglob("*") if p.is_file() and not p.name.endswith(PARTIAL)]
    (moment,) = {path.read_bytes() for path in files}
    assert {path.relative_to(checkpoint).as_posix() for path in files} == MOMENTS[moment]
    return moment


@pytest.mark.parametrize("go_on", [go_on_here, go_on_there])
def test_checkpoint_is_of_one_moment_wherever_the_drivers_end_is_killed(
    tmp_path: Path, go_on: Callable[[Path], None]
) -> None:
    """Fails where files take their places one by one, or `drop_uncommitted` drops no folder."""
    moments = []
    for steps in count():
        root = tmp_path / str(steps)
        (root / "3").mkdir(parents=True)
        depot = Depot(str(root))
        begin(depot, FIRST)
        save(depot, b"1")
        if not save_and_die(depot, steps):
            break
        go_on(root)
        moments.append(moment_of(root / "3" / "checkpoint"))
    assert moments == sorted(moments)
    assert {*moments} == {*MOMENTS}
    assert moment_of(root / "3" / "checkpoint") == b"2"
    assert [path.name for path in (root / "3").iterdir()] == ["checkpoint"]


def test_commit_that_a_kill_cut_off_is_completed_by_the_next_depot(tmp_path: Path) -> None:
    """Ray asks the next one again.

    Fails where what has come is moved out of its folder before that is replaced, or the next depot
    does not know which attempt runs.
    """
    for steps in count():
        root, told = tmp_path / str(steps), str(tmp_path / f"{steps}.told")
        (root / "3").mkdir(parents=True)
        depot = Depot(str(root), told=told)
        begin(depot, FIRST)
        save(depot, b"1")
        is_killed = save_and_die(depot, steps)
        depot = Depot(str(root), told=told)
        names = [f"3/checkpoint/{name}" for name in MOMENTS[b"2"]]
        depot.commit(FIRST, names, ["3/checkpoint/files/gone"])
        assert moment_of(root / "3" / "checkpoint") == b"2"
        assert [path.name for path in (root / "3").iterdir()] == ["checkpoint"]
        if not is_killed:
            break
    assert steps > 5


def test_next_depot_knows_what_the_driver_said_and_a_word_twice_is_once(tmp_path: Path) -> None:
    """Fails without `_remember`."""
    told = str(tmp_path / "told")
    (tmp_path / "3").mkdir()
    depot = Depot(str(tmp_path), told=told)
    begin(depot, FIRST, OTHER)
    depot.end(OTHER)
    depot.write(FIRST, "3/log.txt", b"one ", offset=0)
    with Path(told).open("a") as file:
        file.write('\n[3, 1, "')
    depot = Depot(str(tmp_path), told=told)
    for _ in range(2):
        depot.write(FIRST, "3/log.txt", b"two", offset=4)
    for _ in range(2):
        depot.commit(FIRST, ["3/log.txt"], [])
    assert (tmp_path / "3" / "log.txt").read_bytes() == b"one two"
    with pytest.raises(DeadAttempt):
        depot.files(OTHER)
    begin(depot, SECOND)
    depot.end(FIRST)
    assert depot.files(SECOND) == {"log.txt": 7}
    assert Depot(str(tmp_path), told=told).files(SECOND) == {"log.txt": 7}


def test_full_disk_keeps_no_attempt_from_its_beginning(depot: Depot) -> None:
    """Fails where `_keep` lets the error out."""
    with Path("/dev/full").open("ab", buffering=0) as full:
        depot._told = full
        begin(depot, FIRST)
        assert depot.files(FIRST) == {}


def test_checkpoint_that_the_disk_refused_stays_and_takes_its_place_when_it_is_sent_again(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where the copy is not begun anew."""

    def refuse(source: Path | str, target: Path | str) -> None:
        if str(source).endswith(PARTIAL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link_or_copy(source, target)

    begin(depot, FIRST)
    save(depot, b"1")
    monkeypatch.setattr("runner.backends.ray.commits.link_or_copy", refuse)
    with pytest.raises(OSError, match="No space left"):
        save(depot, b"2")
    monkeypatch.undo()
    assert moment_of(tmp_path / "3" / "checkpoint") == b"1"
    save(depot, b"2")
    assert moment_of(tmp_path / "3" / "checkpoint") == b"2"


def test_trials_do_not_keep_one_another_from_writing(depot):
    begin(depot, Attempt(4, 2), FIRST)
    depot.end(Attempt(4, 2))

    send(depot, FIRST, b"first")


@pytest.fixture
def outside(depot: Depot, tmp_path: Path) -> Path:
    """A file of another trial, which is running too; links lead to it, and to a folder outside."""
    begin(depot, FIRST, OTHER)
    (tmp_path / "4").mkdir()
    file = tmp_path / "4" / "checkpoint"
    file.write_bytes(b"another trial's")
    (tmp_path / "3" / "link").symlink_to(file)
    (tmp_path / "3" / "up").symlink_to(tmp_path.parent)
    (tmp_path / "3" / f"half{PARTIAL}").symlink_to(file)
    return file


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "x",
        "3",
        "3/..",
        "4/checkpoint",
        "3/../4/checkpoint",
        "{absolute}",
        "/etc/hostname",
        "3/link",
        "3/up/x",
        "3/up/../x",
    ],
)
def test_path_out_of_the_trials_folder_is_refused(
    path: str, depot: Depot, outside: Path, tmp_path: Path
) -> None:
    path = path.format(absolute=outside)
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(PermissionError, match="not in the folder of trial 3"):
        depot.read(FIRST, path, 0)
    with pytest.raises(PermissionError):
        depot.commit(FIRST, [path], [])
    with pytest.raises(PermissionError):
        depot.commit(FIRST, [], [path])
    if path not in ("3", "3/..", "3/link"):  # names of partial files inside, with these
        with pytest.raises(PermissionError):
            depot.write(FIRST, path, b"x", offset=0)
    assert sorted(tmp_path.parent.rglob("*")) == before
    assert outside.read_bytes() == b"another trial's"


def test_partial_file_that_is_a_link_out_is_not_written(depot: Depot, outside: Path) -> None:
    with pytest.raises(PermissionError):
        depot.write(FIRST, "3/half", b"x", offset=0)
    assert outside.read_bytes() == b"another trial's"


def test_files_leave_out_links_that_lead_out(depot: Depot, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "3" / "log.txt").write_bytes(b"one")
    (tmp_path / "3" / "same").symlink_to("log.txt")
    assert depot.files(FIRST) == {"log.txt": 3, "same": 3}


def test_attempt_reads_its_own_trials_files_until_it_is_over(depot: Depot, outside: Path) -> None:
    assert depot.read(OTHER, "4/checkpoint", 8) == b"trial's"
    depot.end(OTHER)
    with pytest.raises(DeadAttempt):
        depot.read(OTHER, "4/checkpoint", 0)


def test_folder_that_is_not_in_the_studys_is_none_of_a_trials(
    depot: Depot, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path / ".." / "x"):
        depot.begin({FIRST: str(folder)})
        with pytest.raises(PermissionError, match="is not in the study's folder"):
            depot.files(FIRST)
        depot.end(Attempt(3, -1))
