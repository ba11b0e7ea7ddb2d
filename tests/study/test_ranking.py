"""The best few, kept up to date."""

import random
from collections.abc import Callable

import pytest

from runner.study import StudyRecord, best_trials
from runner.study.ranking import Ranking
from runner.study.sampling import Proposal
from runner.trial import Ending, Outcome


@pytest.mark.parametrize("is_maximized", [True, False])
@pytest.mark.parametrize("places", [0, 1, 4])
def test_ranking_drops_each_trial_but_the_best_few_exactly_once(
    memory_record: Callable[[], StudyRecord], places: int, is_maximized: bool
) -> None:
    """Fails where it names none."""
    record, rng = memory_record(), random.Random(places)
    ranking = Ranking(places, is_maximized=is_maximized)
    kept: set[int] = set()
    sign = 1 if is_maximized else -1
    for number in range(60):
        record.begin(record.add(Proposal({}, {}), origin="sampler", seed=0))
        record.close(number, Ending(Outcome.COMPLETE, round(rng.random(), 1)))
        kept.add(number)
        if (dropped := ranking.add(record.trial(number))) is not None:
            kept.remove(dropped)
        order = sorted(record.trials(), key=lambda t: (-sign * (t.value or 0.0), t.number))
        assert kept == {trial.number for trial in order[:places]}
        assert ranking.best == order[0].value
    assert ranking.add(record.trial(3)) is None
    assert len(list(best_trials(record))) == 60


def test_best_trials_of_equal_values_are_ranked_by_loss_then_number(
    memory_record: Callable[[], StudyRecord],
) -> None:
    record, ranking = memory_record(), Ranking(2, is_maximized=False)
    dropped = []
    for number, (value, loss) in enumerate([(1.0, 0.5), (1.0, None), (1.0, 0.2), (2.0, 0.1)]):
        record.begin(record.add(Proposal({}, {}), origin="sampler", seed=0))
        ending = Ending(Outcome.COMPLETE, value, notes={"validation_loss": loss})
        record.close(number, ending)
        dropped.append(ranking.add(record.trial(number)))

    assert [trial.number for trial in best_trials(record)] == [2, 0, 1, 3]
    assert dropped == [None, None, 1, 3]
