"""When the training pass is compiled, what it gives, and that nothing else notices."""

import hashlib
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from runner.experiment import Experiment, Recipe
from runner.trial import Decision, Lease, Outcome
from runner.trial.bench import Bench, Part
from runner.trial.checkpoint import WEIGHTS, TrainingState, load_checkpoint
from runner.trial.compiling import (
    COMPILE_S,
    TrainingPass,
    is_worth_compiling,
    obstacle_to_compiling,
)
from runner.trial.finetune import fine_tune
from runner.trial.isolation import reset_process
from runner.trial.precision import Numerics
from runner.trial.route import Route
from tests.trial.conftest import Recorder, small_experiment

ROOT = Path(__file__).parents[2]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class _Texts:
    lengths = (3, 4)

    def __len__(self) -> int:
        return 2


class _Images(_Texts):
    lengths = None


def route(*, cut: int | None = None, inputs=None, forward=None) -> Route:
    part = Part(inputs or _Images(), torch.zeros(2), ("a", "b"), "digest")
    return Route(part, part, forward or (lambda model, batch: model(batch["x"])), cut, "plain")


def numerics(dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> Numerics:
    return Numerics(device, dtype, torch.contiguous_format)


def state(epoch: int = 0, **values) -> TrainingState:
    return TrainingState(epoch, {}, {}, micro_batch=4, **values)


@pytest.mark.parametrize(
    ("recipe", "way", "device", "why"),
    [
        ({"compile": "off"}, {}, CUDA, "train.compile is off"),
        ({}, {}, CPU, "auto compiles on CUDA devices alone"),
        ({}, {"cut": 3}, CUDA, "auto leaves out what follows shared features, which is small"),
        ({}, {"inputs": _Texts()}, CUDA, "auto leaves out texts, which have many lengths"),
        (
            {"unfreeze_every": 1, "freeze_depth": 2},
            {},
            CUDA,
            "auto leaves out layers that thaw, each time compiled again",
        ),
        ({"compile": "on"}, {}, torch.device("mps"), "mps devices cannot"),
    ],
)
def test_obstacle_says_why_a_trial_is_not_compiled(recipe, way, device, why):
    assert obstacle_to_compiling(Recipe(**recipe), route(**way), device) == why


@pytest.mark.parametrize(
    ("recipe", "way", "device"),
    [
        ({}, {}, CUDA),
        ({"unfreeze_every": 1}, {}, CUDA),  # nothing is frozen, so nothing thaws
        ({"compile": "on"}, {"cut": 3, "inputs": _Texts()}, CPU),
    ],
)
def test_nothing_is_in_the_way_of_what_may_be_compiled(recipe, way, device):
    assert obstacle_to_compiling(Recipe(**recipe), route(**way), device) is None


def test_what_is_left_must_save_more_than_compiling_costs():
    # 21 % faster saves 17 % of the time, 51 % faster 34 %.
    assert not is_worth_compiling(5.7 * COMPILE_S, torch.float32)
    assert is_worth_compiling(5.8 * COMPILE_S, torch.float32)
    assert not is_worth_compiling(2.9 * COMPILE_S, torch.bfloat16)
    assert is_worth_compiling(3.0 * COMPILE_S, torch.bfloat16)


def judged(after: TrainingState, *, epoch_s: float, **recipe) -> TrainingPass:
    on_gpu = numerics(torch.bfloat16, CUDA)
    made = TrainingPass(nn.Linear(2, 2), route(), on_gpu, Recipe(epochs=10, **recipe), 1)
    made.judge(after, epoch_s=epoch_s, last_epoch=10)
    return made


def test_long_trial_is_compiled_from_its_second_epoch():
    after = state(1)

    made = judged(after, epoch_s=60.0)

    assert after.compiled_from == 2
    assert made.note(after) == "from epoch 2"


def test_short_trial_is_not_compiled_and_says_what_was_left():
    after = state(1)

    made = judged(after, epoch_s=2.0)

    assert after.compiled_from is None
    assert made.note(after) == "no: 18 s of training were left, too few to pay for it"


def test_decision_is_taken_once():
    after = state(1)
    judged(after, epoch_s=2.0)
    after.epoch = 2

    made = judged(after, epoch_s=1000.0)

    assert made.note(after) == "no: 18 s of training were left, too few to pay for it"


def test_trial_of_one_epoch_has_nothing_left_to_compile():
    after = state(10)

    assert judged(after, epoch_s=1000.0).note(after).startswith("no: 0 s of training were left")


def test_off_wins_over_what_the_checkpoint_says():
    after = state(3, compiled_from=2)

    made = judged(after, epoch_s=100.0, compile="off")

    assert made.note(after) == "from epoch 2, but not to the end: train.compile is off"


class Erratic(nn.Module):
    """Counts its calls in a buffer, draws random numbers, and asks what no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x = nn.functional.dropout(x)
        return self.layer(x) if float(x.sum()) < 1e9 else x


def test_what_cannot_be_compiled_is_computed_plainly_and_leaves_no_trace():
    model, made_from = Erratic(), Recipe(compile="on")
    made = TrainingPass(model, route(), numerics(), made_from, 1)
    before, batch = state(), {"x": torch.ones(4, 3)}
    torch.manual_seed(5)

    made.begin(before, batch)

    outputs = made(batch)
    assert made.note(before).startswith("no: compiling failed: ")
    assert before.compiled_from is None
    assert float(model.calls) == 1
    torch.manual_seed(5)
    torch.testing.assert_close(outputs, model(batch["x"]), rtol=0, atol=0)


def test_failure_is_not_tried_again_at_every_batch(monkeypatch):
    tried = []
    monkeypatch.setattr(torch, "compile", lambda *_, **__: tried.append(1))
    made = TrainingPass(nn.Linear(3, 2), route(), numerics(), Recipe(compile="on"), 1)

    for _ in range(3):
        made.begin(state(), {"x": torch.ones(4, 3)})

    assert len(tried) == 1


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda outputs: outputs * 1.01, "its outputs are"),
        (lambda outputs: outputs.detach() + 2 * outputs - 2 * outputs.detach(), "its gradient is"),
        (lambda outputs: outputs * float("nan"), "its outputs are nan"),
    ],
)
def test_graph_that_computes_something_else_is_not_used(monkeypatch, wrong, what):
    # What a compiler that is broken would do: it gives a function with other values.
    def broken(function, **_):
        return lambda batch: wrong(function(batch))

    monkeypatch.setattr(torch, "compile", broken)
    made = TrainingPass(nn.Linear(3, 2), route(), numerics(), Recipe(compile="on"), 1)
    before = state()

    made.begin(before, {"x": torch.ones(4, 3)})

    assert made.note(before).startswith(f"no: compiling failed: {what}")


@pytest.fixture
def compiler() -> None:
    """The machine's, or the test is skipped; torch finds it by itself."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("needs a C++ compiler, g++ or clang++")


def tiny(store, **train) -> Bench:
    """A vision transformer with all there is of randomness; its rounding is not amplified."""
    asked = small_experiment(**{"dropout": 0.2, "drop_path": 0.3, "ema": 0.9, **train}).resolved()
    asked["train"] |= {"learning_rate": 1e-3, "mixup": 0.2}
    asked["model"] = {
        "name": "vit_tiny_patch16_224",
        "weights": "none",
        "arguments": {
            "img_size": 32,
            "patch_size": 8,
            "embed_dim": 32,
            "depth": 2,
            "num_heads": 2,
        },
    }
    return Bench(Experiment.model_validate(asked), store)


def require_near(one: Recorder, other: Recorder) -> None:
    """Losses to 1e-5 of their size: the stated tolerance for a net that amplifies nothing."""
    assert len(one.metrics) == len(other.metrics)
    for ours, theirs in zip(one.metrics, other.metrics, strict=True):
        for loss in ("train/loss", "validation/loss"):
            assert ours[loss] == pytest.approx(theirs[loss], rel=1e-5)


@pytest.mark.slow
def test_compiled_trial_has_the_losses_of_the_plain_one(store, spec, lease, tmp_path, compiler):
    plain, compiled = Recorder(), Recorder()
    ours = fine_tune(tiny(store, compile="off"), spec, lease, plain)
    folder = tmp_path / "compiled"
    folder.mkdir()
    theirs = fine_tune(
        tiny(store, compile="on"), replace(spec, folder=str(folder)), lease, compiled
    )

    assert ours.notes["compiled"] == "no: train.compile is off"
    assert theirs.notes["compiled"].startswith("from epoch 1, in ")
    require_near(plain, compiled)
    # What is kept is of the module itself, by the same names.
    kept = [load_file(Path(one) / WEIGHTS) for one in (spec.folder, folder)]
    assert kept[0].keys() == kept[1].keys()


@pytest.mark.slow
def test_decision_travels_in_the_checkpoint(store, spec, lease, tmp_path, compiler, monkeypatch):
    # As a long trial on a GPU would be judged; everything else is as it is.
    monkeypatch.setattr("runner.trial.compiling.obstacle_to_compiling", lambda *_: None)
    monkeypatch.setattr("runner.trial.compiling.COMPILE_S", -1.0)
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)
    bench, whole, cut = tiny(store, epochs=4), Recorder(), Recorder({2: Decision.PAUSE})
    folder = tmp_path / "whole"
    folder.mkdir()
    fine_tune(bench, replace(spec, folder=str(folder)), lease, whole)

    assert fine_tune(bench, spec, lease, cut).outcome is Outcome.PAUSED
    assert load_checkpoint(Path(spec.folder)).compiled_from == 2
    # Judged anew it would not be compiled any more.
    monkeypatch.setattr("runner.trial.compiling.COMPILE_S", 1e9)
    again = Recorder()
    ending = fine_tune(bench, spec, lease, again)

    assert ending.notes["compiled"].startswith("from epoch 2, in ")
    assert again.metrics == whole.metrics


@pytest.mark.slow
def test_on_without_a_compiler_is_a_finding_before_the_first_trial(tmp_path):
    answer = in_process(
        """
        experiment = small_experiment(compile="on")
        facts = FineTune(experiment, Store(folder / "store")).inspect(Lease(slot=0))
        (finding,) = facts.findings
        print("SAID", finding.key, finding.rule, finding.seen)
        """,
        tmp_path,
        CXX="no-such-compiler",
    )

    assert answer.startswith("train.compile on does not work here: on cpu it needs a C++ compiler")
    assert "no-such-compiler" in answer


@pytest.mark.slow
def test_trial_that_loses_its_compiler_goes_on_without(tmp_path):
    answer = in_process(
        """
        run("0", {"compile": "on"})
        ending = channel.endings[0]
        print("SAID", ending.outcome, ending.notes["compiled"])
        """,
        tmp_path,
        CXX="no-such-compiler",
    )

    assert answer.startswith("complete no: compiling failed: InvalidCxxCompiler")


@pytest.mark.slow
def test_compiled_trial_gives_the_same_bits_first_and_after_others(tmp_path, compiler):
    last = """
        run("last", {"compile": "on", "dropout": 0.2})
        weights = (folder / "last" / "weights.safetensors").read_bytes()
        print("SAID", hashlib.sha256(weights).hexdigest(), json.dumps(channel.metrics))
    """
    others = """
        run("other", {"compile": "on", "batch_size": 16, "freeze_depth": 2})
        assert channel.endings[0].notes["compiled"].startswith("from epoch 1"), channel.endings
        run("plain", {"compile": "off", "learning_rate": 0.1})
    """
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}

    first = in_process(last, tmp_path / "first", **cache)
    after = in_process(others + last, tmp_path / "after", **cache)

    assert first == after
    assert len(first.split()[0]) == hashlib.sha256().digest_size * 2


def test_reset_forgets_what_was_compiled():
    # Switches that are guarded; and Dynamo alone, so that no C++ compiler is needed.
    reset_process(Lease(slot=0))
    compiled = torch.compile(lambda x: x + 1, backend="eager")
    compiled(torch.ones(2))
    with torch.compiler.set_stance("fail_on_recompile"):
        compiled(torch.ones(2))

    reset_process(Lease(slot=0))

    with (
        torch.compiler.set_stance("fail_on_recompile"),
        pytest.raises(RuntimeError, match="recompile"),
    ):
        compiled(torch.ones(2))


PROLOGUE = """
import hashlib, json, sys
from pathlib import Path
from runner.experiment import Store
from runner.trial import Attempt, FineTune, Job, Lease, TrialSpec, run_job
from tests.trial.conftest import Recorder, small_experiment

folder = Path(sys.argv[1])


def run(name, params):
    global channel
    channel = Recorder()
    spec = TrialSpec(Attempt(0, 0), params, 7, str(folder / name))
    objective = FineTune(small_experiment(epochs=1), Store(folder / "store"))
    run_job(objective, Job((spec,)), Lease(slot=0), channel)


"""


def in_process(script: str, folder: Path, **environment: str) -> str:
    """What a process of its own, as a worker is one, says."""
    answer = subprocess.run(
        [sys.executable, "-c", PROLOGUE + textwrap.dedent(script), str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=280,
        check=False,
    )
    said = [line for line in answer.stdout.splitlines() if line.startswith("SAID ")]
    assert said, answer.stderr[-3000:]
    return said[0].removeprefix("SAID ")
