"""What lies in a trial's folder, also after a kill between two renames."""

import os
from pathlib import Path

import pytest

from runner.errors import TrialFailed
from runner.trial import Outcome
from runner.trial.custom.folders import (
    TrialFolders,
    replace_folder,
    saved_model,
    settle_folder,
    size_text,
)


@pytest.fixture
def folders(tmp_path: Path) -> TrialFolders:
    made = TrialFolders(tmp_path / "trial")
    made.begin()
    return made


def save(folders: TrialFolders, text: str) -> None:
    (folders.open_next() / "state.txt").write_text(text)
    folders.commit_next({"text": text})


def kept(folders: TrialFolders) -> str:
    files = folders.checkpoint()
    assert files is not None
    text = (files / "state.txt").read_text()
    assert folders.history() == {"text": text}
    return text


def test_commit_next_replaces_the_checkpoint(folders: TrialFolders) -> None:
    assert folders.checkpoint() is None
    save(folders, "one")
    save(folders, "two")
    assert kept(folders) == "two"
    assert sorted(path.name for path in folders.root.iterdir()) == ["checkpoint", "scratch"]


def test_begin_finds_the_old_checkpoint_when_the_new_one_had_not_taken_its_place(
    folders: TrialFolders,
) -> None:
    save(folders, "one")
    (folders.open_next() / "state.txt").write_text("half")
    (folders.root / "checkpoint").rename(folders.root / "checkpoint.old")
    folders.begin()
    assert kept(folders) == "one"


def test_begin_removes_what_another_process_had_not_finished(folders: TrialFolders) -> None:
    """Fails where one's own name alone is removed."""
    save(folders, "one")
    orphans = folders.root / "checkpoint.1.new" / "files"
    orphans.mkdir(parents=True)
    folders.begin()
    assert not orphans.exists()
    assert folders.checkpoint() is not None
    assert str(os.getpid()) in str(folders.open_next())


def test_begin_finds_the_new_checkpoint_when_the_old_one_had_not_gone(
    folders: TrialFolders,
) -> None:
    save(folders, "one")
    (folders.root / "checkpoint").rename(folders.root / "checkpoint.old")
    save_over = folders.open_next()
    (save_over / "state.txt").write_text("two")
    (save_over.parent / "history.json").write_text('{"text": "two"}')
    save_over.parent.rename(folders.root / "checkpoint")
    folders.begin()
    assert kept(folders) == "two"
    assert not (folders.root / "checkpoint.old").exists()


def test_begin_without_a_checkpoint_removes_what_a_dead_attempt_left_but_not_its_scratch(
    folders: TrialFolders, tmp_path: Path
) -> None:
    (folders.scratch / "mine.txt").write_text("mine")
    folders.write_artifact("old.txt", "old")
    folders.keep_model(folders.scratch / "mine.txt")
    folders.begin()
    assert [path.name for path in folders.root.iterdir()] == ["scratch"]
    assert (folders.scratch / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("history", [None, "", '{"seconds": 1', "\0\0\0"])
def test_begin_removes_a_checkpoint_whose_history_a_power_cut_damaged(
    folders: TrialFolders, history: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    save(folders, "one")
    path = folders.root / "checkpoint" / "history.json"
    path.unlink() if history is None else path.write_text(history)
    folders.begin()
    assert folders.checkpoint() is None
    assert "is damaged and removed" in caplog.text


def test_begin_with_a_checkpoint_keeps_model_and_artifacts(folders: TrialFolders) -> None:
    folders.write_artifact("old.txt", "old")
    (folders.scratch / "mine.txt").write_text("mine")
    folders.keep_model(folders.scratch / "mine.txt")
    save(folders, "one")
    folders.begin()
    assert (folders.artifacts / "old.txt").exists()
    assert saved_model(folders.root) == folders.root / "model" / "mine.txt"


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        (Outcome.COMPLETE, ["model", "scratch"]),
        (Outcome.PAUSED, ["checkpoint", "model", "scratch"]),
        (Outcome.PRUNED, ["scratch"]),
        (Outcome.FAILED, ["scratch"]),
    ],
)
def test_end_keeps_what_the_outcome_needs(
    folders: TrialFolders, outcome: Outcome, left: list[str]
) -> None:
    save(folders, "one")
    folders.keep_model(folders.checkpoint() or Path())
    folders.open_announced()
    folders.end(outcome)
    assert sorted(path.name for path in folders.root.iterdir()) == left


def test_keep_model_twice_keeps_the_second(folders: TrialFolders) -> None:
    (folders.scratch / "a.txt").write_text("a")
    (folders.scratch / "net").mkdir()
    (folders.scratch / "net" / "b.txt").write_text("b")
    folders.keep_model(folders.scratch / "a.txt")
    folders.keep_model(folders.scratch / "net")
    model = saved_model(folders.root)
    assert model == folders.root / "model" / "net"
    assert (model / "b.txt").read_text() == "b"
    assert len(list(model.parent.iterdir())) == 1


def test_saved_model_of_a_trial_that_saved_none_is_none(tmp_path: Path) -> None:
    assert saved_model(tmp_path) is None


def test_keep_model_of_a_folder_around_the_trial_is_refused(folders: TrialFolders) -> None:
    with pytest.raises(TrialFailed, match="cannot be kept: it holds the trial's own folder$"):
        folders.keep_model(folders.root.parent)


def test_take_announced_moves_one_name_or_everything(folders: TrialFolders) -> None:
    inbox = folders.open_announced()
    for name in ("1.pt", "2.pt.partial"):
        (inbox / name).write_text(name)
    folders.take_announced("1.pt", {})
    files = folders.checkpoint()
    assert files is not None
    assert [path.name for path in files.iterdir()] == ["1.pt"]
    assert [path.name for path in inbox.iterdir()] == ["2.pt.partial"]
    folders.take_announced(None, {})
    assert [path.name for path in files.iterdir()] == ["2.pt.partial"]


@pytest.mark.parametrize(("name", "what"), [("3.pt", "3.pt"), (None, "file")])
def test_take_announced_of_what_is_not_there_is_refused(
    folders: TrialFolders, name: str | None, what: str
) -> None:
    inbox = folders.open_announced()
    with pytest.raises(TrialFailed) as caught:
        folders.take_announced(name, {})
    assert str(caught.value) == f"there is no {what} in the folder of checkpoints, {inbox}"


def test_open_announced_has_a_copy_of_the_last_checkpoint(folders: TrialFolders) -> None:
    save(folders, "one")
    inbox = folders.open_announced()
    (inbox / "state.txt").write_text("changed")
    assert kept(folders) == "one"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up.txt", "a/../../up.txt"])
def test_write_artifact_outside_of_its_folder_is_refused(folders: TrialFolders, name: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        folders.write_artifact(name, "text")
    assert str(caught.value) == (
        f"an artifact's name must be a relative path without '..': {name!r}"
    )


def test_find_of_nothing_says_where_it_looked(folders: TrialFolders, tmp_path: Path) -> None:
    with pytest.raises(TrialFailed) as caught:
        folders.find("curve.png", working=tmp_path)
    assert str(caught.value) == (
        f"no such file or folder: 'curve.png'; looked in {tmp_path} and {folders.scratch}"
    )


def test_find_keeps_the_name_of_a_link(folders: TrialFolders, tmp_path: Path) -> None:
    (folders.scratch / "epoch3.pt").write_text("3")
    (folders.scratch / "best.pt").symlink_to("epoch3.pt")
    kept = folders.keep_model(folders.find("best.pt", working=tmp_path))
    assert kept.name == "best.pt"
    assert kept.read_text() == "3"


def test_replace_and_settle_work_with_nothing_there(tmp_path: Path) -> None:
    settle_folder(tmp_path / "target")
    (tmp_path / "new").mkdir()
    replace_folder(tmp_path / "new", tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize(("size", "text"), [(300, "0.3 kB"), (2_500_000, "2.5 MB")])
def test_size_text_of_a_folder_counts_all_its_files(tmp_path: Path, size: int, text: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(size))
    assert size_text(tmp_path) == text
