"""Files that trials leave for MLflow, and models of their own that are not kept."""

from pathlib import Path

import pytest

from runner.study import StudyRecord, trial_folder
from runner.trial import ARTIFACTS, MODEL, Outcome
from tests.study.conftest import Opened, Searching


def leave(opened: Opened, number: int) -> Path:
    folder = trial_folder(opened.folder, number)
    (folder / ARTIFACTS / "kurven").mkdir(parents=True)
    (folder / ARTIFACTS / "kurven" / "größe.txt").write_text("größer")
    (folder / ARTIFACTS / "a.bin").write_bytes(bytes(200_000))
    return folder


def names_in_mlflow(opened: Opened, number: int, path: str = ARTIFACTS) -> set[str]:
    run_id = opened.runs()[number].run_id
    return {each.path for each in opened.tracking.client.list_artifacts(run_id, path)}


@pytest.mark.parametrize("outcome", [Outcome.COMPLETE, Outcome.PRUNED, Outcome.FAILED])
def test_artifacts_of_an_ended_trial_are_in_its_run(
    searching: Searching, tmp_path: Path, outcome: Outcome
) -> None:
    with searching() as opened:
        key = opened.next().key
        leave(opened, key.trial)
        opened.report(key, 1)
        opened.end(key, outcome, 0.5 if outcome is Outcome.COMPLETE else None)
        assert names_in_mlflow(opened, 0) == {"artifacts/a.bin", "artifacts/kurven"}
        run = opened.runs()[0]
        file = opened.tracking.download_artifact(
            run.run_id, "artifacts/kurven/größe.txt", tmp_path / "got"
        )
        assert file.read_text() == "größer"
        assert run.tags["runner.artifacts"] == "2 files, 0.2 MB"


def test_artifacts_of_a_trial_that_goes_on_later_wait_for_its_end(searching: Searching) -> None:
    with searching() as opened:
        key = opened.next().key
        leave(opened, key.trial)
        opened.end(key, Outcome.PAUSED)
        assert names_in_mlflow(opened, 0) == set()


def test_artifacts_that_a_dead_driver_had_not_sent_are_sent_by_the_next(
    searching: Searching,
) -> None:
    with searching() as opened:
        key = opened.next().key
        leave(opened, key.trial)
        opened.study_run.flush()

    def end_unheard(folder: Path) -> None:
        from runner.trial import Ending

        record = StudyRecord.reopen(folder)
        record.close(0, Ending(Outcome.COMPLETE, 0.5, 1))

    with searching(between=end_unheard) as opened:
        assert names_in_mlflow(opened, 0) == {"artifacts/a.bin", "artifacts/kurven"}


def test_models_of_all_but_the_best_trials_are_removed(searching: Searching) -> None:
    with searching(keep_weights=1) as opened:
        folders = []
        for value in (0.5, 0.9, 0.7):
            key = opened.next().key
            folder = trial_folder(opened.folder, key.trial)
            (folder / MODEL).mkdir(parents=True)
            (folder / MODEL / "net.bin").touch()
            folders.append(folder)
            opened.end(key, Outcome.COMPLETE, value)
        assert [(folder / MODEL).exists() for folder in folders] == [False, True, False]
