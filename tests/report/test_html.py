"""The study page: self-contained, harmless whatever the names."""

from runner.report import LeaderboardRow, StudyPage, rank, study_html
from tests.report.outline import Outline


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
