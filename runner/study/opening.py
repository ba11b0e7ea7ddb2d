"""From an experiment to the feed of its study."""

from runner.experiment import (
    ChoiceParameter,
    Experiment,
    FixedParameter,
    IntParameter,
    Space,
)
from runner.study.budget import Budget
from runner.study.feed import StudyFeed
from runner.study.ground import Ground
from runner.study.logbook import Logbook
from runner.study.options import Options
from runner.study.pruning import make_judge
from runner.study.record import StudyRecord
from runner.study.rules import Rules
from runner.study.sampling import Sampling
from runner.study.wave_size import wave_rules


def open_feed(
    ground: Ground, record: StudyRecord, logbook: Logbook, options: Options
) -> StudyFeed:
    """The feed of a study as its experiment asks for it."""
    experiment = ground.experiment
    asked = experiment.search
    return StudyFeed(
        record,
        sampling=Sampling(
            ground.space, asked.sampler, seed=experiment.seed, direction=experiment.direction
        ),
        judge=make_judge(
            ground.rungs,
            name=record.name,
            max_epochs=longest_trial(experiment, ground.space),
            is_maximized=record.is_maximized,
        ),
        budget=Budget(
            asked.trials, asked.time_s, float(record.attributes.get("seconds_used", 0.0))
        ),
        rules=Rules(
            metric=experiment.metric,
            seed=experiment.seed,
            first=asked.first,
            trial_time_s=asked.trial_time_s,
            max_failures=asked.max_failures,
            epochs_of=experiment.epochs,
            waves=wave_rules(ground),
        ),
        logbook=logbook,
        listener=options.listener,
        begun_at=options.begun_at,
    )


def longest_trial(experiment: Experiment, space: Space) -> int | None:
    """Most epochs any trial of the space trains; None where only the user's code knows."""
    if experiment.search.max_steps is not None:
        return experiment.search.max_steps
    match space.parameters.get("epochs"):
        case IntParameter(_, int() as high):
            return high
        case ChoiceParameter(choices):
            # An objective of one's own may call anything epochs, and not only numbers.
            return max((choice for choice in choices if isinstance(choice, int)), default=None)
        case FixedParameter(int() as value):
            return value
    return experiment.epochs({})
