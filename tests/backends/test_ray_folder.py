"""The folder of a machine's own caches among those of its other users."""

import os
from pathlib import Path

import pytest

pytest.importorskip("ray")

from runner.backends.ray.trainable import own_folder
from runner.errors import RunnerError


def test_own_folder_is_made_for_its_user_alone_and_found_again(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    assert folder == own_folder(tmp_path) == tmp_path / f"runner-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_own_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    for mode in (0o777, 0o770):
        folder.chmod(mode)
        with pytest.raises(
            RunnerError, match="can be written by others; remove it, or set RUNNER_H"
        ):
            own_folder(tmp_path)
    folder.chmod(0o755)
    assert own_folder(tmp_path) == folder


@pytest.mark.parametrize("is_there", [True, False])
def test_own_folder_that_is_a_link_is_refused(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"runner-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunnerError, match="can be written by others"):
        own_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_own_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(own_folder(tmp_path), 65534, 65534)
    with pytest.raises(RunnerError, match="can be written by others"):
        own_folder(tmp_path)
