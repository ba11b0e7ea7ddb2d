"""Out of memory: a real allocator that refuses, and gradients that stay the same."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from runner.errors import TrialOutOfMemory
from runner.trial import Outcome
from runner.trial.bench import Bench
from runner.trial.finetune import fine_tune
from runner.trial.memory import is_out_of_memory, with_shrinking_micro_batch
from runner.trial.modality import Moment
from runner.trial.progress import Goal
from runner.trial.stepping import Stepper
from runner.trial.training import Training
from tests.trial.conftest import Recorder, small_experiment

ROOT = Path(__file__).parents[2]


def refused_allocation() -> RuntimeError:
    """What torch's own allocator raises when the machine has no such memory."""
    try:
        torch.empty(1 << 60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("a machine with an exbibyte of memory")


def test_torchs_own_refusal_is_recognised():
    assert is_out_of_memory(refused_allocation())
    assert is_out_of_memory(MemoryError())
    # Seen under RLIMIT_AS, where oneDNN could not allocate.
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))


def test_micro_batch_halves_until_it_fits():
    tried = []

    def train(micro):
        tried.append(micro)
        if micro > 8:
            torch.empty(1 << 60, dtype=torch.uint8)
        return "fits"

    assert with_shrinking_micro_batch(50, train) == "fits"
    assert tried == [50, 25, 12, 6]


def test_nothing_fits_is_out_of_memory_with_advice():
    with pytest.raises(TrialOutOfMemory, match="one example at a time; use a smaller model"):
        with_shrinking_micro_batch(4, lambda micro: torch.empty(1 << 60, dtype=torch.uint8))


def test_other_errors_are_not_swallowed():
    def train(micro):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        with_shrinking_micro_batch(4, train)


def test_accumulated_gradient_equals_the_whole_batchs(store, spec, lease):
    # All groups frozen: no batch norm sees the micro-batch, so both are one function.
    bench = Bench(small_experiment(freeze_depth="max", augmentation="none"), store)
    gradients = []
    for micro in (32, 5):
        training = Training(
            bench,
            bench.experiment.recipe({}),
            spec,
            lease,
            Goal("accuracy", True),
            micro_batch=micro,
        )
        training._set_training_mode(0)
        moment = Moment(0, torch.Generator().manual_seed(1), torch.device("cpu"))
        images, targets = next(training._epoch_batches(moment))
        training.optimizer.step = lambda *args, **kwargs: None  # look at the gradient alone
        training.stepper.step(images, targets)
        gradients.append([p.grad for p in training.model.parameters() if p.grad is not None])

    assert gradients[0]
    for whole, accumulated in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, accumulated, rtol=1e-5, atol=1e-6)


LIMITED = """
import resource, sys
from pathlib import Path
from runner.experiment import Experiment, Store
from runner.trial import Attempt, Lease, TrialSpec, Outcome, Job, Printed, run_alone, FineTune
from tests.trial.conftest import small_experiment

# Everything is loaded before the limit: what is refused is the batch.
small = small_experiment(batch_size=160, epochs=1).resolved()
small["data"]["image_size"] = 128  # so that a whole batch takes some hundred MiB
small["model"]["arguments"]["channels"] = [32, 32, 32, 32]
objective = FineTune(Experiment.from_resolved(small), Store(Path(sys.argv[1])))
lease = Lease(slot=0)
objective.inspect(lease)
bench = objective.bench(lease)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20,) * 2)
spec = TrialSpec(Attempt(0, 0), {}, 7, sys.argv[1])
ending = run_alone(objective, Job((spec,)), lease, Printed(print))
print("OUTCOME", ending.outcome.value, ending.notes.get("micro_batch"), ending.value is None)
"""


def run_limited(folder: Path, mebibytes: int) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(mebibytes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=250,
        check=False,
    )
    lines = [line for line in answer.stdout.splitlines() if line.startswith("OUTCOME")]
    return lines[0] if lines else ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is enforced on Linux alone")
def test_limit_on_the_address_space_shrinks_the_micro_batch(tmp_path):
    roomy = run_limited(tmp_path, 2000).split()
    assert roomy[1:3] == [Outcome.COMPLETE.value, "160"]

    # Near a limit oneDNN now and then aborts, or has no room even for one example, wherever its
    # own small allocations fall: one limit at which a smaller batch fits shows what is meant.
    for mebibytes in (600, 500, 700, 400, 800, 900):
        line = run_limited(tmp_path, mebibytes).split()
        if line and line[1] == Outcome.COMPLETE.value and int(line[2]) < 160:
            assert line[3] == "False"  # and it has its value
            return
    raise AssertionError("the micro-batch shrank under none of the limits")


def test_out_of_memory_trial_has_no_value_in_its_ending(store, spec, lease, monkeypatch):
    bench = Bench(small_experiment(), store)
    monkeypatch.setattr(Stepper, "step", lambda *args: torch.empty(1 << 60, dtype=torch.uint8))

    with pytest.raises(TrialOutOfMemory):
        fine_tune(bench, spec, lease, Recorder())
