"""Which code and which versions of its libraries a search runs with."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import runner

# What can change a trial's result.
_PACKAGES = ("torch", "torchvision", "timm", "optuna", "mlflow", "pillow", "numpy")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages a result depends on, Python's included."""
    versions = {"python": platform.python_version(), "runner": runner.__version__}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def code_version() -> str:
    """The runner's version, and its commit where it runs from a clone."""
    folder = Path(runner.__file__).parent.parent
    if not (folder / ".git").exists():
        return runner.__version__
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return runner.__version__
    commit = answer.stdout.strip()
    return f"{runner.__version__}+{commit}" if commit else runner.__version__


def provenance_tags(fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Tags that say what a run's results came from: code, packages, data and weights."""
    versions = package_versions()
    tags = {
        "runner.code": code_version(),
        "runner.packages": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return tags | {f"runner.{name}": value for name, value in fingerprints.items()}
