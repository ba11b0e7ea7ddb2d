"""The generated reference and schema in docs/ are those of the code."""

from pathlib import Path

import pytest

from runner.experiment import Recipe, load_experiment
from runner.experiment.document import parse_text
from runner.experiment.grammar import read_space
from runner.experiment.json_schema import published_schema
from runner.experiment.keys import keys_of
from runner.experiment.reference import main, reference_text, schema_text
from runner.experiment.reference_text import GRAMMAR, INTRODUCTION
from runner.experiment.wording import resolve

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run python -m runner.experiment.reference"


def test_docs_hold_the_reference_of_this_code() -> None:
    assert (DOCS / "experiment-file.md").read_text(encoding="utf-8") == reference_text(), AGAIN


def test_docs_hold_the_schema_of_this_code() -> None:
    assert (DOCS / "experiment.schema.json").read_text(encoding="utf-8") == schema_text(), AGAIN


def test_reference_written_to_a_folder_has_both_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path)])
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "experiment-file.md"),
        str(tmp_path / "experiment.schema.json"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "experiment-file.md",
        "experiment.schema.json",
    ]


def test_reference_has_a_row_for_every_key_of_the_recipe() -> None:
    text = reference_text()
    assert [name for name in Recipe.model_fields if f"| `{name}` |" not in text] == []
    assert "| `seed` | a whole number, at least 0, at most 4,294,967,295 | `0` | no |" in text
    assert "| `trials` | a whole number, at least 1, at most 1,000,000 | `20` | yes |" in text
    assert "| `max_unreadable` | a number, at least 0, at most 1 | `0.01` | yes |" in text


@pytest.mark.parametrize("section", ["model", "train", "search", "reuse", "ray", "tracking"])
def test_reference_has_every_section_with_all_its_keys(section: str) -> None:
    part = resolve(published_schema()["properties"][section], published_schema()["$defs"])
    told = reference_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    assert [key for key in part["properties"] if f"| `{key}` |" not in told] == []


def test_examples_in_the_reference_are_valid(tmp_path: Path) -> None:
    smallest = INTRODUCTION.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "my_cats.yaml").write_text(smallest)
    assert load_experiment(str(tmp_path / "my_cats.yaml")).name == "my_cats"
    space, _ = parse_text(GRAMMAR.split("```yaml\n")[1].split("```")[0], shown="grammar")
    assert isinstance(space, dict)
    built, flaws = read_space(space, Recipe().model_dump(), keys=keys_of("image_classification"))
    assert flaws == []
    assert list(built.parameters) == list(space)
