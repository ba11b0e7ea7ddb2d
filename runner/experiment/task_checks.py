"""Checks of an experiment's parts against its task: data, model, recipe, metric, objective."""

from collections.abc import Iterator, Mapping

from runner.errors import nearest_spelling
from runner.experiment.keys import TaskKeys
from runner.experiment.marks import MISSING, Flaw
from runner.experiment.task_forms import TASK_FORMS, LabelKind, Modality, TaskForm

_SOURCES: Mapping[Modality, tuple[str, ...]] = {
    Modality.IMAGE: ("bundled", "folder", "manifest", "torchvision", "huggingface"),
    Modality.TEXT: ("bundled", "table", "conll", "huggingface"),
}
# Sources that hold one kind of label only.
_ONE_KIND = {
    "folder": LabelKind.CLASS,
    "torchvision": LabelKind.CLASS,
    "bundled": LabelKind.CLASS,
    "conll": LabelKind.TAGS,
}
_BUNDLED_TEXTS = ("docstrings",)
_OF_A_MODEL = ("data", "model", "train", "reuse")
_OF_AN_OBJECTIVE = ("objective", "command", "params", "evaluate")


def task_flaws(written: Mapping[str, object], keys: TaskKeys) -> Iterator[Flaw]:
    """Everything in an experiment that its task cannot use, or misses."""
    form = keys.form
    assert form is not None  # the caller leaves an unknown task to the schema
    search = _section(written, "search")
    if form.labels is None:
        yield from _objective_flaws(written)
        yield from _own_metric_flaws(search)
        yield from _own_pruner_flaws(search, _section(written, "params"))
        if (grace := search.get("grace")) is not None:
            rule = "counts training examples, which only your own code knows; leave it out"
            yield Flaw(("search", "grace"), rule, grace)
        return
    for name in _OF_AN_OBJECTIVE:
        if written.get(name):
            rule = f"is for `task: custom` alone, and this is {form.name}"
            yield Flaw((name,), rule, written[name])
    if files := _section(written, "ray").get("files"):
        rule = f"is for `task: custom` alone; {form.name} sends what data and model name"
        yield Flaw(("ray", "files"), rule, files)
    for name in ("data", "model"):
        if name not in written:
            rule = f"is missing; it must be a mapping of keys to values, for {form.name}"
            yield Flaw((name,), rule)
    yield from _data_flaws(_section(written, "data"), form)
    for name, value in _section(written, "train").items():
        if keys.name_flaw(name) is None and (flaw := keys.task_flaw(name, value)) is not None:
            yield flaw.below("train", name)
    yield from _metric_flaws(search, form)
    if (last := search.get("max_steps")) is not None:
        rule = f"is for `task: custom` alone, and this is {form.name}, whose last step is `epochs`"
        yield Flaw(("search", "max_steps"), rule, last)


def _section(written: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = written.get(name)
    return section if isinstance(section, Mapping) else {}


def _data_flaws(data: Mapping[str, object], form: TaskForm) -> Iterator[Flaw]:
    source = data.get("source")
    assert form.modality is not None
    known = {name for names in _SOURCES.values() for name in names}
    if not isinstance(source, str) or source not in known:
        return
    if source not in _SOURCES[form.modality]:
        fitting = ", ".join(_SOURCES[form.modality])
        rule = f"holds no {form.modality}s, which {form.name} needs; there are {fitting}"
        yield Flaw(("data", "source"), rule, source)
        return
    kind = _ONE_KIND.get(source, form.labels)
    if kind is not form.labels:
        fitting = ", ".join(s for s in _SOURCES[form.modality] if s not in _ONE_KIND)
        rule = f"has no labels for {form.name}; those that may: {fitting}"
        yield Flaw(("data", "source"), rule, source)
    elif source == "bundled" and isinstance(name := data.get("name"), str):
        yield from _bundled_flaws(name, form)


def _bundled_flaws(name: str, form: TaskForm) -> Iterator[Flaw]:
    is_text = form.modality is Modality.TEXT
    if (name in _BUNDLED_TEXTS) != is_text:
        needed = f"texts; there is {', '.join(_BUNDLED_TEXTS)}" if is_text else "images"
        yield Flaw(("data", "name"), f"is no bundled set of {needed}", name)


def _metric_flaws(search: Mapping[str, object], form: TaskForm) -> Iterator[Flaw]:
    metric, direction = search.get("metric"), search.get("direction")
    if metric is None:
        metric = form.default_metric
    if not isinstance(metric, str):
        return
    if metric not in form.metrics:
        rule = f"no such metric of {form.name}; there are {', '.join(form.metrics)}"
        near = nearest_spelling(metric, form.metrics)
        yield Flaw(("search", "metric"), rule, metric, near)
    elif direction in ("minimize", "maximize") and direction != form.metrics[metric]:
        rule = f"{metric} is better the other way: leave it out, or write {form.metrics[metric]}"
        yield Flaw(("search", "direction"), rule, direction)


def _own_metric_flaws(search: Mapping[str, object]) -> Iterator[Flaw]:
    if search.get("metric") is None:
        rule = "is missing; with task: custom it must be the name of a metric you report"
        yield Flaw(("search", "metric"), rule)
    if search.get("direction") is None:
        rule = "is missing; with task: custom it must be minimize or maximize"
        yield Flaw(("search", "direction"), rule)


def _own_pruner_flaws(
    search: Mapping[str, object], params: Mapping[str, object]
) -> Iterator[Flaw]:
    is_known = "epochs" in _section(search, "space") or isinstance(params.get("epochs"), int)
    if search.get("pruner") == "hyperband" and search.get("max_steps") is None and not is_known:
        rule = (
            "is missing; hyperband needs the last step that a trial reports, or `epochs` in the "
            "space or in `params`"
        )
        yield Flaw(("search", "max_steps"), rule)


def _objective_flaws(written: Mapping[str, object]) -> Iterator[Flaw]:
    for name in _OF_A_MODEL:
        if written.get(name):
            others = ", ".join(other for other in TASK_FORMS if other != "custom")
            rule = f"is for the tasks {others}; task: custom has `params` and its own code"
            yield Flaw((name,), rule, written[name])
    given = [name for name in ("objective", "command") if written.get(name)]
    if not given:
        rule = (
            "is missing; task: custom needs a Python function as objective: file.py:function, or "
            "a command: [python, train.py, ...]"
        )
        yield Flaw(("objective",), rule, MISSING)
    elif len(given) == 2:
        yield Flaw(("command",), "is given beside objective; take one of them")
