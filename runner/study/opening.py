"""From an experiment to the feed of its study."""

from runner.study.budget import Budget
from runner.study.feed import StudyFeed
from runner.study.ground import Ground
from runner.study.logbook import Logbook
from runner.study.options import Options
from runner.study.population import Population
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
        sampling=_sampling_of(ground),
        judge=make_judge(
            ground.rungs,
            name=record.name,
            max_epochs=ground.longest,
            is_maximized=record.is_maximized,
        ),
        budget=Budget(
            None if experiment.segments else asked.trials,
            asked.time_s,
            float(record.attributes.get("seconds_used", 0.0)),
        ),
        rules=Rules(
            metric=experiment.metric,
            seed=experiment.seed,
            first=asked.first,
            trial_time_s=asked.trial_time_s,
            max_failures=asked.max_failures,
            epochs_of=experiment.epochs,
            waves=wave_rules(ground),
            retries=asked.retries,
        ),
        logbook=logbook,
        listener=options.listener,
        begun_at=options.begun_at,
    )


def _sampling_of(ground: Ground) -> Sampling:
    experiment = ground.experiment
    asked, seed, direction = experiment.search, experiment.seed, experiment.direction
    if experiment.segments:
        return Population(
            ground.space, experiment.segments, size=asked.trials, seed=seed, direction=direction
        )
    return Sampling(ground.space, asked.sampler, seed=seed, direction=direction)
