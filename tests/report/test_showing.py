"""The leaderboard command, for any task and with MLflow out of reach."""

import csv
import io
import json
from pathlib import Path

import optuna
import pytest

from runner.errors import DiskRefused
from runner.experiment import Store
from runner.report import board_of, show_leaderboard, status_values, summary_lines
from runner.study import StudyRecord
from runner.study.sampling import Proposal
from runner.trial import Ending, Outcome
from tests.disks import Disk
from tests.report.conftest import CUSTOM, make_study


@pytest.fixture
def record(store: Store) -> StudyRecord:
    """An objective of one's own, its MLflow out of reach."""
    asked = {**CUSTOM, "tracking": {"uri": "http://127.0.0.1:9"}}
    return make_study(store, asked, values=[1300.25, 1234.5, 1400.0])


def test_show_leaderboard_table_of_a_minimized_value_in_its_own_unit(
    record: StudyRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    show_leaderboard(record, form="table", limit=2, page=None)

    assert capsys.readouterr().out.splitlines() == [
        "trial  outcome   cost    best epoch  time  steps",
        "1      complete  1234.5  2/3               2",
        "0      complete  1300.2  2/3               1",
        "... and 1 more",
    ]


def test_show_leaderboard_json_without_mlflow_has_no_run_ids_and_says_why(
    record: StudyRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    show_leaderboard(record, form="json", limit=1, page=None)

    said = capsys.readouterr()
    (row,) = json.loads(said.out)
    assert (row["number"], row["value"], row["run_id"]) == (1, 1234.5, None)
    assert said.err.startswith("runner: the leaderboard has no run ids: ")
    assert "127.0.0.1:9" in said.err


def test_show_leaderboard_page_is_written_also_without_mlflow(
    record: StudyRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_leaderboard(record, form="csv", limit=None, page=tmp_path / "page.html")

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["number"], row["value"], row["run_id"]) for row in rows] == [
        ("1", "1234.5", ""),
        ("0", "1300.25", ""),
        ("2", "1400.0", ""),
    ]
    assert "lowest cost, trial 1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_page_that_does_not_fit_leaves_the_old_one(
    record: StudyRecord, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    page = disk.path / "page.html"
    page.write_text("the old one")
    disk.fill()
    with pytest.raises(DiskRefused, match=r"page\.html cannot be written: the disk is full"):
        show_leaderboard(record, form="table", limit=None, page=page)
    assert page.read_text() == "the old one"
    assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", "page.html"]


def test_page_to_a_link_or_a_pipe_goes_through_it(
    record: StudyRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "page.html")
    show_leaderboard(record, form="table", limit=None, page=link)
    assert link.is_symlink()
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_status_of_an_objective_of_ones_own(record: StudyRecord) -> None:
    values = status_values(record)

    assert values["trials_budget"] == 20
    assert values["best"]["value"] == 1234.5
    assert "1234.5" in "\n".join(summary_lines(record, "the budget is used up"))


def test_failure_is_told_with_its_log(record: StudyRecord) -> None:
    range_of = optuna.distributions.FloatDistribution(1.0, 9.0)
    endings = [
        Ending(Outcome.USER_ERROR, reason="ValueError: no"),
        Ending(Outcome.LOST, reason="the worker died; its log is /x/log.txt"),
        Ending(Outcome.PRUNED, reason="pruned at epoch 1"),
    ]
    for ending in endings:
        asked = Proposal({"steps": 2.0}, {"steps": range_of})
        number = record.add(asked, origin="sampler", seed=0)
        record.begin(number)
        record.close(number, ending, is_again=False)
    notes = {row.number: row.note for row in board_of(record).rows}
    assert [notes[number] for number in (3, 4, 5)] == [
        "ValueError: no; its log is trials/00003/log.txt",
        "the worker died; its log is /x/log.txt",
        "pruned at epoch 1",
    ]
    log = record.folder / "trials" / "00003" / "log.txt"
    told = [line for line in summary_lines(record, "") if ": trial " in line]
    assert told == [
        f"user_error: trial 3: ValueError: no; its log is {log}",
        "lost: trial 4: the worker died; its log is /x/log.txt",
    ]
