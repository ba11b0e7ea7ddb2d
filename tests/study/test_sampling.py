"""Proposals: whole, repeatable, and the same whether or not the driver was restarted."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest

from runner.experiment import (
    ChoiceParameter,
    Comparison,
    Condition,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Space,
)
from runner.study.record import StudyRecord
from runner.study.sampling import Proposal, Sampling
from runner.trial import Ending, Outcome

# A Gaussian process costs a second an ask.
SAMPLERS = ("tpe", "random", "grid", pytest.param("gp", marks=pytest.mark.slow), "cmaes", "qmc")
NAMES = ("tpe", "random", "grid", "cmaes", "qmc")

SMALL = Space(
    {
        "optimizer": ChoiceParameter(("adamw", "sgd")),
        "batch_size": ChoiceParameter((16, 32, 64)),
        "epochs": IntParameter(2, 6, step=2),
        "momentum": FloatParameter(
            0.7, 0.9, step=0.1, when=(Condition("optimizer", Comparison.IN, ("sgd",)),)
        ),
    }
)
WIDE = Space(
    {
        "learning_rate": FloatParameter(1e-5, 1e-1, log=True),
        "weight_decay": FloatParameter(0.0, 0.5),
        "label_smoothing": FloatParameter(0.0, 0.3, step=0.1),
        "optimizer": ChoiceParameter(("adamw", "sgd")),
        "epochs": IntParameter(2, 9),
        "batch_size": IntParameter(8, 128, log=True),
        "dropout": FixedParameter(0.1),
        "momentum": FloatParameter(
            0.8, 0.99, when=(Condition("optimizer", Comparison.IN, ("sgd",)),)
        ),
        "freeze_depth": IntParameter(0, 5),
        "layer_decay": FloatParameter(
            0.6, 1.0, when=(Condition("freeze_depth", Comparison.BELOW, (5,)),)
        ),
    }
)


def space_for(sampler: str) -> Space:
    return SMALL if sampler == "grid" else WIDE


def ending_of(number: int, params: Mapping[str, Any]) -> Ending:
    """A made-up landscape with every kind of ending."""
    if number % 11 == 7:
        return Ending(Outcome.FAILED, reason="broken")
    if number % 13 == 5:
        return Ending(Outcome.OUT_OF_MEMORY, reason="too large")
    value = params.get("weight_decay", 0.2) - 0.1 * (params["optimizer"] == "sgd")
    value += abs(params["epochs"] - 4) / 10 + params.get("momentum", 0.5) / 7
    outcome = Outcome.PRUNED if number % 5 == 3 else Outcome.COMPLETE
    return Ending(outcome, value, 1)


def rounded(params: Mapping[str, Any]) -> dict[str, Any]:
    """Without what steps of 0.1 leave behind the twelfth digit."""
    return {k: round(v, 12) if isinstance(v, float) else v for k, v in params.items()}


class Driver:
    """A search of one slot that can lose its memory between any two steps."""

    def __init__(self, record: StudyRecord, sampler: str, *, seed: int = 0) -> None:
        self._record = record
        self._make = lambda: Sampling(space_for(sampler), sampler, seed=seed, direction="minimize")
        self.restart()

    def restart(self) -> None:
        self.sampling = self._make()
        for frozen in self._record.study.get_trials(deepcopy=False):
            self.sampling.learn(frozen)

    def ask(self) -> int | None:
        number = len(self._record.trials())
        if number == 0:
            proposal: Proposal | None = self.sampling.given(0, {"optimizer": "sgd"})
        else:
            proposal = self.sampling.ask(number)
        if proposal is None:
            return None
        added = self._record.add(proposal, origin="sampler", seed=number)
        self._record.begin(added)
        return added

    def finish(self, number: int) -> None:
        ending = ending_of(number, self._record.trial(number).params)
        if ending.outcome is Outcome.PRUNED:
            assert ending.value is not None
            self._record.add_rung(number, 1, ending.value)
            self.sampling.report(number, 1, ending.value)
        self._record.close(number, ending)
        self.sampling.tell(number, self._record.frozen(number))

    def run(self, trials: int, *, restart_every: int | None = None) -> list[dict[str, Any]]:
        """One trial at a time, then the last four two at a time."""
        for number in range(trials):
            if restart_every is not None and number % restart_every == 0:
                self.restart()
            if self.ask() is None:
                break
            if restart_every is not None and number % restart_every == 1:
                self.restart()
            if number < trials - 4:
                self.finish(number)
            elif number % 2 == 1:
                self.finish(number - 1)
        return [dict(trial.params) for trial in self._record.trials()]


@pytest.fixture
def driver(memory_record: Callable[[], StudyRecord]) -> Callable[..., Driver]:
    return lambda sampler, **options: Driver(memory_record(), sampler, **options)


Make = Callable[..., Driver]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ask_with_the_same_seed_gives_the_same_trials_and_another_seed_others(
    driver: Make, sampler: str
) -> None:
    trials = 14 if sampler == "gp" else 18
    first, second, other = (driver(sampler, seed=seed).run(trials) for seed in (3, 3, 4))
    assert first == second
    assert len(first) == trials
    assert (first[1:] == other[1:]) == (sampler == "grid")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ask_after_restarts_gives_the_same_trials_as_without(driver: Make, sampler: str) -> None:
    trials = 16 if sampler == "gp" else 26
    uninterrupted = driver(sampler).run(trials)
    assert driver(sampler).run(trials, restart_every=1) == uninterrupted
    assert driver(sampler).run(trials, restart_every=5) == uninterrupted


@pytest.mark.parametrize("sampler", NAMES)
def test_ask_after_a_restart_with_redrawn_settings_gives_the_same_trials(
    driver: Make, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space(
        {
            "optimizer": FixedParameter("sgd"),
            "epochs": IntParameter(1, 4),
            "momentum": FloatParameter(0.5, 0.9, step=0.1),
        }
    )
    monkeypatch.setattr("tests.study.test_sampling.space_for", lambda _: space)
    uninterrupted = driver(sampler).run(16)
    assert driver(sampler).run(16, restart_every=1) == uninterrupted
    assert driver(sampler).run(16, restart_every=3) == uninterrupted


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ask_gives_exactly_the_active_parameters_in_their_ranges(
    driver: Make, sampler: str
) -> None:
    space = space_for(sampler)
    for params in driver(sampler).run(14):
        active = {name for name in space.parameters if space.is_active(name, params)}
        assert params.keys() == active
        assert space.check_point(params) == []


@pytest.mark.parametrize("sampler", NAMES)
def test_ask_in_a_small_space_repeats_no_setting_before_all_are_used(
    driver: Make, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.study.test_sampling.space_for", lambda _: SMALL)
    size = SMALL.grid_size()
    assert size == 36
    tried = driver(sampler).run(size)
    signatures = {repr(sorted(rounded(params).items())) for params in tried}
    assert len(tried) == len(signatures) == size


@pytest.mark.parametrize("sampler", sorted(set(NAMES) - {"grid"}))
def test_ask_in_a_used_up_space_repeats_settings(
    driver: Make, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space({"optimizer": ChoiceParameter(("sgd", "adamw")), "epochs": IntParameter(1, 2)})
    monkeypatch.setattr("tests.study.test_sampling.space_for", lambda _: space)
    assert len(driver(sampler).run(8)) == 8


def test_grid_enumerates_exactly_the_active_points_once(driver: Make) -> None:
    tried = driver("grid").run(100)
    there = [sorted(rounded(params).items()) for params in tried]
    assert sorted(map(repr, there)) == sorted(repr(sorted(p.items())) for p in SMALL.grid())


def test_grid_leaves_out_a_setting_that_was_given(driver: Make) -> None:
    made = driver("grid")
    given = {"optimizer": "adamw", "batch_size": 32, "epochs": 4}
    proposal = made.sampling.given(0, given)
    assert proposal.params == given
    made._record.add(proposal, origin="first:0", seed=0)
    assert len(made.run(100)) == 36


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_given_keeps_the_values_given_and_samples_the_rest(driver: Make, sampler: str) -> None:
    made = driver(sampler)
    made.run(3)
    proposal = made.sampling.given(3, {"optimizer": "sgd", "epochs": 4})
    assert proposal.params["optimizer"] == "sgd"
    assert proposal.params["epochs"] == 4
    space = space_for(sampler)
    assert proposal.params.keys() >= {"momentum"}
    assert space.check_point(proposal.params) == []
    assert "fixed_params" not in proposal.system_attrs


def test_tpe_ignores_failed_trials(memory_record: Callable[[], StudyRecord]) -> None:
    """However many fail, what is proposed is what it would be had they not been."""
    space = Space({"learning_rate": FloatParameter(0.0, 1.0)})

    def proposals(*, failures: int) -> Any:
        sampling = Sampling(space, "tpe", seed=0, direction="minimize")
        for number, index in zip(range(20), itertools.count(), strict=False):
            frozen = optuna.trial.create_trial(
                params={"learning_rate": index / 20},
                distributions={"learning_rate": optuna.distributions.FloatDistribution(0, 1)},
                value=(index / 20 - 0.3) ** 2,
            )
            frozen.number = number
            sampling.learn(frozen)
        for number in range(failures):
            failed = optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL,
                params={"learning_rate": 0.31},
                distributions={"learning_rate": optuna.distributions.FloatDistribution(0, 1)},
            )
            failed.number = 20 + number
            sampling.learn(failed)
        proposal = sampling.ask(50)
        assert proposal is not None
        return proposal.params

    assert proposals(failures=0) == proposals(failures=9)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", pytest.param("gp", marks=pytest.mark.slow)])
def test_out_of_memory_trials_do_not_break_a_sampler_that_models(
    driver: Make, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mostly_too_large(number: int, params: Mapping[str, Any]) -> Ending:
        if params["batch_size"] > 24:
            return Ending(Outcome.OUT_OF_MEMORY)
        return Ending(Outcome.COMPLETE, params["weight_decay"], 1)

    monkeypatch.setattr("tests.study.test_sampling.ending_of", mostly_too_large)
    made = driver(sampler)
    tried = made.run(16 if sampler == "gp" else 40)
    states = {trial.outcome for trial in made._record.trials()[:-4]}
    assert states == {Outcome.OUT_OF_MEMORY, Outcome.COMPLETE}
    if sampler == "tpe":
        early = sum(params["batch_size"] > 24 for params in tried[:12])
        late = sum(params["batch_size"] > 24 for params in tried[-12:])
        assert late < early


def test_ask_says_nothing_about_its_own_sampling(
    driver: Make, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    try:
        for sampler in NAMES:
            driver(sampler).run(14, restart_every=2)
    finally:
        optuna.logging.disable_propagation()
    assert [record.getMessage() for record in caplog.records] == []
    assert [str(warning.message) for warning in recwarn] == []


def test_report_of_a_step_again_after_a_restart_keeps_the_first(driver: Make) -> None:
    made = driver("tpe")
    number = made.ask()
    assert number is not None
    for value in (0.5, 0.7):
        made._record.add_rung(number, 1, value)
        made.sampling.report(number, 1, value)
        made.restart()
    assert made._record.trial(number).rungs == {1: 0.5}
