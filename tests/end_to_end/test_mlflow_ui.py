"""The real MLflow UI in a real browser shows a study as we lay it out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

from runner.experiment import Store
from runner.report import draw_pictures
from runner.tracking import StudyRun, connect, run_address, runs_address, ui_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT_S = 60.0
EVALUATION = {
    "classes": ["cat", "dog"],
    "confusion": [[20, 3], [1, 22]],
    "history": [
        {"epoch": epoch, "train/loss": 1 / epoch, "validation/accuracy": 0.5 + 0.1 * epoch}
        for epoch in (1, 2, 3)
    ],
}
# A label that no font has is drawn by the browser; texts are a page.
TEXTS = {
    "kind": "classes",
    "per_class": [
        {"label": "sea \U000e0fff", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 9}
    ],
    "worst": [{"id": "reviews.csv:7", "true": ["sea"], "predicted": [], "error": 1}],
}


def record_study(store: Store, pictures: Path) -> StudyRun:
    """A study with three trials, pruned and complete, and pictures of one."""
    study = connect(None, store).open_study(
        "resnet_cats",
        study_id="0123",
        run_name="resnet_cats (study 1)",
        tags={},
        params={"search.trials": 3},
        artifacts={"experiment.json": "{}"},
    )
    for number, status in enumerate(("FINISHED", "KILLED", "FINISHED")):
        params = {"learning_rate": 0.1**number}
        study.open_trial(number, name=f"trial {number}", params=params, tags={})
        for epoch in range(3):
            study.log(number, {"validation/accuracy": 0.5 + 0.1 * epoch}, step=epoch)
        study.end_trial(number, status=status, tags={})
    drawn = draw_pictures(EVALUATION, pictures, title="trial 0")
    drawn += draw_pictures(TEXTS, pictures, show=lambda _: "海 <b>&</b>", title="trial 0")
    for path in drawn:
        study.add_artifact_file(0, path, f"pictures/{path.name}")
    study.close("FINISHED")
    return study


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, StudyRun]]:
    """Address of the UI on a store with one study, and that study."""
    root = tmp_path_factory.mktemp("ui")
    store = Store(root / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        study = record_study(store, root / "pictures")
    log = root / "ui.log"
    with ui_server(store.tracking_uri, artifacts=store.artifacts, log=log, port=0) as server:
        yield server.address, study


def await_element(browser: Chrome, how: str, what: str) -> WebElement:
    return WebDriverWait(browser, TIMEOUT_S).until(element_to_be_clickable((how, what)))


def test_mlflow_ui_shows_the_study_and_its_trials_nested_under_it(
    browser: Chrome, ui: tuple[str, StudyRun]
) -> None:
    address, study = ui
    browser.get(runs_address(address, study.experiment_id))
    parent = await_element(browser, By.LINK_TEXT, "resnet_cats (study 1)")
    assert study.run_id in (parent.get_attribute("href") or "")
    assert browser.find_elements(By.LINK_TEXT, "trial 0") == []
    assert "Evaluation runs" not in browser.find_element(By.TAG_NAME, "body").text
    await_element(browser, By.CSS_SELECTOR, "[role=gridcell][col-id*='Run Name'] button").click()
    for number in range(3):
        child = await_element(browser, By.LINK_TEXT, f"trial {number}")
        assert study.run_ids[number] in (child.get_attribute("href") or "")


def test_mlflow_ui_run_page_shows_its_parent_parameters_and_metrics(
    browser: Chrome, ui: tuple[str, StudyRun]
) -> None:
    address, study = ui
    browser.get(run_address(address, study.experiment_id, study.run_ids[1]))
    parent = await_element(browser, By.LINK_TEXT, "resnet_cats (study 1)")
    assert study.run_id in (parent.get_attribute("href") or "")
    await_element(browser, By.LINK_TEXT, "validation/accuracy")
    text = browser.find_element(By.TAG_NAME, "body").text
    for expected in ("trial 1", "learning_rate", "0.1", "0.7", "Killed"):
        assert expected in text


def test_mlflow_ui_shows_the_pictures_of_a_trial(
    browser: Chrome, ui: tuple[str, StudyRun]
) -> None:
    address, study = ui
    run = f"{address}/#/experiments/{study.experiment_id}/runs/{study.run_ids[0]}"
    for name in ("curves.png", "confusion.png", "labels.svg"):
        browser.get("about:blank")  # the UI keeps the picture when only the fragment changes
        browser.get(f"{run}/artifacts/pictures/{name}")
        loaded = f"""const picture = document.querySelector("img[alt='pictures/{name}']");
            return picture !== null && picture.naturalWidth > 300"""
        WebDriverWait(browser, TIMEOUT_S).until(
            lambda page, script=loaded: page.execute_script(script)
        )


def test_mlflow_ui_shows_the_page_of_the_worst_texts(
    browser: Chrome, ui: tuple[str, StudyRun]
) -> None:
    address, study = ui
    run = f"{address}/#/experiments/{study.experiment_id}/runs/{study.run_ids[0]}"
    browser.get(f"{run}/artifacts/pictures/worst.html")
    frame = await_element(browser, By.TAG_NAME, "iframe")
    browser.switch_to.frame(frame)
    text = await_element(browser, By.CSS_SELECTOR, ".mistake .text").text
    assert text == "海 <b>&</b>"
