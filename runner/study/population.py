"""Population-based training: trials are segments, and each goes on from where another one ended.

A generation is a wave: a segment of every member of the population. When all of it has ended, the
weakest quarter begins the next one from the state of one of the strongest quarter, with that one's
settings slightly changed; the others go on as they are. Source: Jaderberg et al. 2017, "Population
Based Training of Neural Networks"; the quarters, the factors and the share of values that are
drawn anew are Ray Tune's defaults.

Ray Tune's own scheduler is not used: it draws without a seed, keeps what it decides in memory, and
copies states between running workers. Here a segment is a trial like any other: written before it
begins, run on any backend, and run again when it is lost.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.experiment import (
    ChoiceParameter,
    FixedParameter,
    IntParameter,
    Parameter,
    Space,
    discard,
    link_or_copy,
    replacing,
    writing,
)
from runner.study.sampling import Proposal, Sampling
from runner.study.storage import trial_folder
from runner.study.trial_record import TrialRecord
from runner.trial import CHECKPOINT, INHERITED, Segment, derive_seed

if TYPE_CHECKING:
    import optuna

    from runner.study.record import StudyRecord

# The weakest and the strongest of a generation, as a share of it.
QUANTILE = 0.25
# Of the settings that are changed, how many are drawn anew; the others are multiplied by one of
# the factors or, where they are choices, moved to the next one.
RESAMPLED = 0.25
FACTORS = (0.8, 1.2)


@dataclass(frozen=True)
class _Member:
    """A trial of the generation before: its settings, and its value so that larger is better."""

    number: int
    params: Mapping[str, Any]
    score: float | None


class Population(Sampling):
    """Proposes one generation after another.

    Args:
        space: What may change while a model trains.
        segments: The epochs between which each generation trains.
        size: Trials of a generation; of a study that has begun, the size of its first one.
        seed: The study's.
        direction: "maximize" or "minimize".
    """

    exhausted = "the population has no more segments to train"

    def __init__(
        self,
        space: Space,
        segments: Sequence[tuple[int, int]],
        *,
        size: int,
        seed: int,
        direction: str,
    ) -> None:
        super().__init__(space, "random", seed=seed, direction=direction)
        self._segments = tuple(segments)
        self._size = size
        self._sign = 1.0 if direction == "maximize" else -1.0
        self._members: dict[int, _Member] = {}

    def is_due(self, asked: int) -> bool:
        """Whether all of the last generation has ended."""
        return len(self._members) >= asked

    def tidy(self, record: "StudyRecord") -> None:
        """When a generation has ended, remove the states from which no trial will go on."""
        asked = record.count
        if self.is_due(asked):
            is_over = asked >= self._size * len(self._segments)
            forget(record.folder, record.trials(), is_over=is_over)

    def learn(self, trial: "optuna.trial.FrozenTrial") -> None:
        """See `Sampling.learn`."""
        super().learn(trial)
        if trial.number == 0:
            self._size = int(trial.user_attrs.get("wave", (0, 1))[1])
        if trial.state.is_finished():
            self._see(trial.number, trial)

    def tell(self, number: int, trial: "optuna.trial.FrozenTrial") -> None:
        """See `Sampling.tell`."""
        super().tell(number, trial)
        self._see(number, trial)

    def blind(self, asked: int) -> int:
        """A generation at a time; see `Sampling.blind`."""
        return self._size

    def ask(self, number: int) -> Proposal | None:
        """The next segment of a member; None after the last, or where nothing is left of it."""
        generation, place = divmod(number, self._size)
        if generation >= len(self._segments):
            return None
        begin, end = self._segments[generation]
        if generation == 0:
            proposal = super().ask(number)
            return proposal and replace(proposal, segment=Segment(None, begin, end))
        last = [self._members[n] for n in range(number - place - self._size, number - place)]
        parent, params = self._next(number, place, last)
        if parent is None:
            return None
        return replace(super().given(number, params), segment=Segment(parent, begin, end))

    def given(self, number: int, params: Mapping[str, Any]) -> Proposal:
        """A member of the first generation with a person's settings."""
        begin, end = self._segments[0]
        return replace(super().given(number, params), segment=Segment(None, begin, end))

    def _see(self, number: int, trial: "optuna.trial.FrozenTrial") -> None:
        score = None if trial.value is None else self._sign * trial.value
        self._members[number] = _Member(number, dict(trial.params), score)

    def _next(
        self, number: int, place: int, last: Sequence[_Member]
    ) -> tuple[int | None, Mapping[str, Any]]:
        """Whose state a member goes on from, and with which settings."""
        scored = [(member.score, -member.number) for member in last if member.score is not None]
        if not scored:
            return None, {}
        ranked = [-negative for _, negative in sorted(scored, reverse=True)]
        share = min(max(1, int(self._size * QUANTILE)), len(ranked))
        by_number = {member.number: member for member in last}
        own = last[place]
        weak = ranked[max(share, len(ranked) - share) :]
        if own.score is not None and own.number not in weak:
            return own.number, own.params
        generator = random.Random(derive_seed(self._seed, "population", number))
        parent = by_number[generator.choice(ranked[:share])]
        return parent.number, self._explored(parent.params, generator)

    def _explored(self, params: Mapping[str, Any], generator: random.Random) -> dict[str, Any]:
        """Settings near others. What only now comes into use is left out, and so drawn."""
        parameters = self._space.parameters
        changed = {
            name: _changed(parameters[name], value, generator)
            for name, value in params.items()
            if generator.random() >= RESAMPLED
        }
        kept: dict[str, Any] = {}
        for name in parameters:
            if name in changed and self._space.is_active(name, {**params, **kept}):
                kept[name] = changed[name]
        return kept


def _changed(parameter: Parameter, value: Any, generator: random.Random) -> Any:
    """A value beside another one."""
    match parameter:
        case FixedParameter():
            return value
        case ChoiceParameter(choices):
            at = list(choices).index(value) + generator.choice((-1, 1))
            return choices[min(max(at, 0), len(choices) - 1)]
    change = (generator.choice(FACTORS) - 1) * value
    if parameter.step is not None:
        steps = max(1, round(abs(change) / parameter.step))
        change = math.copysign(steps * parameter.step, change)
    moved = min(max(value + change, parameter.low), parameter.high)
    return round(moved) if isinstance(parameter, IntParameter) else moved


def hand_down(folder: Path, trial: TrialRecord) -> None:
    """Lay the state that a trial goes on from into its folder; done twice, it changes nothing.

    Raises:
        DiskRefused: If the disk refuses.
    """
    if trial.segment is None or trial.segment.parent is None:
        return
    state = trial_folder(folder, trial.segment.parent) / CHECKPOINT
    target = trial_folder(folder, trial.number) / INHERITED
    if target.exists() or not state.exists():
        return
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.unlink(missing_ok=True)
        link_or_copy(state, temporary)


def forget(folder: Path, trials: Sequence[TrialRecord], *, is_over: bool) -> None:
    """Remove the states from which no trial will go on, now that all of a generation has ended.

    Args:
        folder: The study's.
        trials: All of the study's.
        is_over: Whether it was the last one.
    """
    segments = {trial.number: trial.segment for trial in trials if trial.segment is not None}
    reached = max((segment.end for segment in segments.values()), default=0)
    for number, segment in segments.items():
        discard(trial_folder(folder, number) / INHERITED)
        if segment.end < reached or is_over:
            discard(trial_folder(folder, number) / CHECKPOINT)


def lineage(trials: Sequence[TrialRecord], number: int) -> list[TrialRecord]:
    """A trial and those whose state it goes on from, the first first: together one training."""
    line = [trials[number]]
    while (segment := line[-1].segment) is not None and segment.parent is not None:
        line.append(trials[segment.parent])
    return line[::-1]
