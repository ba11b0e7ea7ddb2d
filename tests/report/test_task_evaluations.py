"""What every task reports can be drawn, whatever the outputs."""

import json
from pathlib import Path

import pytest
import torch

from runner.experiment import LabelKind, Modality, TaskForm
from runner.report import draw_pictures
from tests.tasks.toys import FORMS, noise, predictions_of, toy_task

OWN = {
    LabelKind.CLASS: "confusion.png",
    LabelKind.CLASSES: "labels.png",
    LabelKind.NUMBER: "predicted.png",
    LabelKind.TAGS: "entities.png",
}


# Pictures of images are drawn in test_pictures; an evaluation is the same for both.
TEXT_FORMS = [form for form in FORMS if form.modality is Modality.TEXT]


@pytest.fixture(params=TEXT_FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> TaskForm:
    found: TaskForm = request.param
    return found


def drawn(form: TaskForm, folder: Path, *, is_nan: bool) -> set[str]:
    """Names of the files that are drawn of a task's own evaluation, written and read back."""
    task, targets, ids = toy_task(form)
    made = noise(task, targets)
    if is_nan:
        made = torch.full_like(made, torch.nan)
    evaluation = json.loads(json.dumps(task.evaluate(predictions_of(task, made, targets, ids))))

    def show(example: str) -> str | tuple[str, ...]:
        words = tuple(f"word{i}" for i in range(20))
        return words if form.labels is LabelKind.TAGS else " ".join(words)

    return {path.name for path in draw_pictures(evaluation, folder, show=show, title="t")}


def test_draw_pictures_of_a_tasks_own_evaluation(form: TaskForm, tmp_path: Path) -> None:
    assert form.labels is not None
    assert drawn(form, tmp_path, is_nan=False) == {OWN[form.labels], "worst.html"}


def test_draw_pictures_of_outputs_that_are_not_numbers_do_not_fail(
    form: TaskForm, tmp_path: Path
) -> None:
    assert form.labels is not None
    assert OWN[form.labels] in drawn(form, tmp_path, is_nan=True)
