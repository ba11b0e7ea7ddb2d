"""A real PostgreSQL server for tests: Debian's, with passwords, on 127.0.0.1."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

TEAM = Path(__file__).parents[1] / "docs" / "team"
# It does not run as root.
USER = "postgres"
START_TIMEOUT_S = 60.0
# With every character that means something in an address.
PASSWORDS = {name: f"{name}'s s/ecr:t@%?" for name in (USER, "runner", "mlflow", "alice")}


def programs() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = sorted(folders, key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


@dataclass
class PostgresServer:
    """A server that can be stopped and started again.

    Attributes:
        folder: Its data and its log.
        port: On 127.0.0.1.
    """

    folder: Path
    port: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def address(self, database: str = "runner", *, user: str | None = None) -> str:
        """The address of a database for its owner, or another user, with the password."""
        user = user or database
        return f"postgresql://{user}:{quote(PASSWORDS[user], safe='')}@{self.place}/{database}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(_programs() / "postgres"), "-D", str(self.folder / "data")),
                    *("-p", str(self.port), "-c", "listen_addresses=127.0.0.1"),
                    *("-c", "unix_socket_directories="),
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_unprivileged(),
            )
        self._await()

    def stop(self) -> None:
        """End it, and with it every connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to all of it at once, as a machine that loses its power."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    def run_sql(self, script: str, *, database: str = USER, **variables: str) -> str:
        """What psql prints for a script, run as the superuser."""
        command = [str(_programs() / "psql"), "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1"]
        for name, value in variables.items():
            command += ["-v", f"{name}={value}"]
        done = subprocess.run(
            [*command, self.address(database, user=USER)],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")

    def _await(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        ready = [str(_programs() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new server with the databases and roles that docs/team.md makes."""
    folder = Path(tempfile.mkdtemp(prefix="runner-postgres-"))
    try:
        _own(folder)
        server = PostgresServer(folder, _free_port())
        _make(server)
        server.start()
        try:
            for name in ("databases.sql", "person.sql"):
                server.run_sql((TEAM / name).read_text(encoding="utf-8"), person="alice")
            for user in ("runner", "mlflow", "alice"):
                quoted = PASSWORDS[user].replace("'", "''")
                server.run_sql(f"ALTER ROLE {user} PASSWORD '{quoted}'")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _make(server: PostgresServer) -> None:
    password = server.folder / "password"
    password.write_text(PASSWORDS[USER])
    _own(password)
    subprocess.run(
        [
            *(str(_programs() / "initdb"), "-D", str(server.folder / "data"), "-U", USER),
            *("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C"),
            "--no-sync",
        ],
        check=True,
        cwd=server.folder,
        stdout=subprocess.DEVNULL,
        **_unprivileged(),
    )


def _programs() -> Path:
    folder = programs()
    assert folder is not None, "Debian's package postgresql is not installed"
    return folder


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, USER, USER)


def _unprivileged() -> dict[str, Any]:
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
