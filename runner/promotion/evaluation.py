"""Evaluates a trial's weights on the test split, the one place where that split is opened."""

from typing import Any

import torch
from torch import Tensor

from runner.experiment import LabelKind
from runner.promotion.gate import Evaluation
from runner.promotion.weights import Candidate
from runner.tasks import Predictions
from runner.trial import (
    Batch,
    Bench,
    choose_numerics,
    load_weights_file,
    predict,
    with_shrinking_micro_batch,
)

_MOST_AT_A_TIME = 64


def evaluate_on_test(candidate: Candidate, bench: Bench) -> tuple[Evaluation, dict[str, Any]]:
    """Results on the test part: those the gate compares, and the full report as JSON values.

    Computed in float32, which every device and the served model share.
    """
    experiment, trial = candidate.experiment, candidate.trial
    recipe = experiment.recipe(dict(trial.params))
    kept = bench.build_kept(recipe, trial.seed, load_weights_file(candidate.weights))
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    numerics = choose_numerics(kept, device, precision="float32", channels_last="auto")
    model = numerics.place(kept).eval()

    def forward(batch: Batch) -> Tensor:
        return bench.modality.forward(model, batch, numerics)

    part = bench.test()

    def run(batch_size: int) -> Predictions:
        return predict(
            bench, forward, part, recipe=recipe, batch_size=batch_size, device=numerics.device
        )

    # What fitted in training fits here, where nothing but outputs is kept; else it halves.
    fitted = 2 * int(trial.notes.get("micro_batch", _MOST_AT_A_TIME))
    predictions = with_shrinking_micro_batch(min(_MOST_AT_A_TIME, fitted), run)
    evaluation = Evaluation(
        split=bench.split.fingerprint,
        metric=experiment.metric,
        values=bench.task.score(predictions),
        is_maximized=experiment.direction == "maximize",
        quality=bench.task.quality(predictions),
        labels=bench.task.form.labels or LabelKind.CLASS,
    )
    return evaluation, bench.task.evaluate(predictions)
