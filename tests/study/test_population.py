"""Population-based training: generations of segments, through the feed and over a real record."""

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.backends import NoJob
from runner.errors import StudyError
from runner.experiment import (
    ChoiceParameter,
    Experiment,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Space,
    Store,
)
from runner.study import StudyRecord, TrialRecord, lineage, trial_folder
from runner.study.control import enqueue
from runner.study.population import Population, _changed
from runner.study.waves import WaveRules
from runner.trial import CHECKPOINT, INHERITED, Outcome, Segment, TrialSpec
from tests.study.conftest import Opened, Searching

SPACE = Space(
    {
        "epochs": FixedParameter(5),
        "learning_rate": FloatParameter(1e-4, 1.0, log=True),
        "dropout": FloatParameter(0.0, 0.5),
    }
)
SEGMENTS = ((0, 2), (2, 4), (4, 5))
# One a time, and as many at once as a generation has.
WAVES = WaveRules(1, 10**6)


def population(size: int = 4, seed: int = 0) -> Population:
    return Population(SPACE, SEGMENTS, size=size, seed=seed, direction="maximize")


def settings(size: int = 4) -> dict[str, Any]:
    return {"sampling": population(size), "trials": None, "waves": WAVES}


def run(opened: Opened, spec: TrialSpec, value: float | None) -> None:
    """Train a segment: its state is left where the runner's own training leaves it."""
    folder = Path(spec.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT).write_text(f"state of {spec.key.trial}")
    outcome = Outcome.FAILED if value is None else Outcome.COMPLETE
    opened.end(spec.key, outcome, value)


def generation(opened: Opened, values: list[float | None]) -> list[TrialSpec]:
    specs = []
    for value in values:
        specs.append(opened.next())
        run(opened, specs[-1], value)
    return specs


def trials_of(opened: Opened) -> list[TrialRecord]:
    return opened.record.trials()


def test_weakest_goes_on_from_the_strongest_and_the_others_from_themselves(
    searching: Searching,
) -> None:
    with searching(SPACE, **settings()) as opened:
        generation(opened, [0.3, 0.9, 0.1, 0.5])
        generation(opened, [0.5] * 4)

        trials = trials_of(opened)
        assert [trial.segment for trial in trials] == [
            *[Segment(None, 0, 2)] * 4,
            Segment(0, 2, 4),
            Segment(1, 2, 4),
            Segment(1, 2, 4),
            Segment(3, 2, 4),
        ]
        for own, before in ((4, 0), (5, 1), (7, 3)):
            assert trials[own].params == trials[before].params
        assert trials[6].params != trials[1].params
        assert trials[6].params != trials[2].params


def test_next_generation_waits_for_the_last_of_the_one_before(searching: Searching) -> None:
    with searching(SPACE, **settings(2)) as opened:
        first, second = opened.next(0), opened.next(1)
        run(opened, first, 0.5)

        assert opened.no_job() is NoJob.WAIT
        run(opened, second, 0.6)
        assert opened.next().segment == Segment(1, 2, 4)


def test_it_ends_with_its_last_segment(searching: Searching) -> None:
    with searching(SPACE, **settings(2)) as opened:
        for _ in SEGMENTS:
            generation(opened, [0.5, 0.6])

        assert opened.no_job() is NoJob.DONE
        assert len(trials_of(opened)) == 6


def test_state_to_go_on_from_lies_in_the_folder_and_goes_when_its_time_is_over(
    searching: Searching,
) -> None:
    with searching(SPACE, **settings(2)) as opened:
        generation(opened, [0.9, 0.1])
        third, fourth = opened.next(0), opened.next(1)

        assert [Path(s.folder, INHERITED).read_text() for s in (third, fourth)] == [
            "state of 0",
            "state of 0",
        ]
        run(opened, third, 0.9)
        run(opened, fourth, 0.8)
        assert states(opened) == ["00002/checkpoint.pt", "00003/checkpoint.pt"]
        generation(opened, [0.9, 0.8])
        assert opened.no_job() is NoJob.DONE
        assert states(opened) == []


def test_states_that_the_disk_does_not_let_go_of_end_no_search(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `discard`, in `forget` and in what a failed trial leaves."""
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name in (CHECKPOINT, INHERITED):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with searching(SPACE, **settings(2)) as opened:
        generation(opened, [0.9, None])
        generation(opened, [0.9, 0.8])
        generation(opened, [0.9, 0.8])
        assert opened.no_job() is NoJob.DONE
        assert opened.outcomes == ["complete", "failed", *["complete"] * 4]
        assert "00001/checkpoint.pt" in states(opened)


def states(opened: Opened) -> list[str]:
    trials = trial_folder(opened.folder, 0).parent
    found = [path for name in (CHECKPOINT, INHERITED) for path in trials.rglob(name)]
    return sorted(path.relative_to(trials).as_posix() for path in found)


def test_failed_member_is_replaced(searching: Searching) -> None:
    with searching(SPACE, **settings()) as opened:
        generation(opened, [0.3, None, 0.9, 0.2])
        generation(opened, [0.5] * 4)

        parents = [trial.segment.parent for trial in trials_of(opened)[4:] if trial.segment]
        assert parents == [0, 2, 2, 2]


def test_nothing_is_left_of_a_generation_that_failed(searching: Searching) -> None:
    with searching(SPACE, **settings(2)) as opened:
        generation(opened, [None, None])

        assert opened.no_job() is NoJob.DONE
        assert len(trials_of(opened)) == 2


@pytest.mark.parametrize("killed_after", [1, 2, 3, 5])
def test_killed_driver_or_not_the_trials_are_the_same(
    searching: Searching, killed_after: int
) -> None:
    """Without `learn` telling a new driver of the old one's trials, this fails."""

    def value_of(spec: TrialSpec) -> float:
        return float(spec.params["learning_rate"])

    with searching(SPACE, name="whole", **settings(2)) as opened:
        for _ in range(6):
            spec = opened.next()
            run(opened, spec, value_of(spec))
        expected = [(trial.params, trial.segment) for trial in trials_of(opened)]
    with searching(SPACE, name="killed", **settings(2)) as opened:
        for _ in range(killed_after):
            spec = opened.next()
            run(opened, spec, value_of(spec))
        opened.next()
    with searching(SPACE, name="killed", **settings(2)) as opened:
        for _ in range(6 - killed_after):
            spec = opened.next()
            run(opened, spec, value_of(spec))
        assert [(trial.params, trial.segment) for trial in trials_of(opened)] == expected


def test_size_of_a_population_stays_what_it_was(searching: Searching) -> None:
    with searching(SPACE, **settings(2)) as opened:
        generation(opened, [0.5, 0.6])
    with searching(SPACE, **settings(5)) as opened:
        for _ in SEGMENTS[1:]:
            generation(opened, [0.5, 0.6])
        assert opened.no_job() is NoJob.DONE


def test_schedule_of_a_trial_is_those_it_goes_back_to(searching: Searching) -> None:
    with searching(SPACE, **settings(2)) as opened:
        generation(opened, [0.1, 0.9])
        generation(opened, [0.9, 0.1])
        generation(opened, [0.2, 0.9])

        trials = StudyRecord.read(opened.folder).trials()
        assert [trial.number for trial in lineage(trials, 5)] == [1, 2, 5]


def test_given_settings_are_members_of_the_first_generation(searching: Searching) -> None:
    with searching(SPACE, first=({"learning_rate": 0.25},), **settings(2)) as opened:
        generation(opened, [0.5, 0.6])

        first = trials_of(opened)[0]
        assert first.params["learning_rate"] == 0.25
        assert first.segment == Segment(None, 0, 2)


def test_setting_cannot_join_later(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = StudyRecord.open(store.studies / "cats" / "1", direction="maximize")
    record.set_attribute("experiment", experiment().resolved())

    with pytest.raises(StudyError, match="a population takes no setting once it has begun"):
        enqueue(store, "cats", {"learning_rate": 0.1})


def test_run_says_which_segment_it_is(searching: Searching) -> None:
    with searching(SPACE, **settings(2)) as opened:
        generation(opened, [0.1, 0.9])
        generation(opened, [0.9, 0.1])

        tags = opened.runs()[2].tags
        assert tags["runner.segment"] == "epochs 3 to 4"
        assert tags["runner.parent_trial"] == "1"


PARAMETERS = st.one_of(
    st.builds(
        lambda low, more: FloatParameter(low, low + more),
        *[st.floats(-10, 10)] * 1,
        st.floats(0.01, 10),
    ),
    st.builds(
        lambda low, n: FloatParameter(low, low + n, step=0.5),
        st.integers(-3, 3),
        st.integers(1, 9),
    ),
    st.builds(lambda low, n: IntParameter(low, low + n), st.integers(-5, 5), st.integers(1, 90)),
    st.builds(
        lambda low, n: IntParameter(low, low + 16 * n, step=16),
        st.integers(0, 5),
        st.integers(1, 9),
    ),
    st.just(ChoiceParameter(("none", "light", "medium"))),
    st.just(FixedParameter(3)),
)


@given(PARAMETERS, st.integers(0, 10**6))
def test_changed_value_is_one_of_the_parameters(parameter: Any, seed: int) -> None:
    values = parameter.values() or (parameter.low, (parameter.low + parameter.high) / 2)
    value = random.Random(seed).choice(values)
    for _ in range(5):
        value = _changed(parameter, value, random.Random(seed))
        assert parameter.flaw(value) is None


def experiment(**changes: Any) -> Experiment:
    search = {
        "sampler": "pbt",
        "trials": 6,
        "space": {"learning_rate": {"float": [1e-3, 1e-1], "log": True}},
        **changes.pop("search", {}),
    }
    return Experiment.model_validate(
        {
            "name": "cats",
            "data": {"source": "bundled", "name": "digits"},
            "model": {"name": "resnet10t", "weights": "none"},
            "train": {"epochs": 10, **changes.pop("train", {})},
            "search": search,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("epochs", "segment", "count", "last"),
    [(10, None, 10, (9, 10)), (10, 4, 3, (8, 10)), (25, None, 9, (24, 25)), (3, 5, 1, (0, 3))],
)
def test_segments_of_an_experiment(
    epochs: int, segment: int | None, count: int, last: tuple[int, int]
) -> None:
    made = experiment(train={"epochs": epochs}, search={"segment": segment})

    assert len(made.segments) == count
    assert made.segments[-1] == last
    assert made.trials == 6 * count


def test_experiment_without_a_population_has_no_segments() -> None:
    made = experiment(search={"sampler": "tpe"})
    assert made.segments == ()
    assert made.trials == 6


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        (
            {"search": {"space": {"freeze_depth": {"int": [0, "max"]}}}},
            "search.space.freeze_depth: cannot change while a model trains",
        ),
        (
            {"search": {"sampler": "tpe", "segment": 2}},
            "search.segment: is for `sampler: pbt` alone",
        ),
        ({"train": {"early_stopping": 2}}, "train.early_stopping: has no sense with pbt"),
        (
            {"search": {"trials": 1, "first": [{}, {}]}},
            "search.first: has 2 settings for a population of 1",
        ),
    ],
)
def test_what_does_not_go_with_a_population_is_refused(changes: dict[str, Any], flaw: str) -> None:
    with pytest.raises(ValueError) as caught:
        experiment(**changes)
    assert flaw in str(caught.value)
