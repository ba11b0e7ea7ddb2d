"""The study page's few lines of script, in a real browser."""

import math
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from runner.report import LeaderboardRow, StudyPage, rank, study_html

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_page(browser: Chrome, folder: Path, rows: list[LeaderboardRow]) -> None:
    page = folder / "study.html"
    board = rank(rows, metric="accuracy", is_maximized=True)
    page.write_text(study_html(StudyPage("resnet_cats"), board))
    browser.get(page.as_uri())


def shown(browser: Chrome) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#leaderboard tbody tr')]"
        ".filter(row => row.offsetParent).map(row => row.cells[0].textContent)"
    )
    return list(browser.execute_script(script))


def click(browser: Chrome, text: str) -> None:
    browser.find_element(By.XPATH, f"//button[normalize-space()='{text}']").click()


def test_page_sorts_numbers_as_numbers_and_keeps_empty_cells_last(
    browser: Chrome, tmp_path: Path
) -> None:
    durations = [9.0, 100.0, None, 61.0, 0.5]
    rows = [
        LeaderboardRow(i, "complete", i / 10, duration_s=d, params={"lr": 10.0 ** -(i * 2)})
        for i, d in enumerate(durations)
    ]
    open_page(browser, tmp_path, rows)
    assert shown(browser) == ["4", "3", "2", "1", "0"]
    click(browser, "time")
    assert shown(browser) == ["4", "0", "3", "1", "2"]
    click(browser, "time")
    assert shown(browser) == ["1", "3", "0", "4", "2"]
    click(browser, "lr")
    assert shown(browser) == ["4", "3", "2", "1", "0"]
    head = browser.find_element(By.CSS_SELECTOR, "th[aria-sort]")
    assert (head.text.strip("↑↓ \n"), head.get_attribute("aria-sort")) == ("lr", "ascending")


def test_page_with_many_trials_shows_some_until_asked_and_filters_outcomes(
    browser: Chrome, tmp_path: Path
) -> None:
    rows = [LeaderboardRow(i, "pruned" if i % 5 else "complete", math.sqrt(i)) for i in range(500)]
    open_page(browser, tmp_path, rows)
    assert len(shown(browser)) == 100
    click(browser, "complete 100")
    assert len(shown(browser)) == 100
    click(browser, "Show all 500 trials")
    assert len(shown(browser)) == 400
    click(browser, "complete 100")
    assert len(shown(browser)) == 500


def test_page_follows_the_dark_setting_and_logs_no_errors(browser: Chrome, tmp_path: Path) -> None:
    open_page(browser, tmp_path, [LeaderboardRow(0, "complete", 0.5)])
    colours = set()
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        body = browser.find_element(By.TAG_NAME, "body")
        colours.add((scheme, body.value_of_css_property("background-color")))
    assert len({colour for _, colour in colours}) == 2
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
