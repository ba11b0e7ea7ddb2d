"""What a trial costs in the study's storage: our journal against Optuna's own choices.

    python benchmarks/storage.py [trials] [postgresql://user@host/database]

Each trial: one ask of ten parameters by the random sampler, five rungs, one tell, written so
that a kill -9 right after loses nothing. Printed as milliseconds a trial and as ratios; the
storages take turns, so that a drifting machine hits all of them. With an address, of an empty
database, also what a team's studies cost there.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import optuna

from runner.experiment import FloatParameter, Space, Store
from runner.study import StudyRecord
from runner.study.place import next_place
from runner.study.sampling import Sampling
from runner.study.shelf import shelf_of
from runner.trial import Ending, Outcome

RUNGS = 5
ROUNDS = 3
SPACE = Space({f"x{n}": FloatParameter(0.0, 1.0) for n in range(10)})

Step = Callable[[int], None]


def ours(folder: Path) -> Step:
    """The runner's record: one journal file, one driver."""
    return recording(StudyRecord.open(folder / "study" / "1", direction="maximize"))


def shared(folder: Path, address: str, stack: ExitStack) -> Step:
    """The runner's record in PostgreSQL, every write committed to its disk."""
    place = next_place(shelf_of(Store(folder, address)), "benchmark", new=True)
    stack.enter_context(place.lock())
    return recording(StudyRecord.open(place, direction="maximize"))


def recording(record: StudyRecord) -> Step:
    """A trial as the runner writes it."""
    sampling = Sampling(SPACE, "random", seed=0, direction="maximize")

    def step(number: int) -> None:
        proposal = sampling.ask(number)
        assert proposal is not None
        record.add(proposal, origin="sampler", seed=0)
        record.begin(number)
        for rung in range(RUNGS):
            record.add_rung(number, rung + 1, 0.5)
        record.close(number, Ending(Outcome.COMPLETE, value=0.5))
        sampling.tell(number, record.frozen(number))

    return step


def plain(storage: optuna.storages.BaseStorage) -> Step:
    """Optuna's ask and tell, the usual way."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=storage, direction="maximize", sampler=sampler)

    def step(number: int) -> None:
        trial = study.ask()
        for name in SPACE.parameters:
            trial.suggest_float(name, 0.0, 1.0)
        for rung in range(RUNGS):
            trial.report(0.5, rung + 1)
        study.tell(trial, 0.5)

    return step


def journal(folder: Path) -> Step:
    """Optuna's journal file with its default lock."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    return plain(optuna.storages.JournalStorage(backend))


def sqlite(folder: Path) -> Step:
    """Optuna's relational storage on SQLite."""
    return plain(optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}"))


def relational(address: str) -> Step:
    """Optuna's relational storage on PostgreSQL."""
    scheme, _, rest = address.partition("://")
    return plain(optuna.storages.RDBStorage(f"{scheme}+psycopg://{rest}"))


def milliseconds(step: Step, first: int, count: int) -> float:
    """Mean time of a trial."""
    started = time.perf_counter()
    for number in range(first, first + count):
        step(number)
    return 1000 * (time.perf_counter() - started) / count


def main() -> None:
    """Measure and print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    makers = {
        "runner (journal, one lock a study)": ours,
        "Optuna journal": journal,
        "Optuna sqlite": sqlite,
    }
    address = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as root, ExitStack() as stack:
        steps = {}
        for name, make in makers.items():
            folder = Path(root, str(len(steps)))
            folder.mkdir()
            steps[name] = make(folder)
        if address is not None:
            steps["runner, PostgreSQL"] = shared(Path(root, "shared"), address, stack)
            steps["Optuna PostgreSQL"] = relational(address)
        times: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(ROUNDS):
            for name, step in steps.items():
                times[name].append(milliseconds(step, turn * count, count))
    base = sorted(times[next(iter(times))])[ROUNDS // 2]
    print(f"{'storage':38} {'ms a trial (median)':>20} {'times ours':>11}")
    for name, taken in times.items():
        median = sorted(taken)[ROUNDS // 2]
        print(f"{name:38} {median:20.1f} {median / base:11.1f}")


if __name__ == "__main__":
    main()
