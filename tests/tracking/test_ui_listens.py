"""Who can reach the MLflow UI: nobody but this machine, unless it is asked for."""

from pathlib import Path

import psutil
import pytest

from runner.experiment import Store
from runner.tracking import ui_server


def listening(pid: int) -> set[str]:
    """Addresses that a process and its children listen on."""
    process = psutil.Process(pid)
    return {
        socket.laddr.ip
        for each in (process, *process.children(recursive=True))
        for socket in each.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    }


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("asked", "expected"), [({}, "127.0.0.1"), ({"host": "0.0.0.0"}, "0.0.0.0")]
)
def test_ui_server_listens_on_the_loopback_alone_unless_told_otherwise(
    tmp_path: Path, asked: dict[str, str], expected: str
) -> None:
    store = Store(tmp_path)
    log = tmp_path / "ui.log"
    with ui_server(
        store.tracking_uri, artifacts=store.artifacts, log=log, port=0, **asked
    ) as server:
        assert listening(server.process.pid) == {expected}
