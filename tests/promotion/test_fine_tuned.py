"""What makes two trials comparable: the same examples with the same content, not the same ids."""

import pytest

from runner import api
from runner.errors import PromotionRefused
from runner.experiment import TASK_FORMS
from tests.tiny_tasks import write_experiment

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_champion_of_other_rows_under_the_same_numbers_is_not_compared_with(home):
    form = TASK_FORMS["text_classification"]
    path = write_experiment(home, form, trials=1)
    study = api.search(path, backend="inline", show="none")
    api.promote(study.name, name="shared", say=lambda text: None)
    rows = (home / "texts.jsonl").read_text().splitlines()
    (home / "texts.jsonl").write_text("\n".join([rows[-1], *rows[:-1]]) + "\n")

    other = api.search(path, backend="inline", show="none", new=True)

    with pytest.raises(PromotionRefused, match="trained on another split"):
        api.promote(other.name, name="shared", say=lambda text: None)


def test_study_of_texts_knows_its_tokenizer_and_configuration(home):
    path = write_experiment(home, TASK_FORMS["text_regression"], trials=1)
    study = api.search(path, backend="inline", show="none")

    content = study.record.attributes["identity"]["content"]

    assert {"data", "split", "weights", "tokenizer", "configuration"} <= content.keys()
