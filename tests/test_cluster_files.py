"""The files of docs/cluster: what can be checked without a SLURM and without a Kubernetes."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import cli
from runner.experiment import load_experiment
from tests.end_to_end.conftest import EXPERIMENT, read_until

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "docs" / "cluster"
SCRIPT = CLUSTER / "search.sbatch"


def documents() -> dict[str, Any]:
    found = {}
    for name in ("rayjob.yaml", "team-secret.yaml"):
        for each in yaml.safe_load_all((CLUSTER / name).read_text(encoding="utf-8")):
            found[each["kind"]] = each
    return found


def pinned(package: str) -> str:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{package}==(\S+)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_sbatch_script_is_bash_and_its_wishes_come_first():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    wishes = [n for n, line in enumerate(lines) if line.startswith("#SBATCH ")]
    assert len(wishes) == 10
    assert max(wishes) < first


def test_sbatch_script_uses_options_that_ray_and_the_runner_have():
    from ray.scripts import scripts

    text = re.sub(r"^ *#.*$", "", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    known = {option for parameter in scripts.start.params for option in parameter.opts}
    starts = " ".join(re.findall(r"ray start ((?:[^\n&]|\\\n)*)", text))
    each = re.search(r"^each=\((.*?)\)$", text, re.MULTILINE | re.DOTALL)
    assert each is not None
    used = set(re.findall(r"--[a-z-]+", starts + each[1]))
    assert used >= {"--head", "--address", "--num-cpus", "--num-gpus", "--block"}
    assert used <= known
    command = re.search(r'runner (search "\$@" [^&]*)&', text)
    assert command is not None
    words = shlex.split(command[1].replace('"$@"', "cats.yaml").replace("$address", "a"))
    assert cli.build_parser().parse_args(words).backend == "ray"


def test_rayjob_runs_a_command_and_an_experiment_of_ours(tmp_path):
    found = documents()
    spec = found["RayJob"]["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "runner"]
    options = cli.build_parser().parse_args(words[3:])
    assert (options.backend, options.ray_address) == ("ray", "auto")
    (name, text), *others = found["ConfigMap"]["data"].items()
    assert not others
    assert options.experiment == f"/experiments/{name}"
    (tmp_path / name).write_text(text)
    assert load_experiment(str(tmp_path / name)).name == found["RayJob"]["metadata"]["name"]


def test_rayjob_mounts_what_there_is_and_has_the_versions_of_the_tests():
    found = documents()
    cluster = found["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == pinned("ray")
    docker = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    assert f"'ray[default,tune]=={pinned('ray')}'" in docker
    head = cluster["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    container = head["containers"][0]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claim = volumes["home"]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["experiments"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    secrets = [each["secretRef"]["name"] for each in container["envFrom"]]
    assert secrets == [found["Secret"]["metadata"]["name"]]
    assert set(found["Secret"]["stringData"]) == {
        "RUNNER_STORAGE",
        "PGPASSWORD",
        "MLFLOW_TRACKING_URI",
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sbatch_script_on_one_node_is_queued_again_when_told_to_leave_and_goes_on(tmp_path):
    """On a real Ray cluster with a token; the one command of SLURM's there is a stand-in."""
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"PATH={tmp_path}/bin:{Path(sys.executable).parent}:$PATH\n")
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    job = os.getpid()
    slurm = {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "1",
    }
    known = {key: value for key, value in os.environ.items() if key != "RUNNER_HOME"}

    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            ["bash", str(SCRIPT), "tiny.yaml", "--set", "search.trials=1"],
            env={**known, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **slurm},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    try:
        first = start()
        read_until(first, lambda line: "trial 0 begins" in line)
        # As `--signal=B:TERM@300` does: the script alone.
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=300)
        assert first.returncode == 130, said
        assert "interrupted by SIGTERM" in said
        assert (tmp_path / "asked").read_text() == f"requeue {job}\n"
        again = start()
        said, _ = again.communicate(timeout=500)
        assert again.returncode == 0, said
        assert "trial 0 goes on" in said
        assert (tmp_path / "asked").read_text() == f"requeue {job}\n"
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(f"/tmp/ray-{job}", ignore_errors=True)
