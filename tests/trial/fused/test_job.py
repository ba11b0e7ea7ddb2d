"""A job of several head-only trials ends each of them as a job of its own would."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runner.experiment import TASK_FORMS, Experiment, Store, load_experiment
from runner.trial import Attempt, Decision, FineTune, Job, Lease, Outcome, TrialSpec
from runner.trial.checkpoint import WEIGHTS
from tests.tiny_tasks import write_experiment
from tests.trial.fused.laboratory import losses_of

DIGITS = {
    "name": "together",
    "data": {"source": "bundled", "name": "digits", "size": 12, "image_size": 32},
    "model": {
        "name": "resnet10t",
        "weights": "bundled:glyphs",
        "arguments": {"channels": [24, 48, 96, 192], "stem_width": 16},
    },
    "train": {
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.01,
        "freeze_depth": "max",
        "augmentation": "none",
    },
}
PARAMS = [
    {"learning_rate": 0.03},
    {"learning_rate": 0.003, "optimizer": "sgd", "batch_size": 32},
    {"epochs": 3, "dropout": 0.3, "weight_decay": 0.5},
]


class Many:
    """A channel of many trials."""

    def __init__(self, answers: dict[tuple[int, int], Decision] | None = None) -> None:
        self.answers = answers or {}
        self.reports: dict[int, list] = {}
        self.endings: dict[int, object] = {}
        self.wanted = Decision.CONTINUE

    def report(self, key, report):
        self.reports.setdefault(key.trial, []).append(report)
        return self.answers.get((key.trial, report.step), Decision.CONTINUE)

    def decision(self, key):
        return self.wanted

    def end(self, key, ending):
        assert key.trial not in self.endings
        self.endings[key.trial] = ending

    def metrics(self, trial):
        return [
            {n: v for n, v in report.metrics.items() if "per_s" not in n}
            for report in self.reports[trial]
        ]


def specs_in(folder: Path, params: list[dict]) -> tuple[TrialSpec, ...]:
    return tuple(
        TrialSpec(Attempt(n, 0), dict(each), seed=40 + n, folder=str(folder / str(n)))
        for n, each in enumerate(params)
    )


def run(asked: dict, store: Store, specs, *, together: bool, channel: Many | None = None) -> Many:
    channel = channel or Many()
    objective = FineTune(Experiment.model_validate(asked), store)
    jobs = [Job(tuple(specs))] if together else [Job((spec,)) for spec in specs]
    for job in jobs:
        objective.run(job, Lease(slot=0), channel)
    return channel


def require_equal(one: Many, other: Many, specs, others, *, are_ranks_sure=True) -> None:
    for number, (spec, alone) in enumerate(zip(specs, others, strict=True)):
        for ours, theirs in zip(one.metrics(number), other.metrics(number), strict=True):
            if not are_ranks_sure:
                ours, theirs = losses_of(ours), losses_of(theirs)
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
        if one.endings[number].best_step != other.endings[number].best_step:
            assert not are_ranks_sure
            continue
        ours, theirs = (load_file(Path(each.folder) / WEIGHTS) for each in (spec, alone))
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(ours[n], theirs[n], rtol=1e-3, atol=1e-5) for n in ours)


def test_trials_of_a_job_equal_jobs_of_their_own(store, tmp_path):
    specs, others = specs_in(tmp_path / "a", PARAMS), specs_in(tmp_path / "b", PARAMS)

    one = run(DIGITS, store, specs, together=True)
    other = run(DIGITS, store, others, together=False)

    require_equal(one, other, specs, others)
    assert [e.notes["trained_together"] for e in one.endings.values()] == [3, 3, 3]
    assert "trained_together" not in other.endings[0].notes
    for number in range(3):
        assert one.endings[number].outcome is Outcome.COMPLETE
        assert one.endings[number].value == pytest.approx(other.endings[number].value, abs=1e-4)
        assert one.endings[number].notes["reuse"] == "features at the head"


@pytest.mark.parametrize("task", ["text_classification", "text_multilabel", "text_regression"])
def test_trials_on_texts_of_a_job_equal_jobs_of_their_own(store, tmp_path, task):
    asked = load_experiment(str(write_experiment(tmp_path, TASK_FORMS[task]))).resolved()
    asked["train"] |= {"freeze_depth": "max", "epochs": 2}
    specs, others = specs_in(tmp_path / "a", PARAMS), specs_in(tmp_path / "b", PARAMS)

    one = run(asked, store, specs, together=True)
    other = run(asked, store, others, together=False)

    # A tiny encoder of random weights hardly tells texts apart: noise decides their order.
    require_equal(one, other, specs, others, are_ranks_sure=False)
    assert one.endings[0].notes["trained_together"] == 3


def test_trial_that_is_stopped_or_fails_leaves_the_others_as_they_are(store, tmp_path):
    params = [*PARAMS, {"learning_rate": 1e38, "optimizer": "sgd"}]
    specs, others = specs_in(tmp_path / "a", params), specs_in(tmp_path / "b", params[1:3])
    channel = Many({(0, 1): Decision.STOP})

    run(DIGITS, store, specs, together=True, channel=channel)
    run(DIGITS, store, [*others], together=False, channel=(alone := Many()))

    assert channel.endings[0].outcome is Outcome.PRUNED
    assert channel.endings[3].outcome is Outcome.DIVERGED
    assert "the training loss became" in channel.endings[3].reason
    assert channel.endings[1].outcome is channel.endings[2].outcome is Outcome.COMPLETE
    assert len(alone.endings) == 2


def test_trials_whose_features_do_not_fit_run_one_after_the_other(store, tmp_path):
    asked = {**DIGITS, "reuse": {"gib": 1e-6}}

    channel = run(asked, store, specs_in(tmp_path, PARAMS[:2]), together=True)

    assert [e.outcome for e in channel.endings.values()] == [Outcome.COMPLETE] * 2
    assert all(
        e.notes["reuse"].startswith("plain: features need") for e in channel.endings.values()
    )


def test_trials_told_to_leave_before_they_begin_are_paused(tmp_path):
    channel = Many()
    channel.wanted = Decision.PAUSE

    run(
        DIGITS,
        Store(tmp_path / "store"),
        specs_in(tmp_path, PARAMS),
        together=True,
        channel=channel,
    )

    assert [ending.outcome for ending in channel.endings.values()] == [Outcome.PAUSED] * 3


def test_trial_that_fails_in_turn_does_not_fail_its_company(store, tmp_path):
    asked = {**DIGITS, "reuse": {"features": "off"}}
    params = [{"learning_rate": 1e38, "optimizer": "sgd"}, {"learning_rate": 0.01}]

    channel = run(asked, store, specs_in(tmp_path, params), together=True)

    assert channel.endings[0].outcome is Outcome.DIVERGED
    assert channel.endings[1].outcome is Outcome.COMPLETE
