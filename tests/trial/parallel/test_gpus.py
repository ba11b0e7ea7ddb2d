"""The same on GPUs, where there are two; has never run where this was written."""

from collections.abc import Callable

import pytest
import torch

from runner.experiment import Experiment
from runner.trial import Lease, Outcome
from tests.trial.conftest import small_experiment
from tests.trial.parallel.breaking import FITS, KILLED, OUT_OF_MEMORY
from tests.trial.parallel.conftest import Laboratory, require_near

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]
ONE, TWO = Lease(0, ("cuda:0",), 2), Lease(0, ("cuda:0", "cuda:1"), 4)


@pytest.fixture(scope="module")
def laboratory(laboratories: Callable[[Experiment], Laboratory]) -> Laboratory:
    return laboratories(
        small_experiment(
            batch_size=33, optimizer="sgd", learning_rate=0.01, precision="float32", compile="off"
        )
    )


def test_thawed_batch_norm_sees_the_whole_batch(laboratory: Laboratory) -> None:
    one, two = laboratory.train(ONE), laboratory.train(TWO)
    assert two.ending.notes["data_parallel"] == "2 devices; batch norm over the whole batch"
    # Batch norm amplifies rounding: docs/freezing-and-recipe.md, Compiling.
    require_near(one, two, tolerance=1e-2)


def test_batch_with_an_example_for_one_device_alone(laboratory: Laboratory) -> None:
    """The last batch is smaller than the number of devices, and batch norm waits for all."""
    count = len(laboratory.objective.bench(ONE).train)
    two = laboratory.train(TWO, batch_size=count - 1, epochs=1, mixup=0.2)
    assert two.ending.outcome is Outcome.COMPLETE


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_train(laboratory: Laboratory, precision: str) -> None:
    assert laboratory.train(TWO, precision=precision).ending.outcome is Outcome.COMPLETE


def test_memory_that_runs_out_on_the_second_device(laboratory: Laboratory) -> None:
    two = laboratory.train(TWO, seed=OUT_OF_MEMORY)
    assert two.ending.outcome is Outcome.COMPLETE
    assert two.ending.notes["micro_batch"] == FITS


@pytest.mark.timeout(120)
def test_dead_second_device_loses_the_trial_and_nothing_hangs(laboratory: Laboratory) -> None:
    assert laboratory.train(TWO, seed=KILLED).ending.outcome is Outcome.LOST
    assert laboratory.train(TWO, epochs=1).ending.outcome is Outcome.COMPLETE
