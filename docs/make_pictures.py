"""Makes the pictures of README.md and docs/ from a finished search of the bundled example.

    python -m runner search resnet_cats.yaml
    python docs/make_pictures.py

Needs Debian's chromium and chromium-driver. Shows bundled data only.
"""

import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver

from runner.experiment import Store
from runner.report import board_of, page_of, study_html
from runner.study import best_trials, read_study
from runner.tracking import TAG_PARENT, connect, read_trials, run_address, runs_address, ui_server

PICTURES = Path(__file__).parent / "pictures"
STUDY = "resnet_cats"


def main() -> None:
    """Take every picture."""
    store = Store.default()
    record = read_study(store, STUDY)
    tracking = connect(None, store)
    runs = {run.number: run for run in read_trials(tracking, record.study_id)}
    best = next(best_trials(record)).number
    experiment_id = tracking.client.get_run(runs[best].run_id).info.experiment_id
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        page = Path(folder, "leaderboard.html")
        board = board_of(record, {n: run.run_id for n, run in runs.items()})
        page.write_text(study_html(page_of(record), board), encoding="utf-8")
        driver = _browser(folder)
        log = Path(folder, "ui.log")
        with ui_server(store.tracking_uri, artifacts=store.artifacts, log=log, port=0) as server:
            shots = {
                "leaderboard.png": page.as_uri(),
                "mlflow_runs.png": runs_address(server.address, experiment_id),
                "mlflow_parent.png": run_address(
                    server.address, experiment_id, runs[best].tags[TAG_PARENT]
                ),
                "mlflow_trial.png": run_address(server.address, experiment_id, runs[best].run_id),
            }
            for name, address in shots.items():
                _shoot(driver, address, PICTURES / name)
            run = run_address(server.address, experiment_id, runs[best].run_id)
            address = run.replace("?", "/artifacts/pictures/confusion.png?")
            _shoot(driver, address, PICTURES / "mlflow_pictures.png")
        driver.quit()


def _browser(folder: str) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--window-size=1400,1000",
        f"--user-data-dir={folder}/chromium",
    ):
        options.add_argument(option)
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


# Opens the parent's children, closes MLflow's assistant, and hides the path on this machine.
TIDY = """
document.querySelectorAll("[role=gridcell][col-id*='Run Name'] button").forEach(b => b.click());
for (const button of document.querySelectorAll("button[aria-label='Close']")) button.click();
for (const node of document.querySelectorAll("div, span"))
  if (node.children.length === 0 && node.textContent.trim().startsWith("Path:"))
    node.parentElement.style.visibility = "hidden";
"""


def _shoot(driver: webdriver.Chrome, address: str, target: Path) -> None:
    driver.get("about:blank")
    driver.get(address)
    # The MLflow UI draws itself after loading; there is no one event to wait for.
    time.sleep(8)
    if address.startswith("http"):
        driver.execute_script(TIDY)
        time.sleep(3)
    driver.save_screenshot(str(target))


if __name__ == "__main__":
    main()
