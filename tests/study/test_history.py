"""Which trials of a long study samplers see."""

import random

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from runner.experiment import FloatParameter, Space
from runner.study.history import BEST, OPEN, RECENT, Mirror, Told, Window, mirror_study
from runner.study.sampling import Sampling

SPACE = Space({"x": FloatParameter(0.0, 1.0), "y": FloatParameter(0.0, 1.0)})


def ended(number: int, value: float | None, *, state: TrialState = TrialState.COMPLETE) -> Told:
    steps = {1: value} if value is not None and state is TrialState.PRUNED else {}
    return Told(
        number=number,
        trial_id=number,
        state=state,
        value=value,
        params={"x": number % 97 / 97, "y": number % 89 / 89},
        distributions={n: optuna.distributions.FloatDistribution(0, 1) for n in ("x", "y")},
        user_attrs={},
        system_attrs={},
        intermediate_values=steps,
        datetime_start=None,
        datetime_complete=None,
    )


def values(count: int) -> list[float]:
    rng = random.Random(0)
    return [rng.random() for _ in range(count)]


def test_window_of_a_short_study_is_all_of_it() -> None:
    window = Window(is_maximized=True)
    for number, value in enumerate(values(RECENT)):
        window.add(ended(number, value))
    assert window.numbers() == set(range(RECENT))


@pytest.mark.parametrize("is_maximized", [True, False])
def test_window_of_a_long_study_is_its_best_its_latest_and_its_first(is_maximized: bool) -> None:
    window, drawn = Window(is_maximized=is_maximized), values(2000)
    for number in random.Random(1).sample(range(2000), 2000):
        window.add(ended(number, drawn[number]))
    best = sorted(range(2000), key=lambda n: -drawn[n] if is_maximized else drawn[n])[:BEST]
    assert window.numbers() == {0, *best, *range(2000 - RECENT, 2000)}


def test_window_prefers_complete_trials_and_of_pruned_ones_those_that_came_far() -> None:
    window = Window(is_maximized=True)
    far = ended(1, 0.1, state=TrialState.PRUNED)
    far.intermediate_values = {1: 0.9, 3: 0.1}
    window.add(ended(2, 0.8, state=TrialState.PRUNED))
    window.add(far)
    window.add(ended(0, 0.0))
    assert [entry[-1] for entry in window._order] == [0, 1, 2]


def test_window_leaves_out_what_failed_and_ranks_nothing_without_a_value() -> None:
    window = Window(is_maximized=True)
    window.add(ended(0, None, state=TrialState.FAIL))
    window.add(ended(1, None, state=TrialState.PRUNED))
    window.add(ended(2, float("nan"), state=TrialState.PRUNED))
    assert window.numbers() == {1, 2}
    assert window._order == []


def test_mirror_shows_every_open_trial_and_the_window_by_number() -> None:
    study = mirror_study("maximize")
    storage = study._storage
    study.ask()
    for number, value in enumerate(values(600), start=1):
        storage.create_new_trial(study._study_id, ended(number, value))
    late = study.ask()
    shown = [trial.number for trial in study.get_trials(deepcopy=False)]
    assert shown == sorted(shown)
    assert {0, late.number} <= set(shown)
    assert len(shown) <= BEST + RECENT + 3
    study.tell(late, 2.0)
    assert late.number in [t.number for t in study.get_trials(states=(TrialState.COMPLETE,))]
    running = study.get_trials(states=(TrialState.RUNNING,))
    assert [trial.number for trial in running] == [0]


def test_mirror_shows_the_latest_of_very_many_open_trials() -> None:
    study = mirror_study("maximize")
    asked = [study.ask() for _ in range(OPEN + 50)]
    shown = [trial.number for trial in study.get_trials(deepcopy=False)]
    assert shown == list(range(50, OPEN + 50))
    study.tell(asked[-1], 1.0)
    shown = [trial.number for trial in study.get_trials(deepcopy=False)]
    assert shown == list(range(49, OPEN + 50))


def test_mirror_gives_what_waits_to_be_asked_until_it_is() -> None:
    study = mirror_study("maximize")
    study.ask()
    study.enqueue_trial({"x": 0.25})
    waiting = study._storage.get_all_trials(study._study_id, states=(TrialState.WAITING,))
    assert [trial.number for trial in waiting] == [1]
    assert study.ask().suggest_float("x", 0, 1) == 0.25
    assert study._storage.get_all_trials(study._study_id, states=(TrialState.WAITING,)) == []


def test_mirror_keeps_of_a_long_study_what_is_shown_and_forgets_the_rest() -> None:
    study = mirror_study("maximize")
    storage = study._storage
    assert isinstance(storage, Mirror)
    drawn = values(2000)
    for number, value in enumerate(drawn):
        storage.create_new_trial(study._study_id, ended(number, value))
    failed = ended(2000, None, state=TrialState.FAIL)
    storage.create_new_trial(study._study_id, failed)
    kept = [number for number in range(2001) if storage.get_trial(number).params]
    assert kept == [trial.number for trial in study.get_trials(deepcopy=False)]
    assert len(kept) < BEST + RECENT + 2
    assert study.best_value == max(drawn)


def test_ask_in_a_long_study_reads_no_more_than_the_window_and_survives_a_restart() -> None:
    def proposals(*, is_restarted: bool) -> list[object]:
        sampling = Sampling(SPACE, "tpe", seed=0, direction="maximize")
        past: list[FrozenTrial] = [ended(n, value) for n, value in enumerate(values(400))]
        for trial in past:
            sampling.learn(trial)
        found = []
        for number in range(400, 404):
            if is_restarted:
                sampling = Sampling(SPACE, "tpe", seed=0, direction="maximize")
                for trial in past:
                    sampling.learn(trial)
            proposal = sampling.ask(number)
            assert proposal is not None
            found.append(dict(proposal.params))
            past.append(ended(number, 0.5))
            past[-1].params = dict(proposal.params)
            sampling.tell(number, past[-1])
        return found

    assert proposals(is_restarted=True) == proposals(is_restarted=False)
