"""The quick reader sees what Optuna sees."""

from pathlib import Path

import optuna
import pytest

from runner.errors import StudyError
from runner.experiment import (
    ChoiceParameter,
    Comparison,
    Condition,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Space,
)
from runner.study import StudyRecord
from runner.study.replay import UnknownOperation, replay
from runner.study.sampling import Sampling
from runner.study.storage import JOURNAL, load_study
from runner.study.trial_record import Asked
from runner.trial import Ending, Outcome

SPACE = Space(
    {
        "learning_rate": FloatParameter(1e-5, 1e-1, log=True),
        "epochs": IntParameter(2, 9),
        "smoothing": FloatParameter(0.0, 0.3, step=0.1),
        "layers": ChoiceParameter(("max", 0, 2.5, None, True)),
        "optimizer": ChoiceParameter(("adamw", "sgd")),
        "momentum": FloatParameter(
            0.8, 0.99, when=(Condition("optimizer", Comparison.IN, ("sgd",)),)
        ),
        "augmentation": FixedParameter("light"),
    }
)


@pytest.fixture
def record(tmp_path: Path) -> StudyRecord:
    """A study with trials in every state."""
    made = StudyRecord.open(tmp_path / "cats" / "1", direction="maximize")
    made.set_attribute("facts", {"classes": ["ä", "b\n"]})
    sampling = Sampling(SPACE, "tpe", seed=0, direction="maximize")
    for begin in range(0, 28, 4):
        numbers = range(begin, begin + 4)
        proposals = [sampling.ask(number) for number in numbers]
        made.add_all([Asked(p, "sampler", 7, (begin, 4)) for p in proposals if p is not None])
    for number, outcome in enumerate([*Outcome, *Outcome]):
        made.begin(number)
        made.add_rung(number, 1, 0.5)
        made.add_rung(number, 3, 0.25, failed_at=3 if outcome is Outcome.PRUNED else None)
        notes = {"device": "cpu", "peak": None}
        ending = Ending(outcome, 0.75, 2, reason="why", traceback="where", notes=notes)
        made.close(number, ending)
    made.close(_begun(made, 5), Ending(Outcome.LOST), is_again=False, crashes=2)
    made.close(_begun(made, 4), Ending(Outcome.FAILED), is_again=True, crashes=1)
    _begun(made, 2)
    made.set_attribute("facts", {"classes": ["c"]})
    return made


def _begun(record: StudyRecord, number: int) -> int:
    number += 2 * len(Outcome)
    record.begin(number)
    return number


def as_optuna_has_it(folder: Path) -> StudyRecord:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    storage = optuna.storages.JournalStorage(backend)
    return StudyRecord(folder, load_study(folder.parent.name, storage))


def test_replay_gives_the_trials_and_attributes_that_optuna_gives(record: StudyRecord) -> None:
    read, expected = StudyRecord.read(record.folder), as_optuna_has_it(record.folder)
    assert isinstance(read._kept, type(replay((record.folder / JOURNAL).read_bytes())))
    assert read.trials() == expected.trials() == record.trials()
    assert [list(map(type, t.params.values())) for t in read.trials()] == [
        list(map(type, t.params.values())) for t in expected.trials()
    ]
    assert dict(read.attributes) == dict(expected.attributes)
    assert read.is_maximized == expected.is_maximized
    assert read.trial(3) == expected.trial(3)
    assert read.count == expected.count == 28
    assert {trial.state for trial in read.trials()} >= {"complete", "running", "waiting", "lost"}


def test_replay_of_a_journal_that_optuna_wrote_itself(tmp_path: Path) -> None:
    folder = tmp_path / "cats" / "1"
    folder.mkdir(parents=True)
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    study = optuna.create_study(
        study_name="cats", storage=optuna.storages.JournalStorage(backend), direction="minimize"
    )
    study.set_user_attr("study_id", "x")
    distribution = optuna.distributions.CategoricalDistribution(("a", "b"))
    study.add_trial(
        optuna.trial.create_trial(
            params={"kind": "b"}, distributions={"kind": distribution}, value=0.5
        )
    )
    read = StudyRecord.read(folder)
    assert not read.is_maximized
    assert [trial.params for trial in read.trials()] == [{"kind": "b"}]


def test_replay_leaves_to_optuna_what_it_does_not_know(tmp_path: Path) -> None:
    """A study that was asked for its parameters one by one."""
    folder = tmp_path / "cats" / "1"
    folder.mkdir(parents=True)
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    study = optuna.create_study(study_name="cats", storage=optuna.storages.JournalStorage(backend))
    study.ask().suggest_float("x", 0.5, 0.5)
    with pytest.raises(UnknownOperation, match="a trial whose parameters come one by one"):
        replay((folder / JOURNAL).read_bytes())
    assert [trial.params for trial in StudyRecord.read(folder).trials()] == [{"x": 0.5}]


@pytest.mark.parametrize("tail", [b"", b'{"op_code":5,"wor', b"\0" * 512, b"\0\0\0\n"])
def test_replay_ignores_a_broken_last_line(record: StudyRecord, tail: bytes) -> None:
    with (record.folder / JOURNAL).open("ab") as journal:
        journal.write(tail)
    assert StudyRecord.read(record.folder).trials() == record.trials()


def test_replay_of_any_beginning_of_a_journal_is_what_optuna_makes_of_it(
    record: StudyRecord,
) -> None:
    path = record.folder / JOURNAL
    whole = path.read_bytes().splitlines(keepends=True)
    for count in range(2, len(whole), 7):
        path.write_bytes(b"".join(whole[:count]))
        read, expected = StudyRecord.read(record.folder), as_optuna_has_it(record.folder)
        assert read.trials() == expected.trials()


def test_replay_of_a_journal_that_is_broken_in_its_middle_says_so(record: StudyRecord) -> None:
    path = record.folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"no json\n", *lines[3:]]))
    with pytest.raises(StudyError, match="line 4 of the study's journal is damaged"):
        StudyRecord.read(record.folder)
