"""Eight trials at a time that report a hundred times a second each: does anything get lost?

    python -m tests.chaos.load [--seconds 60]

Each trial of the search reports for a tenth of the time and is followed by another. At the end
every report is looked for in MLflow, and the driver's memory is compared between the time when
all slots were busy for the first time and the last.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from runner.experiment import Store
from runner.study import read_study
from runner.tracking import connect, read_trials

SLOTS = 8
REPORTS_PER_S = 100
# Trials that each slot runs, one after another.
IN_TURN = 10

OBJECTIVE = """
import time


def objective(trial):
    began = time.monotonic()
    for step in range(1, trial.params["steps"] + 1):
        trial.report(step, loss=1 / step, accuracy=1 - 1 / step, learning_rate=0.1)
        time.sleep(max(0.0, began + step / {per_s} - time.monotonic()))
"""

EXPERIMENT = """
name: load
task: custom
objective: load.py:objective
params: {{steps: {steps}}}
search:
  metric: loss
  direction: minimize
  trials: {trials}
  slots: {slots}
  devices: [cpu]
  sampler: random
  pruner: none
  space: {{x: {{float: [0.0, 1.0]}}}}
"""


@dataclass(frozen=True)
class Loaded:
    """What came of it.

    Attributes:
        seconds: The search's own time.
        reported: Reports that were made.
        missing: Those that MLflow has not.
        first_mib: The driver's memory when a fifth of the time had gone, in MiB.
        last_mib: At the end of the last trial; what is published then takes some for itself.
    """

    seconds: float
    reported: int
    missing: int
    first_mib: float
    last_mib: float

    @property
    def per_s(self) -> float:
        """Reports a second, all slots together."""
        return self.reported / self.seconds


def load(folder: Path, *, seconds: float) -> Loaded:
    """Run the search, and look."""
    steps, trials = int(seconds * REPORTS_PER_S / IN_TURN), SLOTS * IN_TURN
    (folder / "load.py").write_text(OBJECTIVE.format(per_s=REPORTS_PER_S))
    text = EXPERIMENT.format(steps=steps, trials=trials, slots=SLOTS)
    (folder / "load.yaml").write_text(text)
    home = folder / "store"
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", "search", "load.yaml", "--plain"],
            cwd=folder,
            env={**os.environ, "RUNNER_HOME": str(home)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    memory = _watch(process, output, trials)
    assert process.returncode == 0, output.read_text()[-3000:]
    store = Store(home)
    record = read_study(store, "load")
    tracking = connect(None, store)
    runs = {run.number: run.run_id for run in read_trials(tracking, record.study_id)}
    missing = 0
    for trial in record.trials():
        for name in ("loss", "accuracy", "learning_rate"):
            points = tracking.metric_history(runs[trial.number], f"validation/{name}")
            assert len(points) == len({point.step for point in points})
            missing += steps - len(points)
    return Loaded(
        float(record.attributes["seconds_used"]),
        steps * trials,
        missing,
        memory[len(memory) // 5],
        memory[-1],
    )


def _watch(process: "subprocess.Popen[bytes]", output: Path, trials: int) -> list[float]:
    """The driver's memory twice a second while trials run, in MiB."""
    driver, memory = psutil.Process(process.pid), list[float]()
    while process.poll() is None:
        said = output.read_text(errors="replace")
        if f"trial {SLOTS - 1} begins" in said and f"[{trials}/{trials}]" not in said:
            try:
                memory.append(driver.memory_info().rss / 2**20)
            except psutil.Error:
                break
        time.sleep(0.5)
    process.wait()
    return memory


def main() -> None:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runner-load-") as name:
        found = load(Path(name), seconds=options.seconds)
    print(
        f"{found.reported} reports in {found.seconds:.1f} s ({found.per_s:.0f} a second), "
        f"{found.missing} values missing in MLflow; the driver's memory {found.first_mib:.0f} "
        f"MiB after a fifth of the time, {found.last_mib:.0f} MiB when the last trial ended"
    )


if __name__ == "__main__":
    main()
