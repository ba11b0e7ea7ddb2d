"""Where jobs run, from what was asked."""

import os
import tempfile
from pathlib import Path

import pytest

from runner.experiment import Experiment
from runner.study.options import BackendName, Options
from runner.study.placing import place
from tests.objectives import Scripted
from tests.trial.conftest import small_experiment

TWO = "0, GPU-aaaa1111, 100, 80000\n1, GPU-bbbb2222, 100, 80000"


def test_this_process_sees_the_gpu_that_was_asked_for_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where only worker processes are shown their lease's GPU: it trains on the first."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<END\n{TWO}\nEND")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    asked = {**small_experiment().resolved(), "search": {"devices": ["cuda:1"], "slots": 1}}
    experiment = Experiment.model_validate(asked)
    options = Options(backend=BackendName.INLINE)
    with place(experiment, Scripted(), options, tmp_path) as (leases, _):
        assert leases.leases[0].devices == ("cuda:0",)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bbbb2222"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
