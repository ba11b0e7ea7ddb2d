"""Which task an experiment gets, and from what."""

import subprocess
import sys

import pytest

from runner.experiment import TASK_FORMS, LabelKind
from runner.tasks import make_task
from tests.tasks.toys import CLASSES, toy_source


@pytest.mark.parametrize(
    ("name", "kind", "outputs"),
    [
        ("image_classification", LabelKind.CLASS, 3),
        ("text_multilabel", LabelKind.CLASSES, 3),
        ("image_regression", LabelKind.NUMBER, 1),
        ("token_classification", LabelKind.TAGS, 5),
    ],
)
def test_make_task_has_a_head_for_the_sources_labels(
    name: str, kind: LabelKind, outputs: int
) -> None:
    task = make_task(TASK_FORMS[name], toy_source(kind), range(6))
    assert (task.form.name, task.classes, task.outputs) == (name, CLASSES[kind], outputs)


def test_make_task_scales_numbers_by_the_training_part_alone() -> None:
    source = toy_source(LabelKind.NUMBER, (1.0, 1e6, 3.0, -1e6))
    facts = make_task(TASK_FORMS["image_regression"], source, (0, 2)).facts()
    assert (facts["mean"], facts["std"]) == (2.0, 1.0)


def test_make_task_for_labels_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="text_multilabel learns classes, toys has class$"):
        make_task(TASK_FORMS["text_multilabel"], toy_source(LabelKind.CLASS), range(6))


def test_importing_the_room_does_not_import_scikit_learn() -> None:
    # It takes about as long to import as torch; a worker needs it after its first epoch.
    code = "import sys, runner.tasks; print({'sklearn', 'nervaluate'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
