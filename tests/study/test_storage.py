"""Where a study lies: numbering, the lock, and a journal cut off by a kill or a power cut."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.errors import DiskRefused, NotFound, StudyLocked
from runner.study import is_locked, study_lock
from runner.study.folders import Folders
from runner.study.place import existing_place, next_place
from runner.study.record import StudyRecord
from runner.study.sampling import Proposal
from runner.study.storage import (
    ARCHIVED,
    JOURNAL,
    LOCK,
    is_left_behind,
    repair_tail,
    study_numbers,
)
from tests.disks import Disk

LINE = b'{"op_code":0,"worker_id":"w","study_name":"cats"}\n'


def study_folder(studies: Path, name: str, *, new: bool = False) -> Path:
    return next_place(Folders(studies), name, new=new).folder


def existing_study_folder(studies: Path, reference: str) -> Path:
    return existing_place(Folders(studies), reference).folder


def begin(studies: Path, name: str, number: int) -> Path:
    folder = studies / name / str(number)
    folder.mkdir(parents=True)
    (folder / JOURNAL).write_bytes(LINE)
    return folder


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b'{"op_code":5,"worker', id="half a line"),
        pytest.param(b'{"op_code":5}', id="a line without its newline"),
        pytest.param(b"\0" * 4096, id="zero bytes"),
        pytest.param(b"\0" * 100 + b"\n", id="a line of zero bytes"),
        pytest.param(b"\xff\xfe\n\x80garbage\n{]\n", id="garbage"),
        pytest.param(b"[1, 2]\n", id="a line that is no record"),
        pytest.param(b"\n\n", id="empty lines"),
        pytest.param(b'{"x":"' + b"y" * 200_000, id="half of a very long line"),
    ],
)
def test_repair_tail_cuts_back_to_the_last_whole_record(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(LINE * 3 + tail)
    assert repair_tail(path) == len(tail)
    assert path.read_bytes() == LINE * 3


@pytest.mark.parametrize("content", [b"", LINE, LINE * 5, b'{"x":"' + b"y" * 200_000 + b'"}\n'])
def test_repair_tail_leaves_an_intact_file_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    before = path.stat().st_mtime_ns
    assert repair_tail(path) == 0
    assert path.read_bytes() == content
    assert path.stat().st_mtime_ns == before


def test_repair_tail_of_nothing_but_half_a_line_leaves_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"op_code":0')
    assert repair_tail(path) == 12
    assert path.read_bytes() == b""


@pytest.mark.parametrize("tail", [b'{"op_code":5,"wor', b"\0" * 512, b"\0\0\0\n"])
def test_record_with_a_broken_tail_reads_and_goes_on_after_the_next_open(
    tmp_path: Path, tail: bytes
) -> None:
    """Fails without `repair_tail`."""
    folder = tmp_path / "cats" / "1"
    record = StudyRecord.open(folder, direction="maximize")
    record.add(Proposal({}, {}), origin="sampler", seed=1)
    study_id = record.study_id
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(tail)
    assert [trial.number for trial in StudyRecord.read(folder).trials()] == [0]
    again = StudyRecord.open(folder, direction="maximize")
    assert again.study_id == study_id
    again.add(Proposal({}, {}), origin="sampler", seed=2)
    assert [trial.seed for trial in StudyRecord.read(folder).trials()] == [1, 2]


def test_record_cut_anywhere_opens_again_with_every_whole_trial(tmp_path: Path) -> None:
    folder = tmp_path / "cats" / "1"
    record = StudyRecord.open(folder, direction="maximize")
    for seed in range(3):
        record.add(Proposal({}, {}), origin="sampler", seed=seed)
        record.begin(seed)
    whole = (folder / JOURNAL).read_bytes()
    for cut in range(0, len(whole), 97):
        (folder / JOURNAL).write_bytes(whole[:cut])
        again = StudyRecord.open(folder, direction="maximize")
        again.settle()
        number = again.add(Proposal({}, {}), origin="sampler", seed=9)
        assert number <= 3
        assert again.begin(number) == 0
        for line in (folder / JOURNAL).read_bytes().splitlines():
            json.loads(line)


def test_study_folder_counts_from_one_and_goes_on_with_the_newest(tmp_path: Path) -> None:
    assert study_folder(tmp_path, "cats") == tmp_path / "cats" / "1"
    begin(tmp_path, "cats", 1)
    assert study_folder(tmp_path, "cats") == tmp_path / "cats" / "1"
    assert study_folder(tmp_path, "cats", new=True) == tmp_path / "cats" / "2"
    begin(tmp_path, "cats", 9)
    begin(tmp_path, "cats", 10)
    assert study_folder(tmp_path, "cats") == tmp_path / "cats" / "10"
    assert study_folder(tmp_path, "dogs") == tmp_path / "dogs" / "1"


def test_study_folder_of_an_archived_study_is_the_next_one(tmp_path: Path) -> None:
    folder = begin(tmp_path, "cats", 1)
    (folder / ARCHIVED).touch()
    assert study_folder(tmp_path, "cats") == tmp_path / "cats" / "2"
    assert existing_study_folder(tmp_path, "cats") == folder


@pytest.mark.parametrize("left", [None, b"", b'{"op_code"'])
def test_study_that_a_kill_left_without_a_record_is_not_there(
    tmp_path: Path, left: bytes | None
) -> None:
    folder = tmp_path / "cats" / "1"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    if left is not None:
        (folder / JOURNAL).write_bytes(left)
    assert study_numbers(tmp_path, "cats") == []
    assert study_folder(tmp_path, "cats", new=True) == folder
    assert StudyRecord.open(folder, direction="maximize").trials() == []
    assert study_numbers(tmp_path, "cats") == [1]


def test_existing_study_folder_by_name_or_name_and_number(tmp_path: Path) -> None:
    first, second = begin(tmp_path, "cats", 1), begin(tmp_path, "cats", 2)
    assert existing_study_folder(tmp_path, "cats") == second
    assert existing_study_folder(tmp_path, "cats:1") == first
    assert existing_study_folder(tmp_path, "cats:01") == first


@pytest.mark.parametrize("reference", ["dogs", "cats:3", "cats:x", "cats:²", "cats:-1", ""])
def test_existing_study_folder_that_is_not_there_lists_those_that_are(
    tmp_path: Path, reference: str
) -> None:
    begin(tmp_path, "cats", 1)
    begin(tmp_path, "cats", 2)
    begin(tmp_path, "birds", 1)
    with pytest.raises(NotFound) as caught:
        existing_study_folder(tmp_path, reference)
    assert str(caught.value) == (
        f"no study {reference!r} under {tmp_path}; there are birds:1, cats:1, cats:2"
    )


def test_existing_study_folder_in_an_empty_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no study 'cats' under .*; none has been begun here"):
        existing_study_folder(tmp_path / "nowhere", "cats")


HOLDER = """
import sys, time
from pathlib import Path
from runner.study.storage import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_study_lock_held_by_another_process_is_refused_and_free_after_its_kill(
    tmp_path: Path,
) -> None:
    """Fails without `flock`."""
    folder = tmp_path / "cats" / "1"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(folder)
        with pytest.raises(StudyLocked) as caught, study_lock(folder):
            pass
        assert f"is being searched by process {holder.pid} on " in str(caught.value)
        assert "`python -m runner status cats`" in str(caught.value)
        assert "`python -m runner stop cats`" in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not is_locked(folder)
    assert is_left_behind(folder)
    with study_lock(folder):
        assert (folder / LOCK).read_text().startswith(f"process {os.getpid()} on ")
        assert is_locked(folder)
    assert not is_locked(folder)


def test_study_lock_on_a_disk_that_refuses_says_so_and_holds_nothing(disk: Disk) -> None:
    folder = disk.path / "cats" / "1"
    disk.fill()
    with pytest.raises(DiskRefused, match="the disk is full"), study_lock(folder):
        pass
    assert not is_locked(folder)
    disk.make_room()
    with study_lock(folder):
        pass
    disk.remount("ro")
    with pytest.raises(DiskRefused, match=f"{folder / LOCK} cannot be written: its file system"):
        study_lock(folder).__enter__()
    assert not is_locked(folder)


def test_is_locked_of_a_study_never_searched_is_false_and_makes_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "cats" / "1")
    assert list(tmp_path.iterdir()) == []


def test_study_lock_is_not_refused_because_others_look(tmp_path: Path) -> None:
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            is_locked(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for thread in lookers:
        thread.start()
    try:
        for _ in range(60):
            with study_lock(tmp_path):
                pass
    finally:
        is_over.set()
        for thread in lookers:
            thread.join()


def test_is_locked_by_two_that_look_at_once_is_false(tmp_path: Path) -> None:
    with study_lock(tmp_path):
        pass
    seen: list[bool] = []
    lookers = [
        threading.Thread(target=lambda: seen.extend(is_locked(tmp_path) for _ in range(500)))
        for _ in range(3)
    ]
    for thread in lookers:
        thread.start()
    for thread in lookers:
        thread.join()
    assert len(seen) == 1500
    assert not any(seen)


def test_is_left_behind_only_after_a_driver_that_did_not_end_well(tmp_path: Path) -> None:
    assert not is_left_behind(tmp_path)
    with study_lock(tmp_path):
        assert not is_left_behind(tmp_path)
    assert not is_left_behind(tmp_path)
    with pytest.raises(ValueError), study_lock(tmp_path):
        raise ValueError
    assert is_left_behind(tmp_path)
    with study_lock(tmp_path):
        pass
    assert not is_left_behind(tmp_path)
