"""Whole searches in seconds: the runner's own study over learning curves that a model predicts.

The curves are YAHPO Gym's surrogate of LCBench (2,000 multilayer perceptrons on each of 34 OpenML
tasks; arXiv 2109.03670): a folder with `model.onnx`, `config_space.json` and `encoding.json`. It
needs onnxruntime, which is no dependency of the project: `pip install onnxruntime`.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from runner.backends import SimulatedBackend
from runner.experiment import FixedParameter, FloatParameter, IntParameter, Space
from runner.study import Silent, StudyFeed, StudyRecord
from runner.study.budget import Budget
from runner.study.pruning import make_judge
from runner.study.rules import Rules
from runner.study.rungs import rungs_of
from runner.study.sampling import Sampling
from runner.study.trial_record import TrialRecord
from runner.study.waves import WaveRules
from runner.trial import Ending, Hint, Outcome, Report, TrialSpec

LONGEST = 52
METRIC = "accuracy"
# Settings whose best and median say what a search could find and what luck gives.
LOOKED_AT = 2000
_SEARCHED = ("batch_size", "learning_rate", "momentum", "weight_decay")
_SEARCHED += ("num_layers", "max_units", "max_dropout")


@dataclass(frozen=True)
class Plan:
    """One search.

    Attributes:
        sampler, pruner: As in an experiment.
        trials: How many.
        wave: How many are asked for, and trained as one job, at once.
        epochs: How long a trial trains, at most 52.
        first_rung: The epochs before a trial may be stopped; None: as a search has it by default.
        seed: The study's.
        slots: On how many the trials run.
        unevenness: An epoch takes a second, of some trials up to so much more or less.
    """

    sampler: str = "tpe"
    pruner: str = "asha"
    trials: int = 128
    wave: int = 1
    epochs: int = LONGEST
    first_rung: int | None = None
    seed: int = 0
    slots: int = 1
    unevenness: float = 0.0


@dataclass(frozen=True)
class Progress:
    """Where a search stood when a trial had ended.

    Attributes:
        epochs: Trained so far, over all trials.
        best: Best validation accuracy of a complete trial so far, a fraction; 0 before the first.
        at_s: The simulated clock.
    """

    epochs: int
    best: float
    at_s: float = 0.0


class Surrogate:
    """Predicted learning curves of one task after another.

    Args:
        folder: Where the model lies.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
        self._codes = {name: code for name, code in codes.items() if name.isdecimal()}
        ranges = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
        self._ranges = {each["name"]: each for each in ranges}
        self.tasks = tuple(sorted(self._codes, key=int))

    def space(self, epochs: int) -> Space:
        """The seven hyperparameters, in their published ranges."""
        made: dict[str, Any] = {"epochs": FixedParameter(epochs)}
        for name in _SEARCHED:
            known = self._ranges[name]
            kind = IntParameter if known["type"] == "uniform_int" else FloatParameter
            made[name] = kind(known["lower"], known["upper"], log=known["log"])
        return Space(made)

    def curves(self, task: str, settings: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Validation accuracy after each epoch, fractions, shape [settings, 52]."""
        rows = [
            (epoch, *(setting[name] for name in _SEARCHED))
            for setting in settings
            for epoch in range(1, LONGEST + 1)
        ]
        inputs = {
            "x_cat": np.full((len(rows), 1), self._codes[task], np.int32),
            "x_cont": np.array(rows, np.float32),
        }
        (predicted,) = self._session.run(None, inputs)
        return predicted[:, 1].reshape(len(settings), LONGEST) / 100

    @cache  # noqa: B019
    def scale(self, task: str, epochs: int) -> tuple[float, float]:
        """The best and the median of random settings' best accuracies within so many epochs."""
        sampling = Sampling(self.space(epochs), "random", seed=12345, direction="maximize")
        draws = [sampling._draw(0, draw).params for draw in range(LOOKED_AT)]
        found = self.curves(task, draws)[:, :epochs].max(axis=1)
        return float(found.max()), float(np.median(found))

    def regret(self, task: str, epochs: int, best: float) -> float:
        """0 for the best of all random settings, 1 for the median one; may be below 0."""
        highest, middle = self.scale(task, epochs)
        return (highest - best) / (highest - middle)


class _Curves:
    """A script of one task's trials."""

    def __init__(self, surrogate: Surrogate, task: str, plan: Plan) -> None:
        self._surrogate = surrogate
        self._task = task
        self._plan = plan
        self._backend = SimulatedBackend(self, slots=plan.slots)
        self.ended_s: list[float] = []

    def run(self, feed: StudyFeed) -> None:
        self._backend.run(feed)

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        curve = self._surrogate.curves(self._task, [spec.params])[0]
        place = random.Random(f"{self._plan.seed} {spec.key.trial}").uniform(-1, 1)
        epoch_s = 1 + self._plan.unevenness * place
        for epoch in range(1, spec.params["epochs"] + 1):
            yield epoch_s, Report(epoch, {f"validation/{METRIC}": float(curve[epoch - 1])}, 0)

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        self.ended_s.append(self._backend.now_s)
        values = [report.metrics[f"validation/{METRIC}"] for report in reports]
        return Ending(Outcome.COMPLETE, max(values), values.index(max(values)) + 1)


class _Notes:
    """In place of a logbook: what the search has found, after each trial."""

    trouble = None

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self._epochs = 0
        self._best = 0.0

    def begin(self, trial: TrialRecord) -> None: ...

    def report(self, number: int, report: Report) -> None:
        self._epochs += 1

    def keep(self, *_: object) -> dict[str, Any]:
        return {}

    def end(self, folder: Path, trial: TrialRecord, evaluation: Mapping[str, Any]) -> None:
        if trial.outcome is Outcome.COMPLETE:
            self._best = max(self._best, trial.value or 0.0)
        self.progress.append(Progress(self._epochs, self._best))


def search(surrogate: Surrogate, task: str, plan: Plan) -> list[Progress]:
    """Run one search of the runner's own feed, sampling and pruning."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler())
    notes = _Notes()
    rungs = rungs_of(plan.pruner, grace=plan.first_rung, train_examples=1, longest=plan.epochs)
    feed = StudyFeed(
        StudyRecord(Path("/nowhere"), study),
        sampling=Sampling(
            surrogate.space(plan.epochs), plan.sampler, seed=plan.seed, direction="maximize"
        ),
        judge=make_judge(rungs, name="curves", max_epochs=plan.epochs, is_maximized=True),
        budget=Budget(plan.trials, None),
        rules=Rules(
            metric=METRIC,
            seed=plan.seed,
            first=(),
            trial_time_s=None,
            max_failures=5,
            epochs_of=lambda params: int(params["epochs"]),
            waves=WaveRules(
                plan.wave,
                plan.wave,
                fuse=plan.wave,
                slots=lambda: plan.slots,
                hint_of=lambda _: Hint("kin"),
            ),
        ),
        logbook=notes,
        listener=Silent(),
    )
    curves = _Curves(surrogate, task, plan)
    curves.run(feed)
    # Others hear of endings in their order, but later.
    return [
        replace(progress, at_s=at_s)
        for progress, at_s in zip(notes.progress, curves.ended_s, strict=True)
    ]


def quicken_tpe() -> None:
    """Half the time of tpe's asks, for hundreds of searches: a function that Optuna writes in
    Python, to avoid a dependency on scipy, is scipy's. They agree to eight digits.
    """
    from optuna.samplers._tpe import _truncnorm
    from scipy.special import log_ndtr

    _truncnorm._log_ndtr = log_ndtr


def one_epoch_then_best(surrogate: Surrogate, task: str, plan: Plan, *, keep: int) -> Progress:
    """The baseline of "Is one epoch all you need?" (arXiv 2307.15422): random settings, one epoch
    each, then the best few to their end.
    """
    sampling = Sampling(
        surrogate.space(plan.epochs), "random", seed=plan.seed, direction="maximize"
    )
    draws = [sampling._draw(0, draw).params for draw in range(plan.trials)]
    curves = surrogate.curves(task, draws)[:, : plan.epochs]
    best = curves[np.argsort(-curves[:, 0])[:keep]].max()
    return Progress(plan.trials + keep * (plan.epochs - 1), float(best))
