"""What the pages in docs/ show: files that load, commands that parse, links that lead on."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner import api, cli
from runner.experiment import TASK_FORMS, load_experiment
from tests.docs_data import write_docs_data

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TASKS = [form.name for form in TASK_FORMS.values() if form.labels is not None]
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^name: (\w+)$", re.MULTILINE)
_COMMAND = re.compile(r"^(?:    | *`)python -m runner ([a-z]+ [^`\n]*?)(?:`.*)?$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Shown:
    """An experiment file on a page."""

    page: Path
    name: str
    text: str

    def written(self, folder: Path) -> Path:
        """The file, as a reader saves it."""
        path = folder / f"{self.name}.yaml"
        path.write_text(self.text, encoding="utf-8")
        return path


def _experiments() -> list[Shown]:
    blocks = [
        (page, block)
        for page in PAGES
        for block in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]
    return [
        Shown(page, found[1], block) for page, block in blocks if (found := _NAME.search(block))
    ]


def _commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for line in _COMMAND.findall(page.read_text(encoding="utf-8")):
            # Not the synopses, such as `search EXPERIMENT`, nor lines that go on.
            words = line.partition("  # ")[0].strip()
            if not re.search(r"\b[A-Z]{4,}\b|\\$", words):
                found.append((str(page.relative_to(ROOT)), words))
    return found


SHOWN = _experiments()
every_experiment = pytest.mark.parametrize(
    "shown", SHOWN, ids=[f"{shown.page.stem}-{shown.name}" for shown in SHOWN]
)


def test_pages_show_an_experiment_of_every_task():
    on_pages = {shown.page.stem for shown in SHOWN if shown.page.parent.name == "tasks"}
    assert on_pages >= {name.replace("_", "-") for name in TASKS}


@every_experiment
def test_shown_experiment_loads(shown, tmp_path):
    experiment = load_experiment(str(shown.written(tmp_path)))

    assert experiment.name == shown.name
    if shown.page.parent.name == "tasks":
        assert experiment.task == shown.page.stem.replace("-", "_")


def test_pages_of_tasks_name_every_metric_and_loss_of_theirs():
    for name in TASKS:
        text = (DOCS / "tasks" / f"{name.replace('_', '-')}.md").read_text(encoding="utf-8")
        words = {*TASK_FORMS[name].metrics, *TASK_FORMS[name].losses}
        missing = [word for word in words if not re.search(rf"\b{word}\b", text)]
        assert not missing, f"{name}: {missing}"


@pytest.mark.parametrize(("page", "line"), sorted(set(_commands())))
def test_shown_command_is_understood(page, line, monkeypatch):
    monkeypatch.setattr(cli, f"_{line.split()[0]}", lambda options: 0)

    assert cli.run(shlex.split(line)) == 0


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_of_a_page_lead_to_files(page):
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shown_experiments_are_searched_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    write_docs_data(tmp_path)
    pages = ("tasks", "adapters", "tutorial")
    chosen = [s for s in SHOWN if pages[0] == s.page.parent.name or s.page.stem in pages]
    assert len(chosen) == len(TASKS) + 2

    for shown in chosen:
        path = shown.written(tmp_path)
        once = ("search.trials=1", "search.space.epochs=1", "tracking.pictures=0")
        study = api.search(str(path), overrides=once, backend="inline", show="none")

        assert [trial.state for trial in study.trials] == ["complete"], shown.name
