"""Evaluates a trial's weights on the test split, the one place where that split is opened."""

from typing import Any

import torch

from runner.promotion.gate import Evaluation
from runner.promotion.weights import Candidate
from runner.trial import Bench, choose_numerics, load_weights_file, predict_outputs


def evaluate_on_test(candidate: Candidate, bench: Bench) -> tuple[Evaluation, dict[str, Any]]:
    """Results on the test part: those the gate compares, and the full report as JSON values.

    Computed in float32, which every device and the served model share.
    """
    experiment, trial = candidate.experiment, candidate.trial
    recipe = experiment.recipe(dict(trial.params))
    model = bench.build_model(recipe, trial.seed)
    model.load_state_dict(load_weights_file(candidate.weights))
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    numerics = choose_numerics(model, device, precision="float32", channels_last="auto")
    model = numerics.place(model).eval()
    part = bench.test()
    outputs = predict_outputs(
        model, part, transform=bench.transform, batch_size=64, device=numerics.device
    )
    right = (outputs.argmax(dim=1) == part.targets).float().tolist()
    evaluation = Evaluation(
        split=bench.split.fingerprint,
        metric=experiment.search.metric,
        values=bench.task.score(outputs, part.targets),
        is_maximized=experiment.search.direction == "maximize",
        quality=dict(zip(part.ids, right, strict=True)),
    )
    return evaluation, dict(bench.task.evaluate(outputs, part.targets, part.ids))
