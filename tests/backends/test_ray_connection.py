"""Ray on this machine: who can reach it, who is let in, and what is left in the environment."""

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.objectives import ROOT

pytestmark = pytest.mark.slow

# A process of its own: a session has one Ray at a time.
HERE = '''
import json, os, subprocess, sys
import psutil, ray
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from runner.backends.ray import cluster_here
from runner.experiment import RaySettings
from runner.trial import Lease
from tests.listening import listening

ASK = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", b"x", timeout=10)
    print("IN")
except Exception as error:
    print(type(error).__name__)
"""
STRANGERS = {
    "without": {"RAY_AUTH_MODE": "disabled"},
    "another": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32},
    "own": {},
}

with cluster_here(RaySettings(), [Lease(slot=0)]):
    names = ("RAY_AUTH_MODE", "GOMP_SPINCOUNT")
    mode, spin = ray.get(ray.remote(lambda: [os.environ.get(name) for name in names]).remote())
    said = {
        "worker": mode,
        "spin": spin,
        "driver": os.environ.get("RAY_AUTH_MODE"),
        "is_on": is_token_auth_enabled(),
        "listening": listening(psutil.Process()),
    }
    address = ray.get_runtime_context().gcs_address
    for name, environment in STRANGERS.items():
        answer = subprocess.run(
            [sys.executable, "-c", ASK, address],
            env={**os.environ, **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )
        said[name] = answer.stdout.strip() or answer.stderr
said["afterwards"] = [os.environ.get("RAY_AUTH_MODE"), is_token_auth_enabled()]
print("SAID", json.dumps(said))
'''


def here(home: Path, **environment: str) -> tuple[dict[str, Any], str]:
    """What the script says of Ray on this machine, and what else can be read."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", HERE],
        capture_output=True,
        text=True,
        cwd=home,
        env={**known, "PYTHONPATH": str(ROOT), "HOME": str(home), **environment},
        timeout=250,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert lines, done.stderr
    said: dict[str, Any] = json.loads(lines[0].removeprefix("SAID "))
    return said, done.stderr


def is_loopback(address: str) -> bool:
    """Also of one that IPv6 writes ::ffff:127.0.0.1."""
    return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback


def test_ray_on_this_machine_listens_on_the_loopback_alone_and_asks_for_a_token(
    tmp_path: Path,
) -> None:
    """Fails without `_on_loopback`. Fails where RAY_AUTH_MODE is disabled."""
    said, shown = here(tmp_path)
    assert {name for name, _ in said["listening"]} >= {"gcs_server", "raylet"}
    assert [each for each in said["listening"] if not is_loopback(each[1])] == []
    assert (said["driver"], said["worker"], said["is_on"]) == ("token", "token", True)
    assert (said["without"], said["another"]) == ("AuthenticationError", "AuthenticationError")
    assert said["own"] == "IN"
    assert said["afterwards"] == [None, False]
    assert "asks for no token" not in shown


def test_ray_without_a_token_is_warned_of(tmp_path: Path) -> None:
    said, shown = here(tmp_path, RAY_AUTH_MODE="disabled", GOMP_SPINCOUNT="70")
    assert said["is_on"] is False
    assert said["without"] == "IN"
    assert "Ray here asks for no token: whoever reaches its ports can run programs" in shown
    assert said["afterwards"] == ["disabled", False]
    # Fails where a worker's environment has no `spinning`, or not the user's own.
    assert said["spin"] == "70"
