"""What every test may use: a real MLflow server, a real browser, an environment that is empty."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from runner.tracking import ui_server
from tests.disks import Disk, small_disk
from tests.postgresql import PostgresServer, postgres_server, programs

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C; what tests start is not to.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # A process a core: threads of their own would only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # And those of searches take one another's cores while they wait.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # A search that finds its CPU leased by another takes fewer threads, and then rounds in another
    # way: each process has leases of its own.
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix=f"{worker}-")
    # PostgreSQL, which runs as another user, has its folder in it.
    Path(tempfile.tempdir).chmod(0o755)
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)

BROWSER_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,950",
)


@pytest.fixture(autouse=True)
def _no_tracking_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RUNNER_STORAGE", raising=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small file system of its own, to be filled up or made read-only."""
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server on 127.0.0.1 that lives as long as the session."""
    root = tmp_path_factory.mktemp("mlflow_server")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    log = root / "server.log"
    with ui_server(uri, artifacts=root / "artifacts", log=log, port=0) as server:
        yield server.address


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server on 127.0.0.1 with the databases of docs/team.md, for the session."""
    if programs() is None and "CI" not in os.environ:
        pytest.skip("needs Debian's package postgresql")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """A real Ray on this machine, two cores, as long as the session lasts."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        # Its workers import the tests' own objectives.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield
        ray.shutdown()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Debian's Chromium without a window; a machine without it skips, but never in CI."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if None in found and "CI" not in os.environ:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0] or "chromium is not installed"
    for option in (*BROWSER_OPTIONS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(option)
    driver = webdriver.Chrome(options, webdriver.ChromeService(found[1]))
    try:
        yield driver
    finally:
        driver.quit()
