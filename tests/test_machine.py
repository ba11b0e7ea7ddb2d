"""What a process may use of its machine, under limits of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runner.machine import cores_by_quotas, free_memory, left_by_limits, usable_cores
from tests.objectives import ROOT

MIB = 2**20


def group(folder: Path, *, limit: str, used: int, cached: int, version: int) -> None:
    """A control group's files as the kernel shows them; usage with what is cached."""
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
    names = names if version == 1 else ("memory.max", "memory.current", "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used + cached}\n")
    (folder / "memory.stat").write_text(
        f"anon {used}\n{names[2]}inactive_file {cached}\n{names[2]}active_file 0\n"
    )


def run_here(code: str, **env: str) -> int:
    """What a process prints, a number."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout)


def test_cores_are_those_of_the_affinity() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    one = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])"
    assert run_here(f"{one}; from runner.machine import usable_cores; print(usable_cores())") == 1


def test_cores_are_no_more_than_the_user_says() -> None:
    code = "from runner.machine import usable_cores; print(usable_cores())"
    assert run_here(code, LOKY_MAX_CPU_COUNT="1") == 1


def test_cores_without_quotas_are_not_limited(tmp_path: Path) -> None:
    (tmp_path / "user.slice").mkdir()
    (tmp_path / "user.slice" / "cpu.max").write_text("max 100000\n")
    old = tmp_path / "cpu" / "user.slice"
    old.mkdir(parents=True)
    (old / "cpu.cfs_quota_us").write_text("-1\n")
    (old / "cpu.cfs_period_us").write_text("100000\n")
    membership = "2:cpu,cpuacct:/user.slice\n0::/user.slice\n"
    assert list(cores_by_quotas(membership, tmp_path)) == []
    assert list(cores_by_quotas("", tmp_path)) == []


def test_cores_of_a_job_s_quota_and_those_above_it(tmp_path: Path) -> None:
    """As systemd's: the service has a quota, its slice another."""
    service = tmp_path / "system.slice" / "runner.service"
    service.mkdir(parents=True)
    (service / "cpu.max").write_text("150000 100000\n")
    (service.parent / "cpu.max").write_text("800000 100000\n")
    membership = "0::/system.slice/runner.service\n"
    assert list(cores_by_quotas(membership, tmp_path)) == [2, 8]


def test_cores_of_a_quota_of_the_first_version(tmp_path: Path) -> None:
    job = tmp_path / "cpu" / "slurm" / "job_7"
    job.mkdir(parents=True)
    (job / "cpu.cfs_quota_us").write_text("300000\n")
    (job / "cpu.cfs_period_us").write_text("100000\n")
    assert list(cores_by_quotas("4:cpu,cpuacct:/slurm/job_7\n", tmp_path)) == [3]


def test_cores_in_a_real_control_group_below_the_top() -> None:
    """Fails without `cores_by_quotas`: joblib looks at the top alone."""
    mounted = Path("/sys/fs/cgroup")
    version = 2 if (mounted / "cgroup.controllers").exists() else 1
    base = mounted if version == 2 else mounted / "cpu"
    made = base / f"runner-cores-{os.getpid()}"
    try:
        made.mkdir()
        if version == 2:
            (made / "cpu.max").write_text("50000 100000\n")
        else:
            (made / "cpu.cfs_quota_us").write_text("50000\n")
    except OSError as err:
        if made.exists():
            made.rmdir()
        pytest.skip(f"needs a control group of its own: {err}")
    try:
        cores = run_here(
            f"import os; open('{made}/cgroup.procs', 'w').write(str(os.getpid()))\n"
            "from runner.machine import usable_cores; print(usable_cores())"
        )
    finally:
        made.rmdir()
    assert cores == 1


def test_memory_without_limits_is_the_machine_s(tmp_path: Path) -> None:
    group(tmp_path / "user.slice", limit="max", used=MIB, cached=0, version=2)
    assert list(left_by_limits("0::/user.slice\n", tmp_path)) == []
    assert list(left_by_limits("", tmp_path)) == []


@pytest.mark.parametrize("version", [1, 2])
def test_memory_left_by_a_job_s_limits_and_those_above_it(tmp_path: Path, version: int) -> None:
    """As SLURM's: the job has a limit, the step below it another or none."""
    base = tmp_path / "memory" if version == 1 else tmp_path
    membership = "3:cpuset:/\n4:memory:/job/step\n0::/\n" if version == 1 else "0::/job/step\n"
    group(base / "job", limit=str(100 * MIB), used=40 * MIB, cached=30 * MIB, version=version)
    assert list(left_by_limits(membership, tmp_path)) == [60 * MIB]
    group(base / "job/step", limit=str(50 * MIB), used=60 * MIB, cached=0, version=version)
    assert sorted(left_by_limits(membership, tmp_path)) == [0, 60 * MIB]


@pytest.mark.parametrize("version", [1, 2])
def test_memory_left_in_a_container_that_sees_only_its_own_group(
    tmp_path: Path, version: int
) -> None:
    base = tmp_path / "memory" if version == 1 else tmp_path
    membership = "4:cpu,memory:/docker/4f2a\n" if version == 1 else "0::/../4f2a\n"
    group(base, limit=str(100 * MIB), used=40 * MIB, cached=0, version=version)
    assert list(left_by_limits(membership, tmp_path)) == [60 * MIB]


def test_memory_left_in_a_real_control_group() -> None:
    mounted = Path("/sys/fs/cgroup")
    version = 2 if (mounted / "cgroup.controllers").exists() else 1
    made = (mounted if version == 2 else mounted / "memory") / f"runner-test-{os.getpid()}"
    limit = made / ("memory.max" if version == 2 else "memory.limit_in_bytes")
    try:
        made.mkdir()
        limit.write_text(str(512 * MIB))
    except OSError as err:
        if made.exists():
            made.rmdir()
        pytest.skip(f"needs a control group of its own: {err}")
    try:
        left = run_here(
            f"import os; open('{made}/cgroup.procs', 'w').write(str(os.getpid()))\n"
            "from runner.machine import free_memory; print(free_memory())"
        )
    finally:
        made.rmdir()
    # Python itself takes some tens of them.
    assert 200 * MIB < left < 512 * MIB


def test_memory_that_is_free_is_no_more_than_the_machine_has() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total
