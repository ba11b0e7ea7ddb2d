"""The journal's one writer: batches, syncs, and Optuna's own eyes on the file."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from runner.errors import DiskRefused, StudyError
from runner.study import StudyRecord
from runner.study.journal import WRITER, JournalFile, StudyJournal
from runner.study.sampling import Proposal
from runner.study.storage import JOURNAL
from runner.study.trial_record import Asked
from runner.trial import Ending, Outcome
from tests.disks import Disk

LOGS: list[dict[str, Any]] = [{"op_code": 2, "n": n, "worker_id": "me"} for n in range(3)]
WRITTEN = [{**log, "worker_id": WRITER} for log in LOGS]


@pytest.fixture
def journal(tmp_path: Path) -> StudyJournal:
    made = StudyJournal(JournalFile(tmp_path / JOURNAL))
    assert list(made.read_logs(0)) == []
    return made


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / JOURNAL).read_bytes().splitlines()]


def count_writes(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[bytes]]:
    writes: list[Sequence[bytes]] = []
    write = JournalFile.write

    def counted(file: JournalFile, lines: Sequence[bytes]) -> None:
        writes.append(lines)
        write(file, lines)

    monkeypatch.setattr(JournalFile, "write", counted)
    return writes


def test_append_is_in_the_file_at_once_and_read_back_as_the_file_has_it(
    journal: StudyJournal, tmp_path: Path
) -> None:
    journal.append_logs([{"op_code": 2, "pair": (1, 2), "by_step": {3: 0.5}, "worker_id": "me"}])
    kept = {"op_code": 2, "pair": [1, 2], "by_step": {"3": 0.5}}
    assert lines(tmp_path) == [{**kept, "worker_id": WRITER}]
    assert list(journal.read_logs(0)) == [{**kept, "worker_id": "me"}]
    assert list(journal.read_logs(1)) == []


def test_batch_is_one_write_at_its_end(
    journal: StudyJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = count_writes(monkeypatch)
    with journal.batch():
        journal.append_logs(LOGS[:1])
        with journal.batch():
            journal.append_logs(LOGS[1:])
        assert list(journal.read_logs(0)) == LOGS
        assert lines(tmp_path) == []
    assert lines(tmp_path) == WRITTEN
    assert len(writes) == 1


def test_batch_that_is_left_by_an_exception_is_written_as_it_was_told(
    journal: StudyJournal, tmp_path: Path
) -> None:
    def interrupted() -> None:
        with journal.batch():
            journal.append_logs(LOGS[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    journal.append_logs(LOGS[2:])
    assert lines(tmp_path) == WRITTEN


def test_sync_is_one_however_much_was_written_and_none_if_nothing_was(
    journal: StudyJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), fsync(fd)))
    journal.sync()
    assert synced == []
    for log in LOGS:
        journal.append_logs([log])
    journal.sync()
    journal.sync()
    assert len(synced) == 1


def test_write_that_fails_says_where_and_what_to_do(tmp_path: Path) -> None:
    journal = StudyJournal(JournalFile(tmp_path / JOURNAL))
    (tmp_path / JOURNAL).unlink()
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(DiskRefused) as caught:
        journal.append_logs(LOGS)
    assert str(caught.value).startswith(f"{tmp_path / JOURNAL} cannot be written: Is a directory")
    assert str(caught.value).endswith("the same command goes on from there")


def test_write_on_a_full_disk_leaves_every_whole_line_and_goes_on_when_there_is_room(
    disk: Disk,
) -> None:
    """Fails where nobody looks how much was written. Fails where half a line is left there."""
    path = disk.path / JOURNAL
    journal = StudyJournal(JournalFile(path))
    assert list(journal.read_logs(0)) == []
    journal.append_logs(LOGS)
    disk.fill()
    # More than what is left of the last page, so that only a part can be written.
    large = [{"op_code": 2, "text": "x" * 10_000}]
    with pytest.raises(DiskRefused, match="the disk is full"):
        journal.append_logs(large)
    assert lines(disk.path) == WRITTEN
    disk.make_room()
    again = StudyJournal(JournalFile(path))
    assert list(again.read_logs(0)) == WRITTEN
    again.append_logs(large)
    assert lines(disk.path) == [*WRITTEN, {**large[0], "worker_id": WRITER}]


def test_read_only_disk_refuses_to_open_a_journal_and_keeps_it(disk: Disk) -> None:
    folder = disk.path / "cats" / "1"
    StudyRecord.open(folder, direction="maximize").add(Proposal({}, {}), origin="sampler", seed=1)
    disk.remount("ro")
    with pytest.raises(DiskRefused, match=r"journal\.log cannot be written: .* read-only"):
        StudyRecord.open(folder, direction="maximize")
    assert [trial.seed for trial in StudyRecord.read(folder).trials()] == [1]


def test_line_that_is_damaged_in_the_middle_is_named_by_writers_and_readers(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "cats" / "1"
    StudyRecord.open(folder, direction="maximize").add(Proposal({}, {}), origin="sampler", seed=1)
    content = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (folder / JOURNAL).write_bytes(b"".join([content[0], b"\0" * 20 + b"\n", *content[1:]]))
    with pytest.raises(StudyError, match="line 2 of the study's journal is damaged"):
        StudyRecord.open(folder, direction="maximize")
    with pytest.raises(StudyError, match="line 2 of the study's journal is damaged"):
        StudyRecord.read(folder)


def test_trial_costs_one_write_each_for_its_wave_its_begin_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = StudyRecord.open(tmp_path / "cats" / "1", direction="maximize")
    writes = count_writes(monkeypatch)
    record.add_all([Asked(Proposal({}, {}), "sampler", seed, (0, 4)) for seed in range(4)])
    assert len(writes) == 1
    record.begin(0)
    record.add_rung(0, 1, 0.5, failed_at=1)
    record.close(0, Ending(Outcome.OUT_OF_MEMORY))
    assert len(writes) == 4
    record.set_attribute("seconds_used", 1.0)
    assert len(writes) == 5


def test_optuna_reads_what_the_driver_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "cats" / "1"
    record = StudyRecord.open(folder, direction="maximize")
    distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
    proposal = Proposal({"x": 0.25}, {"x": distribution})
    record.add_all([Asked(proposal, "sampler", seed, (0, 3)) for seed in range(3)])
    for number, outcome in enumerate((Outcome.COMPLETE, Outcome.PRUNED)):
        record.begin(number)
        record.add_rung(number, 1, 0.5)
        record.close(number, Ending(outcome, 0.75))
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    study = optuna.load_study(study_name="cats", storage=optuna.storages.JournalStorage(backend))
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "WAITING"]
    assert [trial.value for trial in study.trials] == [0.75, 0.5, None]
    assert study.trials == record.study.get_trials()
