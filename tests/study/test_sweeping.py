"""What is removed when a study is opened, and what is not.

Seen to fail with the exception for segments, or for trials that wait, taken out.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.study import EVALUATION, WEIGHTS, StudyRecord, sweep, trial_folder
from runner.study.inbox import INBOX
from runner.study.sampling import Proposal
from runner.trial import CHECKPOINT, INHERITED, MODEL, SCRATCH, Ending, Outcome, Segment

Begin = Callable[..., Path]
STATE_FOLDERS = ("checkpoint", "checkpoint.next", "checkpoint.77.new")


@pytest.fixture
def record(tmp_path: Path) -> StudyRecord:
    return StudyRecord.open(tmp_path / "cats" / "1", direction="maximize")


@pytest.fixture
def begin(record: StudyRecord) -> Begin:
    """Begins a trial and leaves in its folder all that a trial can leave; gives the folder."""

    def make(outcome: Outcome | None, *, segment: Segment | None = None) -> Path:
        number = record.add(Proposal({}, {}, segment=segment), origin="sampler", seed=1)
        record.begin(number)
        folder = trial_folder(record.folder, number)
        for name in (CHECKPOINT, INHERITED, WEIGHTS, EVALUATION, "log.txt", "checkpoint.pt.tmp"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        for name in (*STATE_FOLDERS, MODEL, f"{MODEL}.new", SCRATCH):
            (folder / name).mkdir()
            (folder / name / "file").write_text(name)
        if outcome is not None:
            record.close(number, Ending(outcome, 0.5 if outcome is Outcome.COMPLETE else None, 1))
        return folder

    return make


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


ALWAYS = {EVALUATION, "log.txt", SCRATCH}
WHOLE = {CHECKPOINT, INHERITED, WEIGHTS, *STATE_FOLDERS, MODEL, f"{MODEL}.new"}


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Outcome.COMPLETE, {WEIGHTS, MODEL}),
        (Outcome.PRUNED, set()),
        (Outcome.FAILED, set()),
        (Outcome.OUT_OF_MEMORY, set()),
        (Outcome.TIMED_OUT, set()),
        (Outcome.PAUSED, WHOLE),
        (Outcome.INTERRUPTED, WHOLE),
        (Outcome.LOST, WHOLE),
        (None, WHOLE),
    ],
)
def test_sweep_keeps_what_a_trial_goes_on_from_or_is_promoted_with(
    record: StudyRecord, begin: Begin, outcome: Outcome | None, kept: set[str]
) -> None:
    folder = begin(outcome)
    sweep(record.folder, record)
    assert left(folder) == ALWAYS | kept


def test_sweep_of_a_trial_that_is_given_up(record: StudyRecord, begin: Begin) -> None:
    folder = begin(None)
    record.close(0, Ending(Outcome.LOST, reason="died twice"), is_again=False)
    sweep(record.folder, record)
    assert left(folder) == ALWAYS


def test_sweep_keeps_the_last_state_of_a_segment_and_not_that_of_a_failed_one(
    record: StudyRecord, begin: Begin
) -> None:
    complete = begin(Outcome.COMPLETE, segment=Segment(None, 0, 2))
    failed = begin(Outcome.FAILED, segment=Segment(None, 0, 2))
    sweep(record.folder, record)
    assert CHECKPOINT in left(complete)
    assert CHECKPOINT not in left(failed)


def test_sweep_says_what_it_removed_and_finds_nothing_the_second_time(
    record: StudyRecord, begin: Begin
) -> None:
    folder = begin(Outcome.FAILED)
    removed = sweep(record.folder, record)
    assert {path.name for path in removed} == WHOLE | {"checkpoint.pt.tmp"}
    assert all(path.parent == folder and not path.exists() for path in removed)
    assert sweep(record.folder, record) == []


def test_sweep_leaves_nothing_to_go_on_from_to_a_trial_that_is_not_in_the_study(
    record: StudyRecord, begin: Begin
) -> None:
    """The power went before the journal was on the disk: the number is given out again."""
    begin(None)
    unknown = trial_folder(record.folder, 7)
    trial_folder(record.folder, 0).rename(unknown)
    sweep(record.folder, record)
    assert left(unknown) == ALWAYS | {WEIGHTS, MODEL, f"{MODEL}.new"}


def test_sweep_removes_half_written_files_of_the_study_but_no_fresh_wish(
    record: StudyRecord,
) -> None:
    inbox = record.folder / INBOX
    inbox.mkdir()
    for path in (
        record.folder / "manifest.json.tmp",
        record.folder / "runs.txt.tmp",
        record.folder / "copy.partial",
        inbox / "1.json.tmp",
        inbox / "2.json.tmp",
        inbox / "2.json",
    ):
        path.write_text("half")
    hours_ago = time.time() - 7200
    os.utime(inbox / "1.json.tmp", (hours_ago, hours_ago))
    assert {path.name for path in sweep(record.folder, record)} == {
        "manifest.json.tmp",
        "runs.txt.tmp",
        "copy.partial",
        "1.json.tmp",
    }


def test_sweep_of_a_study_without_trials_removes_nothing(record: StudyRecord) -> None:
    before = sorted(record.folder.rglob("*"))
    assert sweep(record.folder, record) == []
    assert sorted(record.folder.rglob("*")) == before
