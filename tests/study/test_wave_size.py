"""How many trials are asked for at once: what was asked, or what something is gained by."""

from collections.abc import Mapping
from typing import Any

import pytest

from runner.experiment import ChoiceParameter, Experiment, FixedParameter, IntParameter, Space
from runner.study.ground import Ground
from runner.study.wave_size import FREE_WAVE, WAVE, wave_rules
from runner.trial import Facts, Hint
from tests.objectives import Scripted


class Hinted(Scripted):
    """Knows what a trial will be like from its parameters."""

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        return Hint(kin=params.get("kin"), cost=params.get("cost", 1))


def ground(space: dict[str, Any], *, wave: int | str = "auto", fuse: int = 64) -> Ground:
    experiment = Experiment.from_resolved(
        {
            "name": "cats",
            "data": {"source": "bundled", "name": "digits"},
            "model": {"name": "resnet18"},
            "search": {"wave": wave, "space": {"epochs": {"int": [1, 3]}}},
            "reuse": {"fuse": fuse},
        }
    )
    return Ground(experiment, Space(space), Facts(), Hinted(), slots=lambda: 2)


KIN = ChoiceParameter((None, None, None, "head"))


@pytest.mark.parametrize(
    ("space", "size", "free_size"),
    [
        pytest.param({"cost": FixedParameter(2)}, 1, 1, id="all alike: nothing to gain"),
        pytest.param({"cost": IntParameter(1, 9)}, 1, FREE_WAVE, id="cheap and dear ones"),
        pytest.param({"kin": KIN}, WAVE, FREE_WAVE, id="some can share a job"),
        pytest.param(
            {"kin": ChoiceParameter(tuple(map(str, range(10_000))))}, 1, 1, id="no two of kin"
        ),
    ],
)
def test_wave_rules_of_auto_depend_on_what_the_space_can_give(
    space: dict[str, Any], size: int, free_size: int
) -> None:
    rules = wave_rules(ground(space))
    assert (rules.size, rules.free_size) == (size, free_size)
    assert (rules.fuse, rules.slots()) == (64, 2)
    assert rules.hint_of({"kin": "head", "cost": 3}) == Hint("head", 3)


def test_wave_rules_of_auto_ask_for_no_fewer_free_trials_than_are_fused() -> None:
    assert wave_rules(ground({"kin": KIN}, fuse=200)).free_size == 200


@pytest.mark.parametrize("wave", [1, 7])
def test_wave_rules_of_a_number_are_that_number(wave: int) -> None:
    rules = wave_rules(ground({"kin": KIN}, wave=wave))
    assert (rules.size, rules.free_size) == (wave, wave)
