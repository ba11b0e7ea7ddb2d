"""Trials of one small experiment, trained together and each by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from runner import models
from runner.experiment import Experiment, Store
from runner.trial import Attempt, Decision, Ending, Lease, Report, TrialSpec, derive_seed
from runner.trial.bench import Bench, Part
from runner.trial.checkpoint import WEIGHTS
from runner.trial.finetune import fine_tune, goal_of
from runner.trial.fused import HeadEnding, HeadFeatures, HeadSetting, HeadTrial, fuse_heads
from runner.trial.modality import Batch, Moment
from runner.trial.precision import Numerics
from tests.trial.conftest import Recorder

CPU = Numerics(torch.device("cpu"), torch.float32, torch.contiguous_format)
Params = Mapping[str, Any]


@dataclass
class Listener:
    """A channel of many trials, which can be told what to answer to a report."""

    answers: Mapping[tuple[int, int], Decision] = field(default_factory=dict)
    wanted: Mapping[int, Decision] = field(default_factory=dict)
    reports: dict[int, list[Report]] = field(default_factory=dict)

    def report(self, key: Attempt, report: Report) -> Decision:
        self.reports.setdefault(key.trial, []).append(report)
        return self.answers.get((key.trial, report.step), Decision.CONTINUE)

    def decision(self, key: Attempt) -> Decision:
        return self.wanted.get(key.trial, Decision.CONTINUE)

    def end(self, key: Attempt, ending: Ending) -> None:
        raise AssertionError("the caller ends trials")


@dataclass
class Laboratory:
    """A small experiment whose trials train a head alone.

    Attributes:
        asked: The experiment.
        store: Where its caches lie.
        folder: For the trials' folders.
        numerics: How heads compute.
    """

    asked: Mapping[str, Any]
    store: Store
    folder: Path
    numerics: Numerics = CPU

    def __post_init__(self) -> None:
        self.bench = Bench(Experiment.model_validate(self.asked), self.store)
        recipe = self.bench.experiment.recipe({})
        built = self.bench.build(recipe, 0)
        cut = built.groups.count

        def features(batch: Batch) -> Tensor:
            with self.numerics.autocast():
                return models.run_prefix(built.model, batch, [cut])[cut]

        def view(epoch: int) -> Tensor:
            moment = Moment(epoch, torch.Generator(), CPU.device)
            return features(train.inputs.train_batch(all_of(train), recipe, moment=moment))

        train, validation = self.bench.train, self.bench.validation
        evaluated = validation.inputs.eval_batch(all_of(validation), recipe, device=CPU.device)
        self.features = HeadFeatures(
            torch.stack([view(epoch) for epoch in range(recipe.views or 1)]),
            train.targets,
            features(evaluated),
            validation.targets,
            validation.ids,
            train.inputs.lengths,
        )
        start = models.head_start(
            built.model, weights=self.bench.weights, seed=derive_seed(0, "head")
        )
        assert start is not None
        self.start = start

    def spec(self, number: int, params: Params, kind: str) -> TrialSpec:
        folder = self.folder / f"{kind}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return TrialSpec(Attempt(number, 0), params, seed=100 + number, folder=str(folder))

    def heads(self, settings: Sequence[Params]) -> list[HeadTrial]:
        """Trials numbered as they come."""
        specs = [self.spec(number, params, "fused") for number, params in enumerate(settings)]
        return [
            HeadTrial(
                spec,
                self.bench.experiment.recipe(dict(spec.params)),
                self.start.values(seed=derive_seed(spec.seed, "head")),
            )
            for spec in specs
        ]

    def fuse(
        self,
        heads: Sequence[HeadTrial],
        *,
        channel: Listener | None = None,
        features: HeadFeatures | None = None,
        end: Callable[[HeadEnding], None] | None = None,
    ) -> dict[int, HeadEnding]:
        """Train heads together; endings by number of the trial, in the order of their ends."""
        endings: dict[int, HeadEnding] = {}

        def note(ending: HeadEnding) -> None:
            assert ending.trial.spec.key.trial not in endings
            endings[ending.trial.spec.key.trial] = ending
            if end is not None:
                end(ending)

        setting = HeadSetting(self.bench.task, goal_of(self.bench.experiment), self.numerics)
        listener = channel or Listener()
        fuse_heads(heads, features or self.features, setting=setting, channel=listener, end=note)
        assert len(endings) == len(heads)
        return endings

    def alone(
        self, number: int, params: Params, *, bench: Bench | None = None
    ) -> tuple[list[dict[str, float]], Ending, dict[str, Tensor]]:
        """The plain loop's metrics, ending and weights of the trial of this number."""
        spec = self.spec(number, params, "alone")
        recorder = Recorder()
        ending = fine_tune(bench or self.bench, spec, Lease(slot=0), recorder)
        weights = Path(spec.folder) / WEIGHTS
        return recorder.metrics, ending, load_file(weights) if weights.exists() else {}


def all_of(part: Part) -> Tensor:
    return torch.arange(len(part))


def metrics_of(reports: Sequence[Report]) -> list[dict[str, float]]:
    """Without what the clock says."""
    return [
        {name: value for name, value in report.metrics.items() if "per_s" not in name}
        for report in reports
    ]


def losses_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """What moves by no more than the outputs do."""
    return {name: value for name, value in metrics.items() if name.endswith("loss")}


def require_equal(
    fused: HeadEnding,
    alone: tuple[list[dict[str, float]], Ending, dict[str, Tensor]],
    *,
    noise: float = 1e-5,
    are_ranks_sure: bool = True,
) -> None:
    """The same trial, but for this share of each metric, and ten times as much of each weight.

    Where ranks are not sure, examples score so alike that noise decides which comes first: then
    losses are compared alone.
    """
    metrics, ending, weights = alone
    ours = metrics_of(fused.state.reports)
    assert len(ours) == len(metrics)
    for mine, theirs in zip(ours, metrics, strict=True):
        if not are_ranks_sure:
            mine, theirs = losses_of(mine), losses_of(theirs)
        assert mine == pytest.approx(theirs, rel=noise, abs=noise / 10, nan_ok=True)
    assert fused.state.best_weights is not None
    if are_ranks_sure:
        assert fused.state.best_epoch == ending.best_step
        assert fused.state.best_value == pytest.approx(ending.value, rel=noise)
    elif fused.state.best_epoch != ending.best_step:
        return
    for name, value in fused.state.best_weights.items():
        torch.testing.assert_close(value, weights[name], rtol=10 * noise, atol=noise)
