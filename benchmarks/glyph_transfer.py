"""Whether the shipped glyph weights are worth shipping: fine-tuning against training from scratch.

    python benchmarks/glyph_transfer.py [seeds]

Runs experiments/resnet_cats.yaml with fixed settings over several seeds (each with its own split,
head and order) and prints test accuracy at the best validation epoch: mean and 95 % interval
(Student's t over the seeds). From scratch gets its own best learning rate of three. The figures in
runner/models/bundled/README.md come from here.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from scipy import stats

from runner.experiment import Store, load_experiment
from runner.trial import (
    Attempt,
    FineTune,
    Job,
    Lease,
    Outcome,
    Printed,
    TrialSpec,
    choose_numerics,
    load_weights_file,
    predict,
    run_alone,
)

EPOCHS = 6
SETTINGS = [
    *(("bundled:glyphs", rate, depth) for rate in (3e-3, 1e-2) for depth in (0, 2, 4, "max")),
    *(("none", rate, 0) for rate in (1e-3, 3e-3, 1e-2)),
]


def test_accuracy(weights: str, rate: float, depth: int | str, seed: int, store: Store) -> float:
    """Train once; accuracy on the test part of that seed's split."""
    changes = [
        f"model.weights={weights}",
        f"data.split.seed={seed}",
        f"train.epochs={EPOCHS}",
        f"train.learning_rate={rate}",
        f"train.freeze_depth={depth}",
    ]
    objective = FineTune(load_experiment("resnet_cats", changes), store)
    folder, lease = mkdtemp(), Lease(slot=0)
    spec = TrialSpec(Attempt(0, 0), {}, seed, folder)
    ending = run_alone(objective, Job((spec,)), lease, Printed(lambda text: None))
    if ending.outcome is not Outcome.COMPLETE:
        raise RuntimeError(f"{ending.outcome}: {ending.reason}")
    bench = objective.bench(lease)
    recipe = bench.experiment.train
    kept = bench.build_kept(recipe, seed, load_weights_file(Path(folder) / "weights.safetensors"))
    numerics = choose_numerics(kept, "cpu", precision="float32", channels_last="auto")
    model = numerics.place(kept)
    predictions = predict(
        bench,
        lambda batch: bench.modality.forward(model, batch, numerics),
        bench.test(),
        recipe=recipe,
        batch_size=64,
        device=numerics.device,
    )
    return bench.task.score(predictions)["accuracy"]


def interval(values: list[float]) -> str:
    """Mean and half-width of the 95 % interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def main() -> None:
    """Measure and print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    store = Store(Path(mkdtemp()))
    print("| weights | learning rate | freeze depth | test accuracy |\n|---|---|---|---|")
    for weights, rate, depth in SETTINGS:
        values = [test_accuracy(weights, rate, depth, seed, store) for seed in range(seeds)]
        print(f"| {weights} | {rate:g} | {depth} | {interval(values)} |", flush=True)


if __name__ == "__main__":
    main()
