"""How many trials are asked for at once, and whether anything is gained by it."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from runner.study.ground import Ground
from runner.study.sampling import Sampling
from runner.study.waves import WaveRules
from runner.trial import Hint, derive_seed

# Trials asked for at once, unless the experiment says, where some can be trained as one job. A
# choice: after 64 trials tpe's regret is 0.04 more than one by one (95 %: 0.00 to 0.08), of the
# 0.06 that random search loses; waves of 4 lose nothing (benchmarks/waves.py, docs/benchmarks.md).
WAVE = 16
# At most so many where no proposal depends on a result: as many as are fused by default.
FREE_WAVE = 64
# Points of the space at which hints are looked at.
LOOKED_AT = 64


def wave_rules(ground: Ground) -> WaveRules:
    """How a study's trials are asked for and put together.

    Waves gain something where trials can share a job, or where some cost less than others and
    so may run first; where not, trials are asked for one by one.
    """

    def hint_of(params: Mapping[str, Any]) -> Hint:
        return ground.objective.hint(params, ground.facts)

    fuse = ground.experiment.reuse.fuse
    if ground.experiment.segments:
        # A generation at a time, each by itself: it goes on from a state of its own.
        return WaveRules(1, sys.maxsize, 1, ground.slots, hint_of)
    asked = ground.experiment.search.wave
    if asked != "auto":
        return WaveRules(asked, asked, fuse, ground.slots, hint_of)
    hints = [hint_of(params) for params in _some_settings(ground)]
    kin = Counter(hint.kin for hint in hints if hint.kin is not None)
    has_kin = any(count > 1 for count in kin.values())
    is_mixed = len({hint.cost for hint in hints}) > 1
    size = WAVE if has_kin else 1
    free_size = max(FREE_WAVE, fuse) if has_kin or is_mixed else 1
    return WaveRules(size, max(size, free_size), fuse, ground.slots, hint_of)


def _some_settings(ground: Ground) -> Iterator[Mapping[str, Any]]:
    seed = derive_seed(ground.experiment.seed, "hints")
    sampling = Sampling(ground.space, "random", seed=seed, direction="maximize")
    for number in range(LOOKED_AT):
        if (proposal := sampling.ask(number)) is not None:
            yield proposal.params
