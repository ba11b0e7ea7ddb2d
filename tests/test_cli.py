"""The command line: what it imports, how it answers, its exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner import cli
from runner.errors import DiskRefused, RunnerError, TrackingUnreachable
from runner.study import StudyRecord

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "timm", "mlflow", "optuna", "pandas", "numpy", "sklearn", "pydantic", "rich")


def run(
    folder: Path, *arguments: str, home: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """A command as a user types it."""
    home = home or folder / "store"
    return subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        cwd=folder,
        env={**os.environ, "RUNNER_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_imports_nothing_heavy_and_lists_every_command():
    code = (
        "import sys\nfrom runner.cli import run\n"
        "try: run(['--help'])\nexcept SystemExit: pass\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert answer.stdout.rstrip().endswith("HEAVY []")
    for command in ("search", "promote", "predict", "leaderboard", "enqueue", "studies", "cache"):
        assert f"\n    {command}" in answer.stdout


def test_every_error_has_an_exit_code_that_the_help_names():
    codes = {error.exit_code for error in all_errors()}

    assert codes == {1, 3, 4, 5, 6, 7, 8, 9, 10, 11}
    for code in codes:
        assert f" {code} " in cli.EPILOG.replace("\n", " ").replace(";", " ")


@pytest.mark.parametrize("disk_says", ["full", "read-only"])
def test_disk_that_refuses_ends_with_eleven_and_no_traceback(tmp_path, disk, disk_says):
    folder = disk.path / "studies" / "wishes" / "1"
    StudyRecord.open(folder, direction="maximize")
    before = (folder / "journal.log").read_bytes()
    disk.fill() if disk_says == "full" else disk.remount("ro")

    answer = run(tmp_path, "studies", "archive", "wishes", home=disk.path)

    assert answer.returncode == 11, answer.stderr
    assert disk_says in answer.stderr
    assert str(folder) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert (folder / "journal.log").read_bytes() == before


def test_error_of_the_system_that_nobody_has_met_names_its_file(monkeypatch, capsys):
    def refuse(options):
        raise PermissionError(13, "Permission denied", "/somewhere/secret")

    monkeypatch.setattr(cli, "_status", refuse)
    assert cli.run(["status", "cats"]) == 11
    said = capsys.readouterr().err
    assert said.startswith("runner: /somewhere/secret cannot be read or written: this user (uid ")


def test_error_of_the_system_that_is_no_refusal_keeps_its_traceback(monkeypatch):
    def fail(options):
        raise FileNotFoundError(2, "No such file", "/somewhere")

    monkeypatch.setattr(cli, "_status", fail)
    with pytest.raises(FileNotFoundError):
        cli.run(["status", "cats"])


def test_what_the_disk_refused_is_said_before_what_came_of_it(monkeypatch, capsys):
    def fail(options):
        try:
            raise DiskRefused("the journal cannot be written: the disk is full")
        finally:
            raise TrackingUnreachable("MLflow has not taken 3 record(s)")

    monkeypatch.setattr(cli, "_status", fail)
    assert cli.run(["status", "cats"]) == 11
    assert capsys.readouterr().err.splitlines() == [
        "runner: the journal cannot be written: the disk is full",
        "runner: MLflow has not taken 3 record(s)",
    ]


def all_errors() -> list[type[RunnerError]]:
    """The whole tree of errors."""
    found, waiting = [], [RunnerError]
    while waiting:
        error = waiting.pop()
        if error.__module__ == "runner.errors":
            found.append(error)
        waiting += error.__subclasses__()
    return found


def test_wrong_file_is_refused_with_line_and_spelling_and_no_traceback(tmp_path):
    (tmp_path / "wrong.yaml").write_text(
        "name: wrong\ndata: {source: bundled, name: cat-faces}\n"
        "model: {name: resnet10t}\ntrain:\n  learning_rte: 1e-3\nsearch: {trials: none}\n"
    )

    answer = run(tmp_path, "search", "wrong.yaml")

    assert answer.returncode == 3
    assert "wrong.yaml:5: train.learning_rte" in answer.stderr
    assert "did you mean 'learning_rate'?" in answer.stderr
    assert "wrong.yaml:6: search.trials" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "store").exists()


def test_study_that_is_not_there_is_named_with_what_to_do(tmp_path):
    answer = run(tmp_path, "leaderboard", "nothing")

    assert answer.returncode == 8
    assert "no study 'nothing'" in answer.stderr
    assert "none has been begun here" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serach"], "invalid choice: 'serach'"),
        (["search"], "the following arguments are required: experiment"),
        (["train", "x", "--trial", "1", "--set", "a=1"], "--set and --trial exclude each other"),
        (["studies", "archive"], "studies archive needs a study's name"),
    ],
)
def test_wrong_usage_ends_with_two(tmp_path, arguments, said):
    answer = run(tmp_path, *arguments)

    assert answer.returncode == 2
    assert said in answer.stderr


def test_studies_says_how_to_begin_where_there_are_none(tmp_path):
    answer = run(tmp_path, "studies")

    assert answer.returncode == 0
    assert "python -m runner search resnet_cats.yaml begins one" in answer.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("m", "a.jpg", "b.jpg", "--trial", "3"),
        ("m", "--trial", "3", "a.jpg", "b.jpg"),
        ("--trial", "3", "m", "a.jpg", "b.jpg"),
        ("m", "a.jpg", "--trial", "3", "b.jpg"),
    ],
)
def test_predict_takes_its_inputs_on_either_side_of_its_options(monkeypatch, words):
    taken = []
    monkeypatch.setattr(cli, "_predict", lambda options: taken.append(options) or 0)

    assert cli.run(["predict", *words]) == 0
    assert [(o.model, o.inputs, o.trial) for o in taken] == [("m", ["a.jpg", "b.jpg"], 3)]


def test_unknown_option_of_predict_is_wrong_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.run(["predict", "m", "a.jpg", "--tril", "3"])

    assert "unrecognized arguments: --tril 3" in capsys.readouterr().err


OWN = """
name: own
task: custom
objective: own.py:objective
search: {metric: loss, direction: minimize, trials: 3, space: {x: {float: [0, 1]}}}
"""


@pytest.mark.parametrize("lines", [0, 1])
def test_search_whose_reader_goes_runs_to_its_end(tmp_path: Path, lines: int) -> None:
    """Fails without `Outlet`: the search breaks off at the next line."""
    (tmp_path / "own.py").write_text("def objective(trial):\n    trial.report(1, loss=1.0)\n")
    (tmp_path / "own.yaml").write_text(OWN)
    words = ("search", "own.yaml", "--plain", "--backend", "inline")
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *words],
        cwd=tmp_path,
        env={**os.environ, "RUNNER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    with process.stderr as said:
        assert said.read() == ""
    assert process.wait() == 0
    record = StudyRecord.read(tmp_path / "studies" / "own" / "1")
    assert [trial.state for trial in record.trials()] == ["complete"] * 3


def test_table_whose_reader_goes_is_no_error(tmp_path: Path) -> None:
    """Fails without `Outlet`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "studies"],
        env={**os.environ, "RUNNER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate()[1] == ""
    assert process.returncode == 0
