"""The study's page whatever was searched, and pictures of a trial in its run."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from runner.data import open_source
from runner.experiment import Experiment, LabelKind, Modality, Store
from runner.report import (
    board_of,
    draw_into_run,
    page_of,
    publish,
    show_leaderboard,
    study_html,
)
from runner.study import WEIGHTS, trial_folder
from runner.tracking import StudyRun, connect
from tests.report.conftest import CUSTOM, make_study
from tests.report.outline import Outline

DETAILS = {"source": "cats", "train": 807, "validation": 101, "test": 101}
IMAGES = {
    "name": "cats",
    "task": "image_classification",
    "data": {"source": "folder", "path": "/photos"},
    "model": {"name": "resnet18", "weights": "/weights/first.safetensors"},
    "search": {"sampler": "random", "pruner": "none", "space": {}},
}


def test_page_of_an_objective_of_ones_own_says_what_is_known(store: Store) -> None:
    record = make_study(store, CUSTOM, values=[1234.5, 1300.25])

    text = Outline(study_html(page_of(record), board_of(record))).words

    assert page_of(record).facts == {"search": "random, asha"}
    assert "Routes of the vans." in text
    assert "1234.5 lowest cost, trial 0" in text
    assert "images" not in text


def test_page_of_a_study_with_cards_shows_them_in_their_order(store: Store) -> None:
    record = make_study(store, CUSTOM, values=[1.0])
    cards = {"model": "minilm", "texts": "807 / 101 / 101"}
    record.set_attribute("facts", {**DETAILS, "cards": cards})

    assert page_of(record).facts == {**cards, "search": "random, asha"}


def test_page_of_a_study_of_before_there_were_cards_tells_the_same(store: Store) -> None:
    record = make_study(store, IMAGES, values=[0.5])
    record.set_attribute("facts", DETAILS)

    assert page_of(record).facts == {
        "model": "resnet18",
        "weights": "first.safetensors",
        "data": "cats",
        "examples": "807 / 101 / 101",
        "search": "random, none",
    }


def test_page_of_a_study_that_never_began_has_a_name(store: Store) -> None:
    record = make_study(store, CUSTOM, values=[])
    record.study.set_user_attr("experiment", None)

    assert page_of(record).name == "mine:1"
    assert page_of(record).facts == {}
    assert board_of(record).metric == "value"


class Taking:
    """A study's runs in an MLflow that takes everything."""

    def __init__(self) -> None:
        self.run_ids = {0: "a"}
        self.files: list[str] = []

    def flush(self, *, within_s: float | None = None) -> None:
        """At once."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Nobody looks at them."""

    def add_artifacts(self, texts: Mapping[str, str]) -> None:
        """Nor at these."""

    def add_artifact_file(self, number: int, local_path: Path, artifact_path: str) -> None:
        self.files.append(artifact_path)


@pytest.mark.parametrize("within_s", [None, 5.0])
def test_publish_moves_the_best_weights_but_for_whoever_is_in_a_hurry(
    store: Store, within_s: float | None
) -> None:
    """Fails where they are moved whatever `within_s` is: an upload is then cut off."""
    record = make_study(store, CUSTOM, values=[1.0])
    weights = trial_folder(record.folder, 0) / WEIGHTS
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.touch()
    taking = Taking()
    experiment = Experiment.from_resolved(record.attributes["experiment"])

    publish(experiment, record, cast(StudyRun, taking), within_s=within_s)

    assert taking.files == ([f"weights/{WEIGHTS}"] if within_s is None else [])
    assert weights.exists() == (within_s is not None)


def reviews(folder: Path) -> dict[str, Any]:
    """A regression of texts, as an experiment file asks for it."""
    table = folder / "reviews.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "stars"))
        rows.writerows((f"Review {i}: <b>&</b> 很好", i % 7 + 0.5) for i in range(40))
    return {
        "name": "reviews",
        "task": "text_regression",
        "data": {"source": "table", "path": str(table), "label_column": "stars"},
        "model": {"name": "bert-base-uncased", "weights": "none"},
        "search": {"space": {}},
    }


@pytest.mark.slow
def test_draw_into_run_of_texts_logs_curves_the_scatter_and_a_page(
    store: Store, tmp_path: Path
) -> None:
    asked = reviews(tmp_path)
    settings = Experiment.from_resolved(asked).data
    source = open_source(
        settings, labels=LabelKind.NUMBER, modality=Modality.TEXT, base=tmp_path, cache=None
    )
    evaluation = {
        "kind": "number",
        "metrics": {"mae": 3.0},
        "points": [[0.5, 3.5], [6.5, 3.5]],
        "worst": [{"id": source.examples[7].id, "true": 0.5, "predicted": 3.5, "error": 3.0}],
        "history": [{"epoch": 1, "validation/mae": 3.0}, {"epoch": 2, "validation/mae": 4.0}],
    }
    record = make_study(store, asked, values=[3.0], evaluation=evaluation)
    tracking = connect(None, store)
    study_run = tracking.open_study(
        "reviews", study_id=record.study_id, run_name="r", tags={}, params={}, artifacts={}
    )
    study_run.open_trial(0, name="trial 0", params={}, tags={})
    study_run.close("FINISHED")
    run_id = study_run.run_ids[0]

    said = draw_into_run(store, record, None)

    assert said == f"drew the pictures of trial 0 into run {run_id}"
    pictures = tracking.download_artifact(run_id, "pictures", tmp_path / "downloaded")
    names = sorted(path.name for path in pictures.iterdir())
    assert names == ["curves.png", "predicted.png", "worst.html"]
    text = Outline((pictures / "worst.html").read_text(encoding="utf-8")).words
    assert "reviews:1, trial 0" in text
    assert "predicted 3.5000 off by 3.0000 actual 0.5000" in text
    assert text.endswith("Review 7: <b>&</b> 很好")


@pytest.mark.slow
def test_leaderboard_json_has_the_runs_that_mlflow_knows(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_study(store, CUSTOM, values=[1234.5, 1300.25])
    study_run = connect(None, store).open_study(
        "mine", study_id=record.study_id, run_name="r", tags={}, params={}, artifacts={}
    )
    study_run.open_trial(0, name="trial 0", params={}, tags={})
    study_run.close("FINISHED")

    show_leaderboard(record, form="json", limit=None, page=None)

    rows = json.loads(capsys.readouterr().out)
    assert [row["run_id"] for row in rows] == [study_run.run_ids[0], None]
