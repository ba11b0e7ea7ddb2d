"""Asking for the next trial's hyperparameters, whole and repeatable.

Optuna's samplers run on a study in memory that mirrors the durable one. Each ask has a sampler
seeded from (study's seed, trial number), so what it gives depends on the seed, the number and
the trials told before it, and not on whether the driver was restarted in between. The caller
writes the result to the durable study in one go.
"""

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from runner.experiment import (
    ChoiceParameter,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
)
from runner.trial import Segment, derive_seed

if TYPE_CHECKING:
    import optuna

    from runner.study.record import StudyRecord

# How often a setting that has already been tried is drawn again before it is accepted: small
# spaces of choices would otherwise burn their budget on repeats.
REDRAWS = 10
# A space of no more settings than this is listed, to find one that is left when redraws do not.
MAX_LISTED = 1000
# Those that log what they think of a space; to silence the log costs half a millisecond.
_TALKATIVE = frozenset({"gp", "cmaes", "qmc"})
# A sampler's own bookkeeping travels in the trial under this system attribute.
STATE_ATTRIBUTE = "runner:sampler_state"
MEMORY_CONSTRAINT = "memory"
# Trials that a sampler with a model draws at random before it has one: Optuna's own number for
# tpe and gp; cmaes begins to model with its second trial.
STARTUP = {"tpe": 10, "gp": 10, "cmaes": 1}


@dataclass(frozen=True)
class Proposal:
    """A trial to be written to the study in one go.

    Attributes:
        params: Values by name; parameters not in use are left out.
        distributions: Optuna's distribution of each.
        system_attrs: What the sampler wants to remember.
        segment: The part of a longer training that it is; None: a whole one.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, "optuna.distributions.BaseDistribution"]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    segment: Segment | None = None


class Sampling:
    """Proposes trials over a space, and learns from those that are told.

    Args:
        space: Bound to its model.
        sampler: tpe, random, grid, gp, cmaes or qmc.
        seed: The study's.
        direction: "maximize" or "minimize".

    Attributes:
        exhausted: What is said when there is nothing more to propose.
    """

    exhausted = "every setting of the grid has been tried"

    def __init__(self, space: Space, sampler: str, *, seed: int, direction: str) -> None:
        from runner.study.history import mirror_study

        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._mirror = mirror_study(direction)
        self._live: dict[int, optuna.Trial] = {}
        self._seen: set[str] = set()
        self._left = _listed(space)
        self._points = space.grid() if sampler == "grid" else iter(())

    def blind(self, asked: int) -> int:
        """How many of the next proposals depend on no result, so that waiting for any is vain.

        Args:
            asked: Trials that have been asked for.
        """
        if self._sampler not in STARTUP:
            return sys.maxsize
        return max(0, STARTUP[self._sampler] - asked)

    def is_due(self, asked: int) -> bool:
        """Whether more trials may be asked for when none waits; see `Population`."""
        return True

    def tidy(self, record: "StudyRecord") -> None:
        """Remove what no trial to come will need; see `Population`."""

    def learn(self, trial: "optuna.trial.FrozenTrial") -> None:
        """Take over a trial of the durable study, in the order of their numbers.

        One that waits to be continued counts as running, as it did before.
        """
        import optuna

        from runner.study.history import Told

        state = dict(trial.system_attrs.get(STATE_ATTRIBUTE, {}))
        self._use(trial.params)
        for _ in range(state.get("discarded", 0)):
            # Some samplers' random numbers depend on how many trials there are.
            failed = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
            self._mirror.add_trial(failed)
        for key, value in state.get("study", {}).items():
            self._mirror._storage.set_study_system_attr(self._mirror._study_id, key, value)
        running = optuna.trial.TrialState.RUNNING
        told = Told(
            number=-1,
            trial_id=-1,
            state=trial.state if trial.state.is_finished() else running,
            params=dict(trial.params),
            distributions=dict(trial.distributions),
            user_attrs={},
            system_attrs=dict(trial.system_attrs),
            intermediate_values=dict(trial.intermediate_values),
            value=trial.value,
            datetime_start=None,
            datetime_complete=None,
        )
        trial_id = self._mirror._storage.create_new_trial(self._mirror._study_id, told)
        if not trial.state.is_finished():
            self._live[trial.number] = optuna.Trial(self._mirror, trial_id)

    def ask(self, number: int) -> Proposal | None:
        """The next trial's proposal; None when a grid is used up."""
        if self._sampler == "grid":
            point = next((p for p in self._points if _signature(p) not in self._seen), None)
            return None if point is None else self._keep(self._draw(number, 0, point))
        is_used_up = self._left is not None and not self._left
        for draw in range(0 if is_used_up else REDRAWS):
            proposal = self._draw(number, draw)
            if _signature(proposal.params) not in self._seen:
                return self._keep(proposal, discarded=draw)
            self._forget(number)
        proposal = self._draw(number, REDRAWS, self._one_left(number))
        return self._keep(proposal, discarded=0 if is_used_up else REDRAWS)

    def given(self, number: int, params: Mapping[str, Any]) -> Proposal:
        """The proposal for a setting that a person gave; what it leaves out is sampled."""
        return self._keep(self._draw(number, 0, self._space.as_point(params)))

    def report(self, number: int, step: int, value: float) -> None:
        """A rung's value, which samplers use for pruned trials; one already there stays."""
        if number not in self._live:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._live[number].report(value, step)

    def tell(self, number: int, trial: "optuna.trial.FrozenTrial") -> None:
        """A trial has ended, as the durable study has it."""
        live = self._live.pop(number, None)
        if live is None:
            return
        for key, value in trial.constraints.items():
            live.set_constraint(key, value)
        values = trial.values if trial.value is not None else None
        self._mirror._storage.set_trial_state_values(live._trial_id, trial.state, values)

    def _use(self, params: Mapping[str, Any]) -> None:
        """Remember that a setting has been tried."""
        signature = _signature(params)
        self._seen.add(signature)
        if self._left is not None:
            self._left.pop(signature, None)

    def _one_left(self, number: int) -> Mapping[str, Any] | None:
        """A setting of a small space that no trial has had; None if none is known."""
        if not self._left:
            return None
        return list(self._left.values())[derive_seed(self._seed, "left", number) % len(self._left)]

    def _keep(self, proposal: Proposal, *, discarded: int = 0) -> Proposal:
        """A proposal as it is given out, with what a restarted driver must know."""
        self._use(proposal.params)
        if not discarded:
            return proposal
        state = {**proposal.system_attrs.get(STATE_ATTRIBUTE, {}), "discarded": discarded}
        attrs = {**proposal.system_attrs, STATE_ATTRIBUTE: state}
        return Proposal(proposal.params, proposal.distributions, attrs)

    def _draw(self, number: int, draw: int, given: Mapping[str, Any] | None = None) -> Proposal:
        study = self._mirror
        before = self._study_attributes()
        with _without_advice(self._sampler):
            study.sampler = self._make_sampler(derive_seed(self._seed, "ask", number, draw))
            if given is not None:
                study.enqueue_trial(dict(given))
            trial = study.ask()
            params = self._suggest_all(trial)
        self._live[number] = trial
        frozen = study._storage.get_trial(trial._trial_id)
        after = {k: v for k, v in self._study_attributes().items() if before.get(k) != v}
        attrs = {k: v for k, v in frozen.system_attrs.items() if k != "fixed_params"}
        if after:
            attrs[STATE_ATTRIBUTE] = {"study": after}
        return Proposal(params, dict(frozen.distributions), attrs)

    def _study_attributes(self) -> dict[str, Any]:
        # Where a quasi-random sampler keeps its place in the sequence.
        return dict(self._mirror._storage.get_study_system_attrs(self._mirror._study_id))

    def _forget(self, number: int) -> None:
        """Samplers ignore failed trials, so a discarded draw leaves no trace."""
        import optuna

        self._mirror.tell(self._live.pop(number), state=optuna.trial.TrialState.FAIL)

    def _suggest_all(self, trial: "optuna.Trial") -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        for name, parameter in self._space.parameters.items():
            if self._space.is_active(name, chosen):
                chosen[name] = _suggest(trial, name, parameter)
        return chosen

    def _make_sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        from optuna import samplers

        independent = samplers.RandomSampler(seed=seed)
        if self._sampler == "tpe":
            # Joint model of the parameters that are in use together.
            has_conditions = any(p.when for p in self._space.parameters.values())
            return samplers.TPESampler(
                seed=seed,
                multivariate=True,
                group=has_conditions,
                n_startup_trials=STARTUP["tpe"],
            )
        if self._sampler == "gp":
            return samplers.GPSampler(
                seed=seed, independent_sampler=independent, n_startup_trials=STARTUP["gp"]
            )
        if self._sampler == "cmaes":
            return samplers.CmaEsSampler(seed=seed, independent_sampler=independent)
        if self._sampler == "qmc":
            # The sequence's own seed must stay the same over the whole study.
            return samplers.QMCSampler(
                seed=derive_seed(self._seed, "qmc"), scramble=True, independent_sampler=independent
            )
        return independent


def _suggest(trial: "optuna.Trial", name: str, parameter: Parameter) -> Any:
    match parameter:
        case FloatParameter(low, high, log, step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntParameter(low, high, log, step):
            return trial.suggest_int(name, low, int(high), log=log, step=step)
        case ChoiceParameter(choices):
            return trial.suggest_categorical(name, list(choices))
        case FixedParameter(value):
            return trial.suggest_categorical(name, [value])


def _signature(params: Mapping[str, Any]) -> str:
    """The same text for the same setting; 0.7999999999999999 is 0.8 after so many steps of 0.1."""
    rounded = {k: float(f"{v:.10g}") if isinstance(v, float) else v for k, v in params.items()}
    return json.dumps(rounded, sort_keys=True, default=str)


def _listed(space: Space) -> dict[str, Mapping[str, Any]] | None:
    """Every setting of a small space; None for a large one, or one that cannot be counted."""
    try:
        settings = list(islice(space.grid(), MAX_LISTED + 1))
    except ValueError:
        return None
    if len(settings) > MAX_LISTED:
        return None
    return {_signature(setting): setting for setting in settings}


@contextmanager
def _without_advice(sampler: str) -> Iterator[None]:
    """Keep back Optuna's advice about samplers: it is for those who choose them by hand."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if sampler not in _TALKATIVE:
            yield
            return
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(verbosity)
