"""Out of memory: a real allocator that refuses, and gradients that stay the same."""

import gc
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner.errors import TrialOutOfMemory
from runner.trial import (
    Attempt,
    Decision,
    FineTune,
    Job,
    Lease,
    Outcome,
    TrialSpec,
    run_job,
)
from runner.trial.bench import Bench
from runner.trial.finetune import fine_tune
from runner.trial.memory import (
    RESIDENT_SHARE,
    Residency,
    is_out_of_memory,
    out_of_memory_beside_others,
    with_shrinking_micro_batch,
)
from runner.trial.modality import Moment
from runner.trial.precision import Numerics, choose_numerics
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


def test_micro_batch_that_no_share_reaches_is_not_tried():
    tried = []

    def train(micro):
        tried.append(micro)
        if micro > 2:
            torch.empty(1 << 60, dtype=torch.uint8)
        return "fits"

    assert with_shrinking_micro_batch(33, train, largest=9) == "fits"
    assert tried == [33, 4, 2]
    with pytest.raises(TrialOutOfMemory):
        with_shrinking_micro_batch(33, lambda micro: torch.empty(1 << 60), largest=1)


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
        portion = next(training._batches.of_epoch(moment))
        training.optimizer.step = lambda *args, **kwargs: None  # look at the gradient alone
        training.stepper.step(portion)
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


def test_packed_trial_that_runs_out_of_memory_ends_at_once(store, spec, lease, monkeypatch):
    bench, tried = Bench(small_experiment(), store), []

    def step(stepper, *args):
        tried.append(stepper.micro_batch)
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(Stepper, "step", step)
    channel = Recorder()
    objective = FineTune(bench.experiment, store)
    run_job(objective, Job((replace(spec, is_packed=True),)), lease, channel)

    assert tried == [32]
    assert [ending.outcome for ending in channel.endings] == [Outcome.OUT_OF_MEMORY]
    assert channel.endings[0].reason.startswith("out of memory on a device that it shares (")


def test_trial_that_took_smaller_batches_says_into_how_many(store, spec, lease, monkeypatch):
    step = Stepper.step

    def refuse(stepper, *args):
        if stepper.micro_batch > 10:
            torch.empty(1 << 60, dtype=torch.uint8)
        return step(stepper, *args)

    monkeypatch.setattr(Stepper, "step", refuse)
    ending = fine_tune(Bench(small_experiment(epochs=1), store), spec, lease, Recorder())
    assert (ending.notes["micro_batch"], ending.notes["micro_batches"]) == (8, 4)
    monkeypatch.setattr(Stepper, "step", step)
    ending = fine_tune(Bench(small_experiment(epochs=1), store), spec, lease, Recorder())
    assert "micro_batches" not in ending.notes


@pytest.mark.parametrize(
    ("is_packed", "outcome"), [(True, Outcome.OUT_OF_MEMORY), (False, Outcome.LOST)]
)
def test_company_that_finds_no_memory_is_out_of_it_only_if_packed(
    store, lease, tmp_path, monkeypatch, is_packed, outcome
):
    def refuse(*args, **settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("runner.trial.fused.job.choose_numerics", refuse)
    specs = [
        TrialSpec(Attempt(number, 0), {}, 7, str(tmp_path / str(number)), is_packed)
        for number in range(2)
    ]
    for spec in specs:
        Path(spec.folder).mkdir()
    objective = FineTune(small_experiment(freeze_depth="max", augmentation="none"), store)
    channel = Recorder()
    run_job(objective, Job(tuple(specs)), lease, channel)
    assert [ending.outcome for ending in channel.endings] == [outcome] * 2, channel.endings


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
    ],
)
def test_what_libraries_say_on_a_full_device_is_put_down_to_the_neighbours(said):
    shares = pytest.raises(TrialOutOfMemory, match="on a device that it shares")
    with shares, out_of_memory_beside_others(is_packed=True):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match=said[:12]), out_of_memory_beside_others(False):
        raise RuntimeError(said)


def test_other_errors_of_a_packed_trial_are_its_own():
    with pytest.raises(ValueError, match="size"), out_of_memory_beside_others(True):
        raise ValueError("size")
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_beside_others(True):
        raise RuntimeError("shapes cannot be multiplied")


CUDA = torch.device("cuda:0")


@pytest.fixture
def free(monkeypatch):
    """Says what is free of a device of 1,000 bytes."""
    memory = {"free": 1000}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 1000))
    return memory


def test_data_stay_on_a_device_of_its_own_as_far_as_a_share_of_what_is_free(free):
    residency = Residency()
    assert RESIDENT_SHARE == 0.25
    assert residency.take(250, CUDA)
    assert not residency.take(251, CUDA)
    free["free"] = 400
    assert not residency.take(101, CUDA)
    assert residency.take(100, CUDA)
    assert not residency.take(1, torch.device("cpu"))


def test_data_stay_on_a_shared_device_whatever_the_neighbours_leave(free):
    residency = Residency(neighbours=2)
    free["free"] = 1
    assert residency.take(100, CUDA)
    assert not residency.take(26, CUDA)
    assert residency.take(25, CUDA)
    assert not residency.take(1, CUDA)
    residency.release()
    assert residency.take(125, CUDA)


@pytest.mark.parametrize(("neighbours", "kept"), [(1, 1), (2, 0)])
def test_images_stay_on_a_device_between_jobs_only_where_nobody_else_is(
    store, monkeypatch, neighbours, kept
):
    monkeypatch.setattr(Residency, "take", lambda self, nbytes, device: True)
    bench = Bench(small_experiment(), store, residency=Residency(neighbours))
    inputs, cpu = bench.train.inputs, torch.device("cpu")
    recipe = bench.experiment.recipe({})
    before = inputs.eval_batch(torch.arange(4), recipe, device=cpu)
    assert len(inputs._on_device) == 1
    bench.release()
    assert len(inputs._on_device) == kept
    after = inputs.eval_batch(torch.arange(4), recipe, device=cpu)
    torch.testing.assert_close(after, before)


GIVES_BACK = """
import sys, weakref
from pathlib import Path
import torch
from runner.experiment import Store
from runner.trial import Attempt, FineTune, Job, Lease, Share, TrialSpec, run_job
from runner.trial.bench import Bench
from runner.trial.training import Training
from tests.trial.conftest import Recorder, small_experiment

folder, act = Path(sys.argv[1]), sys.argv[2]
models, channel, build, epoch = [], Recorder(), Bench.build, Training._epoch


def noting_build(bench, *args):
    made = build(bench, *args)
    models.append(weakref.ref(made.model))
    return made


def acting_epoch(training, channel):
    if act == "raise":
        raise ValueError("of the trial")
    return epoch(training, channel)


Bench.build, Training._epoch = noting_build, acting_epoch
# As on a GPU, once the trial has ended.
torch.cuda.is_available = lambda: bool(channel.endings)
torch.cuda.empty_cache = lambda: print("GIVEN BACK", models[-1]() is None)
objective = FineTune(small_experiment(epochs=1), Store(folder))
for share in (Share("GPU-a", 2, 20.0), None):
    channel.endings.clear()
    job = Job((TrialSpec(Attempt(0, 0), {}, 7, str(folder)),))
    run_job(objective, job, Lease(0, share=share), channel)
    print("ENDED", channel.endings[0].outcome.value)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("act", "outcome"), [("train", "complete"), ("raise", "failed")])
def test_job_gives_a_shared_devices_memory_back_when_nothing_holds_it_any_more(
    tmp_path, act, outcome
):
    """Also after an exception, whose frames hold the model until it has been dealt with."""
    answer = subprocess.run(
        [sys.executable, "-c", GIVES_BACK, str(tmp_path), act],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    said = [line for line in answer.stdout.splitlines() if line.startswith(("GIVEN", "ENDED"))]
    assert said == ["GIVEN BACK True", f"ENDED {outcome}", f"ENDED {outcome}"]


def test_peak_is_said_of_an_attempt_that_trained_and_of_no_other(store, spec, lease, monkeypatch):
    monkeypatch.setattr("runner.trial.finetune.peak_memory_gib", lambda device: 3.0)
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)
    bench = Bench(small_experiment(), store)
    paused = fine_tune(bench, spec, lease, Recorder({1: Decision.PAUSE}))
    assert paused.notes["peak_memory_gib"] == 3.0
    told_on_replay = fine_tune(bench, spec, lease, Recorder({1: Decision.PAUSE}))
    assert told_on_replay.notes["epochs"] == 1
    assert told_on_replay.notes["peak_memory_gib"] is None


def test_what_did_not_fit_is_gone_before_the_next_attempt(store, spec, lease, monkeypatch):
    """Fails where the first attempt's model, optimiser and gradients stay beside the second's."""
    left: list[weakref.ref] = []
    prepare = Training.prepare

    def prepare_little(self: Training, channel: Recorder) -> None:
        assert all(model() is None for model in left)
        left.append(weakref.ref(self.model))
        prepare(self, channel)
        if self.micro_batch > 8:
            raise MemoryError

    monkeypatch.setattr(Training, "prepare", prepare_little)
    bench = Bench(small_experiment(epochs=1), store)
    gc.collect()
    gc.disable()
    try:
        ending = fine_tune(bench, spec, lease, Recorder())
    finally:
        gc.enable()

    assert ending.outcome is Outcome.COMPLETE
    assert ending.notes["micro_batch"] == 8
    assert len(left) == 3


def test_data_of_a_trial_of_a_job_do_not_count_for_the_next(store, tmp_path, monkeypatch):
    """Fails where they count until the job ends, though they have gone with their trial."""
    released: list[int] = []
    monkeypatch.setattr(Bench, "release", lambda self: released.append(len(recorder.endings)))
    recorder = Recorder()
    specs = [TrialSpec(Attempt(n, 0), {}, 7, str(tmp_path / str(n))) for n in range(2)]

    run_job(
        FineTune(small_experiment(epochs=1), store), Job(tuple(specs)), Lease(slot=0), recorder
    )

    assert [ending.outcome for ending in recorder.endings] == [Outcome.COMPLETE] * 2
    assert released == [0, 1, 2]


def test_older_gpus_compute_in_float16(monkeypatch):
    """Fails where emulation counts: torch has it on every GPU, and it is slow."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    model = torch.nn.Linear(2, 2)
    numerics = choose_numerics(model, "cuda", precision="auto", channels_last=False)
    assert numerics.dtype is torch.float16


def test_checkpoint_of_a_device_without_a_scaler_goes_on_with_one(store, spec, lease, monkeypatch):
    bench = Bench(small_experiment(checkpoint="every"), store)
    recorder = Recorder({1: Decision.PAUSE})
    assert fine_tune(bench, spec, lease, recorder).outcome is Outcome.PAUSED
    monkeypatch.setattr(
        Numerics,
        "grad_scaler",
        lambda self: torch.amp.GradScaler("cpu", enabled=True),
    )
    assert fine_tune(bench, spec, lease, Recorder()).outcome is Outcome.COMPLETE
