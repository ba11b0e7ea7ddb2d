"""Trials that share a GPU, from the command line; a program that lists one stands for it."""

import json
import os

import pytest

from tests.end_to_end.conftest import Terminal

FILE = """
name: shared
task: custom
objective: own.py:objective
search:
  metric: accuracy
  direction: maximize
  trials: 4
  slots: 2
  devices: [cuda:0]
  pruner: none
  sampler: random
  space: {rate: {float: [0.1, 0.9]}}
"""
OBJECTIVE = """
import os, time
from pathlib import Path

def objective(trial):
    there = Path("there")
    there.mkdir(exist_ok=True)
    others = os.listdir(there)
    mine = there / str(os.getpid())
    mine.touch()
    try:
        assert trial.device == "cuda:0" and os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aaaa"
        if trial.number == 1 and others:
            raise MemoryError("no room beside another")
        # Longer than it takes to start a worker.
        time.sleep(3)
        trial.report(1, accuracy=trial.params["rate"])
    finally:
        mine.unlink()
"""


@pytest.mark.slow
def test_trial_that_finds_no_memory_beside_another_is_run_again_alone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (terminal.folder / "shared.yaml").write_text(FILE)
    (terminal.folder / "own.py").write_text(OBJECTIVE)
    programs = terminal.folder / "bin"
    programs.mkdir()
    lists = programs / "nvidia-smi"
    lists.write_text("#!/bin/sh\necho 0, GPU-aaaa, 100, 80000\n")
    lists.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(terminal.folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    code, said = terminal.run("search", "shared.yaml", "--plain")
    assert code == 0, said
    assert "2 slots share cuda:0" in said
    assert "trial 1 begins on cuda:0 beside 1: rate=" in said
    assert "trial 1 lost: out of memory in the objective" in said
    assert "trial 1 goes on on cuda:0: rate=" in said
    code, listed = terminal.run("search", "shared.yaml", "--json")
    assert code == 0, listed
    trials = {trial["number"]: trial for trial in json.loads(listed)}
    assert [trials[number]["state"] for number in range(4)] == ["complete"] * 4
    assert trials[1]["notes"]["packed_beside"] == 0
    assert trials[0]["notes"]["packed_beside"] == 1
