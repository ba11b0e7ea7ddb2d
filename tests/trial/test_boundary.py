"""What becomes of a job, and of its process, whatever is raised."""

import sys

import pytest
import torch

from runner.trial import Job, Lease, Outcome, TrialSpec, run_job
from tests.objectives import Scripted
from tests.trial.conftest import Recorder


class Raises(Scripted):
    def run(self, job: Job, lease: Lease, channel: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")


@pytest.fixture
def synchronised(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that were asked whether they answer; this process seems to have used them."""
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    return asked


def test_process_whose_gpu_still_answers_can_run_another_job(
    spec: TrialSpec, synchronised: list[str]
) -> None:
    channel = Recorder()
    assert run_job(Raises(), Job((spec,)), Lease(0, ("cuda:0", "cuda:1")), channel)
    assert [ending.outcome for ending in channel.endings] == [Outcome.FAILED]
    assert synchronised == ["cuda:0", "cuda:1"]


def test_process_whose_gpu_fails_every_call_can_not(
    spec: TrialSpec, synchronised: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    channel = Recorder()
    assert not run_job(Raises(), Job((spec,)), Lease(0, ("cuda:0",)), channel)
    (ending,) = channel.endings
    assert ending.reason == "RuntimeError: CUDA error: device-side assert triggered"


def test_gpu_is_not_asked_after_a_job_that_ended_well_nor_on_a_cpu(
    spec: TrialSpec, synchronised: list[str]
) -> None:
    assert run_job(Scripted(), Job((spec,)), Lease(0, ("cuda:0",)), Recorder())
    assert run_job(Raises(), Job((spec,)), Lease(0), Recorder())
    assert synchronised == []


def test_gpu_of_a_job_without_torch_is_not_asked(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert run_job(Raises(), Job((spec,)), Lease(0, ("cuda:0",)), Recorder())
