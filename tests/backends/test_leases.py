"""Leases on devices: found, named, locked, shared, and given back by a kill."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from runner.backends import (
    Leases,
    available_devices,
    device_like,
    lease_again,
    named_devices,
    take_leases,
)
from runner.backends.leases import cuda_devices
from runner.errors import NoSuchDevice
from runner.machine import usable_cores
from runner.trial import Share

Gpus = Callable[..., None]
TWO = ("0, GPU-aaaa1111, 100, 80000", "1, GPU-bbbb2222, 60000, 80000")


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of locks that no other search uses, and no GPU until a test makes one."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    make_program(tmp_path / "bin" / "nvidia-smi", "echo no devices were found; exit 6")


def make_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def gpus(tmp_path: Path) -> Gpus:
    """Puts a program named nvidia-smi on the PATH that lists given GPUs."""

    def make(*rows: str) -> None:
        lines = "\n".join(rows)
        make_program(tmp_path / "bin" / "nvidia-smi", f"cat <<END\n{lines}\nEND")

    return make


def names(leases: Leases) -> list[str]:
    return [lease.environment["CUDA_VISIBLE_DEVICES"] for lease in leases.leases]


HOLDER = """
import sys, time
from runner.backends import available_devices, take_leases
held = take_leases(available_devices(int(sys.argv[1])), slots=None, is_explicit=False)
print("|".join(held.notes) or "free", flush=True)
time.sleep(60)
"""


def hold(slots: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(slots)], stdout=subprocess.PIPE, text=True
    )


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_lease_of_a_killed_process_is_free_at_once(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 100, 80000")
    with hold(1) as holder:
        assert first_line(holder) == "free"
        with pytest.raises(NoSuchDevice, match="cuda:0 is leased by another search"):
            take_leases(available_devices(), slots=None, is_explicit=False)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        taken = take_leases(available_devices(), slots=None, is_explicit=False)
        assert names(taken) == ["GPU-aaaa1111"]
        taken.close()


def test_leases_closed_are_free_for_the_next(gpus: Gpus) -> None:
    gpus(*TWO)
    devices = named_devices(["cuda:0"])
    first = take_leases(devices, slots=None, is_explicit=True)
    with pytest.raises(NoSuchDevice, match="no device is free"):
        take_leases(devices, slots=None, is_explicit=True)
    first.close()
    first.close()
    take_leases(devices, slots=None, is_explicit=True).close()


def test_take_leases_with_every_cpu_slot_leased_shares_one_thread_and_says_so() -> None:
    cores = usable_cores()
    first = take_leases(available_devices(1), slots=None, is_explicit=False)
    assert first.notes == ()
    assert [lease.threads for lease in first.leases] == [cores]
    second = take_leases(available_devices(1), slots=None, is_explicit=False)
    assert second.notes == (
        "cpu:0 is leased by another search",
        "every CPU slot is leased by other searches: sharing one, with one thread",
    )
    assert [(lease.devices, lease.threads) for lease in second.leases] == [(("cpu",), 1)]
    first.close()


def test_take_leases_of_cpu_slots_shares_the_cores_out_and_hides_gpus() -> None:
    leases = take_leases(available_devices(2), slots=None, is_explicit=False)
    assert [lease.slot for lease in leases.leases] == [0, 1]
    assert all(lease.threads == max(1, usable_cores() // 2) for lease in leases.leases)
    assert names(leases) == ["", ""]
    leases.close()


def test_take_leases_takes_no_more_than_the_slots_asked_for(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 100, 80000", "1, GPU-bbbb2222, 100, 80000")
    leases = take_leases(available_devices(), slots=1, is_explicit=False)
    assert names(leases) == ["GPU-aaaa1111"]
    leases.close()


def test_take_leases_of_named_devices_shares_them_among_more_slots(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 100, 80000", "1, GPU-bbbb2222, 100, 80000")
    leases = take_leases(named_devices(["cuda:0", "cuda:1"]), slots=3, is_explicit=True)
    assert names(leases) == ["GPU-aaaa1111", "GPU-bbbb2222", "GPU-aaaa1111"]
    assert [lease.slot for lease in leases.leases] == [0, 1, 2]
    assert leases.notes == ("3 slots share cuda:0, cuda:1",)
    leases.close()


def test_take_leases_of_named_devices_shared_as_told_counts_no_memory(gpus: Gpus) -> None:
    gpus(*TWO)
    leases = take_leases(named_devices(["cuda:0"]), slots=3, is_explicit=True, pack=4)
    assert [lease.share for lease in leases.leases] == [Share("GPU-aaaa1111", 3, None)] * 3
    assert leases.notes == ("3 slots share cuda:0",)
    leases.close()


def test_take_leases_packs_gpus_with_the_first_of_each_first(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 1024, 81920", "1, GPU-bbbb2222, 0, 40960")
    leases = take_leases(available_devices(), slots=None, is_explicit=False, pack=2)
    assert names(leases) == ["GPU-aaaa1111", "GPU-bbbb2222"] * 2
    assert [lease.slot for lease in leases.leases] == [0, 1, 2, 3]
    assert len({lease.place for lease in leases.leases}) == 2
    # Nineteen of twenty parts of what is free.
    first, second = leases.leases[:2]
    assert first.share == Share("GPU-aaaa1111", 2, 75.05)
    assert second.share == Share("GPU-bbbb2222", 2, 38.0)
    assert all(lease.threads == max(1, usable_cores() // 4) for lease in leases.leases)
    assert leases.notes == (
        "up to 2 trials at a time share cuda:0, cuda:1, where they are known to fit",
    )
    leases.close()


@pytest.mark.parametrize(
    ("slots", "counts"),
    [(1, [1]), (2, [1, 1]), (3, [2, 1, 2]), (8, [4, 4] * 4), (20, [4, 4] * 4)],
)
def test_take_leases_packs_no_more_than_the_slots_asked_for(
    gpus: Gpus, slots: int, counts: list[int]
) -> None:
    gpus("0, GPU-aaaa1111, 100, 80000", "1, GPU-bbbb2222, 100, 80000")
    leases = take_leases(available_devices(), slots=slots, is_explicit=False, pack=4)
    assert [lease.neighbours for lease in leases.leases] == counts
    assert [lease.share is None for lease in leases.leases] == [n == 1 for n in counts]
    leases.close()


def test_take_leases_does_not_pack_where_memory_is_unknown_or_the_processors(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, [N/A], [N/A]")
    for devices in (["cuda:0"], ["cpu"]):
        leases = take_leases(named_devices(devices), slots=None, is_explicit=True, pack=4)
        assert [lease.share for lease in leases.leases] == [None]
        assert leases.notes == ()
        leases.close()


def test_take_leases_of_more_cpu_slots_than_named_shares_no_memory() -> None:
    leases = take_leases(named_devices(["cpu"]), slots=2, is_explicit=True)
    assert [lease.share for lease in leases.leases] == [None, None]
    assert len({lease.place for lease in leases.leases}) == 2
    leases.close()


def test_take_leases_leaves_a_gpu_that_others_use_unless_it_is_named(gpus: Gpus) -> None:
    gpus(*TWO)
    unasked = take_leases(available_devices(), slots=None, is_explicit=False)
    assert names(unasked) == ["GPU-aaaa1111"]
    assert unasked.leases[0].devices == ("cuda:0",)
    assert unasked.notes == ("cuda:1 is in use (75% of its memory)",)
    named = take_leases(named_devices(["cuda:1"]), slots=None, is_explicit=True)
    assert names(named) == ["GPU-bbbb2222"]
    unasked.close()
    named.close()


def test_take_leases_with_no_gpu_free_says_why_and_what_to_do(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 79000, 80000")
    with pytest.raises(NoSuchDevice) as caught:
        take_leases(available_devices(), slots=None, is_explicit=False)
    assert str(caught.value) == (
        "no device is free: cuda:0 is in use (99% of its memory). Wait, or name devices with "
        "--set search.devices=[cpu]"
    )


def test_take_leases_of_a_gpu_and_a_cpu_slot_all_leased_shares_the_cpu_slot(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 100, 80000")
    devices = named_devices(["cuda:0", "cpu"])
    first = take_leases(devices, slots=None, is_explicit=True)
    second = take_leases(devices, slots=None, is_explicit=True)
    assert [lease.devices for lease in second.leases] == [("cpu",)]
    first.close()


FIVE = tuple(f"{number}, GPU-{number}, 100, 80000" for number in range(5))


def test_take_leases_of_several_gpus_locks_them_all_and_gives_back_what_is_left(
    gpus: Gpus,
) -> None:
    gpus(*FIVE)
    pairs = take_leases(
        available_devices(), slots=None, is_explicit=False, pack=4, gpus_per_trial=2
    )
    assert names(pairs) == ["GPU-0,GPU-1", "GPU-2,GPU-3"]
    assert [lease.devices for lease in pairs.leases] == [("cuda:0", "cuda:1")] * 2
    assert [lease.share for lease in pairs.leases] == [None, None]
    assert pairs.leases[0].of_rank(1).devices == ("cuda:1",)
    assert pairs.leases[0].of_rank(1).threads == max(1, pairs.leases[0].threads // 2)
    rest = take_leases(available_devices(), slots=None, is_explicit=False)
    assert names(rest) == ["GPU-4"]
    rest.close()
    pairs.close()
    all_of_them = take_leases(available_devices(), slots=None, is_explicit=False, gpus_per_trial=2)
    assert all_of_them.notes == ()
    all_of_them.close()


def test_take_leases_of_several_gpus_takes_no_more_than_its_slots_need(gpus: Gpus) -> None:
    gpus(*FIVE)
    pair = take_leases(
        named_devices(["cuda:1", "cuda:3", "cuda:4"]), slots=1, is_explicit=True, gpus_per_trial=2
    )
    assert names(pair) == ["GPU-1,GPU-3"]
    rest = take_leases(available_devices(), slots=None, is_explicit=False)
    assert names(rest) == ["GPU-0", "GPU-2", "GPU-4"]
    rest.close()
    # Three are wanted where all are free: the third is of no use.
    three = take_leases(
        named_devices(["cuda:0", "cuda:2", "cuda:4"]),
        slots=None,
        is_explicit=True,
        gpus_per_trial=2,
    )
    assert names(three) == ["GPU-0,GPU-2"]
    three.close()
    pair.close()


def test_take_leases_of_more_gpus_than_are_free_says_which_are_and_holds_none(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(*TWO)
    with pytest.raises(NoSuchDevice) as caught:
        take_leases(available_devices(), slots=None, is_explicit=False, gpus_per_trial=2)
    assert str(caught.value) == (
        "search.gpus_per_trial is 2, and free here are cuda:0; cuda:1 is in use (75% of its "
        "memory)"
    )
    take_leases(named_devices(["cuda:0"]), slots=None, is_explicit=True).close()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(NoSuchDevice, match="is 3, and free here are none$"):
        take_leases(available_devices(), slots=None, is_explicit=False, gpus_per_trial=3)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,1", ["GPU-aaaa1111", "GPU-bbbb2222"]),
        ("1, 0", ["GPU-bbbb2222", "GPU-aaaa1111"]),
        ("GPU-bbbb2222", ["GPU-bbbb2222"]),
        ("GPU-bbbb", ["GPU-bbbb2222"]),
        ("", []),
        ("-1", []),
        # CUDA's own rule: what follows an invalid entry is not visible.
        ("0,7,1", ["GPU-aaaa1111"]),
        ("1,-1,0", ["GPU-bbbb2222"]),
    ],
)
def test_cuda_devices_are_those_that_cuda_visible_devices_shows(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[str]
) -> None:
    gpus(*TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = cuda_devices()
    assert [device.visible for device in found] == expected
    assert [device.name for device in found] == [f"cuda:{n}" for n in range(len(expected))]


def test_cuda_devices_with_unknown_memory_are_taken_as_free(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, [N/A], [N/A]")
    assert [device.used_share for device in cuda_devices()] == [0.0]


def test_cuda_devices_with_a_broken_driver_are_none_and_a_warning_says_why(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    make_program(tmp_path / "bin" / "nvidia-smi", "echo NVIDIA-SMI has failed; exit 9")
    assert cuda_devices() == []
    assert "no GPU is used: NVIDIA-SMI has failed" in caplog.text


def test_cuda_devices_with_a_driver_that_hangs_are_none_and_a_warning_says_why(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(tmp_path / "bin" / "nvidia-smi", "exec sleep 30")
    monkeypatch.setattr("runner.backends.leases.NVIDIA_SMI_S", 0.2)
    assert cuda_devices() == []
    assert "no GPU is used: nvidia-smi did not answer within 0.2 s" in caplog.text


def test_available_devices_without_a_gpu_are_cpu_slots() -> None:
    assert [device.name for device in available_devices(3)] == ["cpu:0", "cpu:1", "cpu:2"]
    assert 1 <= len(available_devices()) <= 4


def test_named_devices_that_are_not_there_lists_those_that_are(gpus: Gpus) -> None:
    gpus(*TWO)
    with pytest.raises(NoSuchDevice) as caught:
        named_devices(["cuda:0", "cuda:2"])
    assert str(caught.value) == (
        "search.devices: no device 'cuda:2' on this machine; there are cuda:0, cuda:1, cpu"
    )


def test_named_devices_cuda_without_a_number_is_the_first(gpus: Gpus) -> None:
    gpus(*TWO)
    assert [device.name for device in named_devices(["cuda"])] == ["cuda:0"]


def test_named_devices_cpu_is_a_slot_of_its_own() -> None:
    assert [device.name for device in named_devices(["cpu"])] == ["cpu:0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_leases_are_respected_between_users(monkeypatch: pytest.MonkeyPatch) -> None:
    # All is imported before: another user may not be let into this Python's folder.
    code = HOLDER.replace("held =", "import joblib, os; os.setuid(65534)\nheld =", 1)

    def hold_as_nobody(slots: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", code, str(slots)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        Path(shared).chmod(0o777)
        monkeypatch.setenv("TMPDIR", shared)
        monkeypatch.setattr(tempfile, "tempdir", None)
        first = take_leases(available_devices(1), slots=None, is_explicit=False)
        with hold_as_nobody(1) as other:
            assert first_line(other).startswith("cpu:0 is leased by another search")
            other.kill()
        first.close()
        with hold_as_nobody(2) as other:
            assert first_line(other) == "free"
            mine = take_leases(available_devices(2), slots=None, is_explicit=False)
            assert len(mine.notes) == 3
            other.kill()


def test_part_of_a_gpu_is_taken_as_a_scheduler_shows_it(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where only what nvidia-smi lists counts: the search would run on the CPU."""
    gpus(*TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1c2d,MIG-3e4f")
    devices = available_devices()
    assert [(device.name, device.visible) for device in devices] == [
        ("cuda:0", "MIG-1c2d"),
        ("cuda:1", "MIG-3e4f"),
    ]
    assert [(device.used_share, device.free_gib) for device in devices] == [(0.0, None)] * 2
    with closing(take_leases(devices, slots=None, is_explicit=False)) as leases:
        assert names(leases) == ["MIG-1c2d", "MIG-3e4f"]


def test_gpu_that_is_not_listed_is_said(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpus(*TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert available_devices(1)[0].name.startswith("cpu")
    assert "CUDA_VISIBLE_DEVICES: nvidia-smi does not list 7" in caplog.text


def test_trial_is_trained_again_on_a_gpu_that_is_free_with_its_own_threads(gpus: Gpus) -> None:
    gpus("0, GPU-aaaa1111, 100, 80000", "1, GPU-bbbb2222, 100, 80000")
    first = take_leases(available_devices()[:1], slots=1, is_explicit=False)
    with closing(first), closing(lease_again("cuda:0", threads=3)) as again:
        (lease,) = again.leases
        assert names(again) == ["GPU-bbbb2222"]
        assert (lease.devices, lease.threads) == (("cuda:0",), 3)
        with pytest.raises(NoSuchDevice, match="is leased by another search"):
            lease_again("cuda:0", threads=3)


def test_trial_of_a_cpu_is_trained_again_without_a_gpu_and_one_of_a_gpu_is_not(
    gpus: Gpus,
) -> None:
    (lease,) = lease_again("cpu", threads=3).leases
    assert (lease.devices, lease.threads) == (("cpu",), 3)
    with pytest.raises(NoSuchDevice, match="trained on a GPU, and this machine has none"):
        lease_again("cuda:0", threads=3)


def test_device_like_another_machine_s(gpus: Gpus) -> None:
    assert device_like("cuda:0") == "cpu"
    assert device_like("cpu") == "cpu"
    gpus(*TWO)
    assert device_like("cuda:1") == "cuda:1"
    assert device_like("cuda:5") == "cuda:0"
