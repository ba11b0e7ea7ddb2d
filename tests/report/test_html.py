"""The study page: self-contained, harmless whatever the names, right in its drawing."""

import re
from html.parser import HTMLParser

import pytest

from runner.report import LeaderboardRow, StudyPage, rank, study_html
from runner.report.chart import chart, nice_ticks, value_range

VOID = {"meta", "link", "br", "img"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects elements and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"script", "style"}:
            self.text.append(data)


def rows(count: int) -> list[LeaderboardRow]:
    outcomes = ("complete", "pruned", "complete", "failed")
    return [
        LeaderboardRow(
            number,
            outcomes[number % 4],
            None if number % 4 == 3 else 0.5 + 0.01 * (number % 37),
            epochs=5,
            best_epoch=4,
            duration_s=3.0,
            params={"learning_rate": 10.0**-number if number < 9 else 0.1, "batch_size": 16},
            run_id=f"{number:032x}",
        )
        for number in range(count)
    ]


def page(**changes: object) -> StudyPage:
    return StudyPage(**{"name": "resnet_cats", **changes})  # type: ignore[arg-type]


def test_study_html_loads_nothing_from_outside() -> None:
    html = study_html(page(), rank(rows(12), metric="accuracy", is_maximized=True))
    for tag, attributes in Outline(html).tags:
        assert not {"src", "srcset", "data"} & attributes.keys(), tag
        assert "href" not in attributes, tag
    assert "@import" not in html
    assert "url(" not in html
    assert "http" not in html


def test_study_html_shows_best_facts_experiment_and_fixed_parameters() -> None:
    described = page(
        description="Nine cats.",
        facts={"model": "resnet18"},
        experiment={"train": {"epochs": 5}},
        footer="runner 0.1.0",
    )
    board = rank(rows(12), metric="accuracy", is_maximized=True)
    text = Outline(study_html(described, board)).text
    for expected in ("Nine cats.", "resnet18", "runner 0.1.0", "0.6000", "batch_size=16"):
        assert expected in text
    assert "highest accuracy, trial 10" in text
    assert any('"epochs": 5' in piece for piece in text)


def test_study_html_links_trials_to_their_runs() -> None:
    linked = page(run_address=lambda run_id: f"http://127.0.0.1:5000/#/runs/{run_id}?a&b")
    html = study_html(linked, rank(rows(2), metric="accuracy", is_maximized=True))
    addresses = [attributes["href"] for tag, attributes in Outline(html).tags if tag == "a"]
    assert f"http://127.0.0.1:5000/#/runs/{1:032x}?a&b" in addresses


def test_study_html_names_that_look_like_code_stay_text() -> None:
    evil = "<script>alert('x')</script>\" onload=\"y"
    row = LeaderboardRow(0, evil, 0.5, params={evil: evil}, run_id=evil, note=evil)
    other = LeaderboardRow(1, "complete", 0.4, params={evil: 1})
    html = study_html(
        page(
            name=evil,
            description=evil,
            facts={evil: evil},
            experiment={evil: evil},
            footer=evil,
            run_address=lambda run_id: run_id,
        ),
        rank([row, other], metric=evil, is_maximized=True),
    )
    outline = Outline(html)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert not any("onload" in attributes for _, attributes in outline.tags)


def test_study_html_template_marks_in_names_are_kept() -> None:
    html = study_html(page(name="a $name $$ costs"), rank([], metric="m", is_maximized=True))
    assert "a $name $$ costs" in Outline(html).text


def test_study_html_no_trials_yet_has_no_drawing() -> None:
    html = study_html(page(), rank([], metric="accuracy", is_maximized=True))
    assert "<svg" not in html
    assert "highest accuracy: none yet" in Outline(html).text


def test_study_html_ten_thousand_trials_stay_light() -> None:
    html = study_html(page(), rank(rows(10_000), metric="accuracy", is_maximized=True))
    assert len(html) < 6_000_000
    assert html.count("<circle") == 0
    assert html.count("<tr") == 10_001


def test_chart_best_line_steps_at_each_better_complete_trial_only() -> None:
    values = [("complete", 0.2), ("pruned", 0.9), ("complete", 0.1), ("complete", 0.6)]
    trials = [LeaderboardRow(i, outcome, value) for i, (outcome, value) in enumerate(values)]
    drawing = chart(rank(trials, metric="accuracy", is_maximized=True))
    line = re.search(r'class="best" d="([^"]+)"', drawing)
    assert line is not None
    assert re.findall("[MHV]", line[1]) == ["M", "H", "V", "H"]
    down = chart(rank(trials, metric="loss", is_maximized=False))
    line = re.search(r'class="best" d="([^"]+)"', down)
    assert line is not None
    assert re.findall("[MHV]", line[1]) == ["M", "H", "V", "H"]
    assert drawing.count("<circle") == 4


def test_chart_all_points_lie_inside_even_when_one_diverged() -> None:
    trials = [LeaderboardRow(i, "complete", 0.3 + 0.01 * i) for i in range(9)]
    trials.append(LeaderboardRow(9, "complete", 1e9))
    drawing = chart(rank(trials, metric="loss", is_maximized=False))
    heights = [float(y) for y in re.findall(r'cy="([^"]+)"', drawing)]
    assert all(18 <= y <= 274 for y in heights)
    assert max(heights) - sorted(heights)[1] > 80


@pytest.mark.parametrize("is_maximized", [True, False])
def test_value_range_of_one_value_is_not_empty(is_maximized: bool) -> None:
    for value in (0.0, 0.7, -3.0):
        low, high = value_range([value], is_maximized=is_maximized)
        assert low < value < high


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.805, 0.822, [0.805, 0.81, 0.815, 0.82])],
)
def test_nice_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks
