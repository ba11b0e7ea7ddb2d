"""How many trials are asked for at once, and whether anything is gained by it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from runner.experiment import Experiment, Space
from runner.study.sampling import Sampling
from runner.study.waves import WaveRules
from runner.trial import Facts, Hint, Objective, derive_seed

# Trials asked for at once, unless the experiment says, where some can be trained as one job.
WAVE = 16
# At most so many where no proposal depends on a result: as many as are fused by default.
FREE_WAVE = 64
# Points of the space at which hints are looked at.
LOOKED_AT = 64


def wave_rules(
    experiment: Experiment, space: Space, *, objective: Objective, facts: Facts, slots: int
) -> WaveRules:
    """How a study's trials are asked for and put together.

    Waves gain something where trials can share a job, or where some cost less than others and
    so may run first; where not, trials are asked for one by one.

    Args:
        experiment: What was asked.
        space: Bound to its model.
        objective: Knows what trials will be like.
        facts: What the second pass found out.
        slots: Jobs that run at once.
    """

    def hint_of(params: Mapping[str, Any]) -> Hint:
        return objective.hint(params, facts)

    fuse = experiment.reuse.fuse
    asked = experiment.search.wave
    if asked != "auto":
        return WaveRules(asked, asked, fuse, slots, hint_of)
    sampling = Sampling(
        space, "random", seed=derive_seed(experiment.seed, "hints"), direction="maximize"
    )
    points = [sampling.ask(number) for number in range(LOOKED_AT)]
    hints = [hint_of(point.params) for point in points if point is not None]
    kin = Counter(hint.kin for hint in hints if hint.kin is not None)
    has_kin = any(count > 1 for count in kin.values())
    is_mixed = len({hint.cost for hint in hints}) > 1
    size = WAVE if has_kin else 1
    free_size = max(FREE_WAVE, fuse) if has_kin or is_mixed else 1
    return WaveRules(size, max(size, free_size), fuse, slots, hint_of)
