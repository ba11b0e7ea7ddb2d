"""A trial gives the same bits first and after twenty others in the same worker."""

import gc
import hashlib
import json
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from runner.trial import Lease
from runner.trial.isolation import reset_process

ROOT = Path(__file__).parents[2]

# Run in a process of its own, as a worker would: first the trial, or first twenty others.
SCRIPT = """
import hashlib, json, random, sys
from pathlib import Path
import torch
from runner.experiment import Store
from runner.trial import Attempt, Decision, FineTune, Job, Lease, TrialSpec, run_job
from tests.trial.conftest import Recorder, small_experiment

folder, others = Path(sys.argv[1]), int(sys.argv[2])
experiment = small_experiment(epochs=1)
objective, lease = FineTune(experiment, Store(folder / "store")), Lease(slot=0)


def run(number, params, channel):
    spec = TrialSpec(Attempt(number, 0), params, number, str(folder / str(number)))
    run_job(objective, Job((spec,)), lease, channel)
    return channel


def disturb(number):
    params = {"learning_rate": 0.001 * (1 + number), "mixup": 0.1 * (number % 3), "ema": 0.5}
    if number % 5 == 1:   # pruned
        ended = run(100 + number, params, Recorder({1: Decision.STOP}))
        assert ended.endings[0].outcome == "pruned"
    elif number % 5 == 2:   # crashed, by a loss that is not a number
        ended = run(100 + number, {"optimizer": "sgd", "learning_rate": 1e12}, Recorder())
        assert ended.endings[0].outcome == "diverged", ended.endings
    elif number % 5 == 3:   # out of memory, at torch's own allocator
        from runner.trial.stepping import Stepper
        step = Stepper.step
        Stepper.step = lambda *args: torch.empty(1 << 60, dtype=torch.uint8)
        ended = run(100 + number, params, Recorder())
        Stepper.step = step
        assert ended.endings[0].outcome == "out_of_memory"
    else:
        run(100 + number, params, Recorder())
    # What a careless objective may leave behind.
    random.random(), torch.rand(3), torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64), torch.set_num_threads(2)


for number in range(others):
    disturb(number)
params = {"mixup": 0.2, "ema": 0.9, "dropout": 0.2, "augmentation": "strong"}
channel = run(0, params, Recorder())
weights = (folder / "0" / "weights.safetensors").read_bytes()
print("HASH", hashlib.sha256(weights).hexdigest(), json.dumps(channel.metrics))
"""


def result_after(others: int, folder: Path) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(others)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
        check=False,
    )
    lines = [line for line in answer.stdout.splitlines() if line.startswith("HASH")]
    assert lines, answer.stderr[-3000:]
    return lines[0]


@pytest.mark.slow
def test_trial_gives_the_same_bits_first_and_after_twenty_others(tmp_path):
    first = result_after(0, tmp_path / "first")
    after = result_after(20, tmp_path / "after")

    assert first == after
    assert json.loads(first.split(" ", 2)[2])[0]["train/loss"] > 0
    assert len(first.split()[1]) == hashlib.sha256().digest_size * 2


class Knot:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.knot = self


def test_reset_process_frees_what_earlier_jobs_left_in_cycles():
    for _ in range(3):
        left = weakref.ref(Knot())
        reset_process(Lease(slot=0))
        assert left() is None


def test_reset_process_sets_the_libraries_aside():
    reset_process(Lease(slot=0))
    assert gc.get_freeze_count() > 100_000
