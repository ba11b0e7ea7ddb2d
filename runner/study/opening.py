"""From an experiment to the feed of its study."""

from runner.experiment import (
    ChoiceParameter,
    Experiment,
    FixedParameter,
    IntParameter,
    Space,
)
from runner.study.budget import Budget
from runner.study.feed import Rules, StudyFeed
from runner.study.logbook import Logbook
from runner.study.options import Options
from runner.study.pruning import make_pruner
from runner.study.record import StudyRecord
from runner.study.sampling import Sampling
from runner.study.waves import WaveRules


def open_feed(
    experiment: Experiment,
    record: StudyRecord,
    space: Space,
    logbook: Logbook,
    waves: WaveRules,
    options: Options,
) -> StudyFeed:
    """The feed of a study as its experiment asks for it."""
    asked = experiment.search
    record.study.pruner = make_pruner(asked.pruner, longest_trial(experiment, space))
    return StudyFeed(
        record,
        sampling=Sampling(
            space, asked.sampler, seed=experiment.seed, direction=experiment.direction
        ),
        budget=Budget(
            asked.trials, asked.time_s, float(record.attributes.get("seconds_used", 0.0))
        ),
        rules=Rules(
            metric=experiment.metric,
            pruner=asked.pruner,
            seed=experiment.seed,
            first=asked.first,
            trial_time_s=asked.trial_time_s,
            max_failures=asked.max_failures,
            epochs_of=experiment.epochs,
            waves=waves,
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
