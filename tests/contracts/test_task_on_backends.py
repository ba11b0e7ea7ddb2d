"""Every task, on every backend: search, prune, resume, promote, predict, from the public verbs."""

import json

import pytest
from safetensors.torch import load_file, save_file

from runner import api
from runner.errors import PromotionRefused
from runner.experiment import TASK_FORMS, LabelKind, Store
from runner.promotion import Form, InputFile
from runner.promotion.looks import count_looks
from runner.study import read_study
from runner.study.feed import StudyFeed
from runner.tracking import RunStatus, connect, read_trials
from runner.trial import Decision, training
from tests.tiny_tasks import example_inputs, write_experiment

FORMS = [form for form in TASK_FORMS.values() if form.labels is not None]
# One of each modality and shape of target: what goes on does not look further.
SOME = [TASK_FORMS[n] for n in ("image_regression", "text_multilabel", "token_classification")]
NAMES = [form.name for form in FORMS]
pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_task_in_this_process_is_searched_promoted_and_predicts(form, home):
    study = api.search(write_experiment(home, form), backend="inline", show="none")

    _require_searched(study, form)
    promotion = api.promote(study.name, say=lambda text: None)
    assert set(promotion.test) == set(form.metrics)
    assert promotion.interval.low <= promotion.interval.value <= promotion.interval.high
    inputs = example_inputs(home, form)
    rows = api.predict(study.name, inputs, say=lambda text: None)
    _require_answers(form, rows)
    by_trial = api.predict(study.name, inputs, trial=promotion.trial, say=lambda text: None)
    assert [_answer(form, row) for row in by_trial] == [_answer(form, row) for row in rows]


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_task_in_worker_processes_has_the_same_trials(form, home, monkeypatch):
    path = write_experiment(home, form)
    here = api.search(path, backend="inline", show="none")
    monkeypatch.setenv("RUNNER_HOME", str(home / "other"))
    there = api.search(path, backend="local", show="none")

    assert [t.params for t in there.trials] == [t.params for t in here.trials]
    assert [t.value for t in there.trials] == [t.value for t in here.trials]
    _require_searched(there, form)


@pytest.mark.parametrize("form", SOME, ids=lambda form: form.name)
def test_task_prunes_weak_trials_and_marks_them(form, home):
    # Five that learn, which the median pruner wants to have seen; then one that stands still.
    rates = [3e-3, 5e-3, 1e-2, 4e-3, 6e-3, 1e-9]
    space = {"learning_rate": {"choice": rates}}
    first = [{"learning_rate": rate} for rate in rates]
    path = write_experiment(
        home, form, pruner="median", trials=6, space=space, first=first, metric="loss"
    )

    study = api.search(path, backend="inline", show="none")

    assert study.trials[-1].state == "pruned"
    assert study.trials[-1].value is not None
    tracking = connect(None, Store.default())
    for run, trial in zip(read_trials(tracking, study.record.study_id), study.trials, strict=True):
        expected = RunStatus.KILLED if trial.state == "pruned" else RunStatus.FINISHED
        assert run.status is expected
        assert run.tags["runner.outcome"] == trial.state


@pytest.mark.parametrize("form", SOME, ids=lambda form: form.name)
def test_task_interrupted_after_an_epoch_goes_on_and_ends_the_same(form, home, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_FROM_S", 0.0)
    path = write_experiment(home, form, trials=1)
    whole = api.search(path, backend="inline", show="none")
    monkeypatch.setenv("RUNNER_HOME", str(home / "other"))
    report = StudyFeed.report

    def interrupted(self, key, report_of_epoch):
        decision = report(self, key, report_of_epoch)
        return Decision.PAUSE if report_of_epoch.step == 1 else decision

    with monkeypatch.context() as patch:
        patch.setattr(StudyFeed, "report", interrupted)
        paused = api.search(path, backend="inline", show="none")
        assert [trial.state for trial in paused.trials] == ["waiting (paused)"]

    resumed = api.search(path, backend="inline", show="none")

    assert [trial.state for trial in resumed.trials] == ["complete"]
    assert resumed.trials[0].value == whole.trials[0].value


def test_adapters_are_searched_and_promoted_in_both_forms(home):
    form = TASK_FORMS["text_classification"]
    space = {
        "adapter": {"choice": ["lora", "none"]},
        "lora_rank": {"choice": [2, 4], "when": {"adapter": "lora"}},
        "lora_targets": {"choice": ["attention", "linear"], "when": {"adapter": "lora"}},
        "learning_rate": {"float": [3e-3, 3e-2], "log": True},
    }
    first = [
        {"adapter": "lora", "lora_rank": 4, "lora_targets": "linear", "learning_rate": 1e-2},
        {"adapter": "none", "learning_rate": 1e-2},
    ]
    path = write_experiment(home, form, space=space, first=first, trials=3)
    study = api.search(path, backend="inline", show="none")
    assert study.trials[0].params["lora_rank"] == 4
    assert "lora_rank" not in study.trials[1].params

    answers = []
    for shape in Form:
        name = f"tiny_{shape}"
        api.promote(study.name, trial=0, name=name, form=shape, say=lambda text: None)
        answers.append(api.predict(name, example_inputs(home, form), say=lambda text: None))
    for merged, alone in zip(*answers, strict=True):
        assert merged["probability"] == pytest.approx(alone["probability"], abs=1e-5)


@pytest.mark.parametrize("asked", ["train.adapter=lora", "train.freeze_depth=max"])
def test_trial_whose_base_has_changed_is_refused_without_a_look(home, asked):
    """Fails where only adapters are looked at: of other trials the head alone may be kept."""
    form = TASK_FORMS["text_classification"]
    asked = [asked, "train.epochs=1"]
    path = write_experiment(home, form, trials=1)
    study = api.search(path, overrides=asked, backend="inline", show="none")
    base = home / "encoder" / "model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(base).items()}, base)

    with pytest.raises(PromotionRefused, match="trained beside other weights than model.weights"):
        api.promote(study.name, say=lambda text: None)
    split = study.record.attributes["identity"]["content"]["split"]
    assert count_looks(connect(None, Store.default()), split) == 0
    with pytest.raises(PromotionRefused, match="trained beside other weights than model.weights"):
        api.predict(study.name, ["a dull plot"], trial=0, say=lambda text: None)


def test_tokenizer_that_has_changed_is_not_tested_with(home):
    form = TASK_FORMS["text_classification"]
    path = write_experiment(home, form, trials=1)
    study = api.search(path, overrides=["train.epochs=1"], backend="inline", show="none")
    file = home / "encoder" / "tokenizer.json"
    file.write_text(file.read_text().replace('"lowercase": true', '"lowercase": false'))

    with pytest.raises(PromotionRefused, match="the tokenizer of the model is no longer"):
        api.promote(study.name, say=lambda text: None)


def test_texts_that_have_changed_under_their_line_numbers_are_not_tested_on(home):
    form = TASK_FORMS["text_classification"]
    path = write_experiment(home, form, trials=1)
    study = api.search(path, overrides=["train.epochs=1"], backend="inline", show="none")
    texts = home / "texts.jsonl"
    texts.write_text(texts.read_text().replace("film", "drama"))

    with pytest.raises(PromotionRefused, match="the data are no longer those the study was"):
        api.promote(study.name, say=lambda text: None)
    split = study.record.attributes["identity"]["content"]["split"]
    assert count_looks(connect(None, Store.default()), split) == 0
    with pytest.raises(PromotionRefused, match="classes and scale of the answers may be others"):
        api.predict(study.name, ["a dull plot"], trial=0, say=lambda text: None)


def test_texts_of_a_file_are_predicted_in_its_order(home):
    form = TASK_FORMS["text_classification"]
    study = api.search(write_experiment(home, form, trials=1), backend="inline", show="none")
    api.promote(study.name, say=lambda text: None)
    lines = ["a dull plot", "a great film by Maria and a story of a scene", "awful"]
    (home / "new.txt").write_text("\n".join(lines))

    rows = api.predict(study.name, InputFile(home / "new.txt"), say=lambda text: None)

    assert [row["text"] for row in rows] == lines


def _require_searched(study: api.Study, form) -> None:
    assert [trial.state for trial in study.trials] == ["complete"] * 3
    found = sorted(read_study(Store.default(), study.name).folder.rglob("evaluation.json"))
    assert len(found) == 3
    for path in found:
        evaluation = json.loads(path.read_text())
        assert set(evaluation["metrics"]) == set(form.metrics)
        assert evaluation["task"] == form.name
    tracking = connect(None, Store.default())
    best = study.best
    assert best is not None
    for run in read_trials(tracking, study.record.study_id):
        for metric in form.metrics:
            assert tracking.metric_history(run.run_id, f"validation/{metric}")
        if run.number == best.number:
            names = {f.path for f in tracking.client.list_artifacts(run.run_id, "pictures")}
            assert any("curves" in name for name in names)
            assert len(names) >= 2


def _require_answers(form, rows) -> None:
    assert len(rows) == 2
    for row in rows:
        answer = _answer(form, row)
        if form.labels is LabelKind.CLASS:
            assert 0 <= row["probability"] <= 1
            assert isinstance(answer, str)
        elif form.labels is LabelKind.NUMBER:
            assert -100 < answer < 200
        elif form.labels is LabelKind.TAGS:
            assert len(answer) == len(row["text"].split())


def _answer(form, row):
    keys = {
        LabelKind.CLASS: "label",
        LabelKind.CLASSES: "labels",
        LabelKind.NUMBER: "prediction",
        LabelKind.TAGS: "tags",
    }
    value = row[keys[form.labels]]
    return list(value) if form.labels is LabelKind.TAGS else value
