"""The main job in one process: search, leaderboard, reproduce, promote, the gate, predict."""

import json

import pytest

from runner import api
from runner.errors import DataError, NotFound, PromotionRefused
from runner.experiment import Store
from runner.report import show_leaderboard
from runner.study import train
from runner.tracking import RunStatus, connect, read_trials
from tests.end_to_end.conftest import EXPERIMENT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A store in which the tiny experiment has been searched."""
    folder = tmp_path_factory.mktemp("main_job")
    patch = pytest.MonkeyPatch()
    patch.setenv("RUNNER_HOME", str(folder / "store"))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    study = api.search(folder / "tiny.yaml", backend="inline", show="none")
    yield study
    patch.undo()


@pytest.fixture
def photo(tmp_path, searched):
    """One handwritten digit as an image file."""
    from runner.data import open_source

    experiment = api.experiment_of(searched.record)
    source = open_source(experiment.data, base=tmp_path, cache=None)
    path = tmp_path / "digit.png"
    source.image(0).save(path)
    return path


def test_search_finishes_its_budget_and_mlflow_has_every_trial(searched):
    tracking = connect(None, Store.default())
    runs = read_trials(tracking, searched.record.study_id)

    assert [trial.state for trial in searched.trials] == ["complete"] * 4
    assert [run.number for run in runs] == [0, 1, 2, 3]
    for run, trial in zip(runs, searched.trials, strict=True):
        assert run.status is RunStatus.FINISHED
        assert run.tags["runner.outcome"] == "complete"
        assert float(run.tags["runner.value"]) == trial.value
        assert run.params["learning_rate"] == str(trial.params["learning_rate"])
        history = tracking.metric_history(run.run_id, "validation/accuracy")
        assert max(point.value for point in history) == trial.value


def test_parent_run_has_leaderboard_and_experiment_children_their_evaluation(searched, tmp_path):
    tracking = connect(None, Store.default())
    runs = read_trials(tracking, searched.record.study_id)
    parent = runs[0].tags["mlflow.parentRunId"]
    board = json.loads(
        tracking.download_artifact(parent, "leaderboard.json", tmp_path).read_text()
    )
    resolved = json.loads(
        tracking.download_artifact(parent, "experiment.json", tmp_path).read_text()
    )
    evaluation = json.loads(
        tracking.download_artifact(runs[0].run_id, "evaluation.json", tmp_path).read_text()
    )
    best = runs[searched.best.number].run_id

    assert board[0]["number"] == searched.best.number
    assert resolved["search"]["trials"] == 4
    assert sum(map(sum, evaluation["confusion"])) == 30
    assert evaluation["history"][0]["epoch"] == 1
    assert (
        tracking.download_artifact(best, "pictures/curves.png", tmp_path).stat().st_size > 10_000
    )


def test_reproducing_a_trial_gives_its_metrics(searched):
    trial = searched.trials[2]

    again = train(Store.default(), "tiny", trial=2, say=lambda text: None)

    evaluation = json.loads(
        (searched.record.folder / "trials" / "00002" / "evaluation.json").read_text()
    )
    assert again["value"] == trial.value
    for ours, theirs in zip(again["history"], evaluation["history"], strict=True):
        for name in ("train/loss", "validation/loss", "validation/accuracy"):
            assert ours[name] == theirs[name]


def test_leaderboard_in_every_form(searched, tmp_path, capsys):
    for form in ("table", "csv", "json"):
        show_leaderboard(searched.record, form=form, limit=2, page=tmp_path / "page.html")
    output = capsys.readouterr().out

    assert "learning_rate" in output
    assert f"{searched.best.value:.4f}" in output
    assert "<html" in (tmp_path / "page.html").read_text()


def test_promotion_registers_the_best_then_refuses_a_worse_one(searched, photo):
    said = []
    promotion = api.promote("tiny", say=said.append)
    assert promotion.trial == searched.best.number
    assert promotion.looks == 1
    assert "looked at 1 time" in said[-1]

    rows = api.predict("tiny", [photo, photo], say=said.append)
    assert rows[0]["label"] == rows[1]["label"]
    assert 0 < rows[0]["probability"] <= 1

    # Given settings: trial 1 trains a head on random features, for three epochs at a low rate.
    worst = searched.trials[1].number
    with pytest.raises(PromotionRefused, match="the champion is better: accuracy"):
        api.promote("tiny", trial=worst, say=said.append)
    assert "looked at 2 times" in said[-1]


def test_any_trial_predicts_and_names_what_is_wrong(searched, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")

    rows = api.predict("tiny", [photo], trial=1, say=lambda text: None)

    assert rows[0]["image"] == str(photo)
    with pytest.raises(DataError, match="no such image file: nowhere.jpg"):
        api.predict("tiny", ["nowhere.jpg"], trial=1)
    with pytest.raises(DataError, match=r"broken\.png"):
        api.predict("tiny", [broken], trial=1, say=lambda text: None)
    with pytest.raises(NotFound, match="trials 0 to 3, not 9"):
        api.predict("tiny", [photo], trial=9)
