"""`--set key=value`."""

from collections.abc import Callable

import pytest

from runner.errors import Problem
from runner.experiment import Experiment, FloatParameter, IntParameter, SearchSettings

Load = Callable[..., Experiment]
Messages = Callable[..., list[str]]
Problems = Callable[..., tuple[Problem, ...]]


def test_set_changes_keys_in_the_order_given(load: Load, minimal: str) -> None:
    experiment = load(minimal, "search.trials=5", "train.learning_rate=1e-5", "search.trials=6")
    assert experiment.search.trials == 6
    assert experiment.train.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("description=no", "no"),
        ("description= a: b # c ", "a: b # c"),
        ('description="5"', "5"),
        ("description=x=y", "x=y"),
        ("description=2026-11-22", "2026-11-22"),
    ],
)
def test_set_reads_the_value_by_the_rules_of_the_file(
    load: Load, minimal: str, override: str, value: str
) -> None:
    assert load(minimal, override).description == value


def test_set_with_brackets_or_braces_gives_lists_and_mappings(load: Load, minimal: str) -> None:
    experiment = load(
        minimal,
        "search.space={epochs: {int: [1, 5]}}",
        "search.first=[{epochs: 3}]",
        "search.first.0.epochs=2",
        "search.devices=[cpu]",
    )
    assert experiment.search.first == ({"epochs": 2},)
    assert experiment.search.devices == ("cpu",)


def test_set_inside_a_list_that_the_file_wrote_changes_the_item(load: Load, minimal: str) -> None:
    text = minimal + "search:\n  space: {epochs: {int: [1, 5]}}\n"
    assert load(text, "search.space.epochs.int.1=9").space.parameters == {
        "epochs": IntParameter(1, 9)
    }


def test_set_inside_an_inline_space_changes_it(load: Load, minimal: str) -> None:
    text = minimal + "search: {space: {learning_rate: {float: [1e-4, 1e-2], log: true}}}\n"
    space = load(text, "search.space.learning_rate.log=false").space
    assert space.parameters["learning_rate"] == FloatParameter(1e-4, 1e-2, log=False)


def test_set_inside_a_space_by_name_changes_a_copy_of_it(load: Load, minimal: str) -> None:
    text = minimal + "search: {space: linear_probe}\n"
    space = load(text, "search.space.learning_rate.log=false", "search.space.dropout=0.1").space
    assert space.parameters["learning_rate"] == FloatParameter(1e-4, 1e-1, log=False)
    assert list(space.parameters)[-1] == "dropout"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trials", "--set trials: must have the form key=value, e.g. search.trials=5"),
        ("=5", "--set =5: must have the form key=value, e.g. search.trials=5"),
        ("a..b=5", "--set a..b=5: must have the form key=value, e.g. search.trials=5"),
        ("search.trals=5", "--set search.trals=5: search.trals: unknown key; allowed here: "
         f"{', '.join(SearchSettings.model_fields)}; did you mean 'trials'?"),
        ("serch.trials=5", "--set serch.trials=5: serch: unknown key; allowed here: name, "
         "description, seed, task, data, model, train, objective, command, evaluate, params, "
         "search, reuse, ray, tracking; did you mean 'search'?"),
        ("search.trials=x", "--set search.trials=x: search.trials: must be a whole number, at "
         "least 1, at most 1,000,000 (seen: 'x')"),
        ("name.first=x", "--set name.first=x: name: is a single value, so nothing can be set "
         "inside it (seen: 'cats')"),
        ("search.first=[", "--set search.first=[: search.first: a value is missing, or a "
         "bracket or brace is not closed"),
        ("description=a\x07", "--set description=a\x07: description: control characters are not "
         "allowed"),
    ],
)  # fmt: skip
def test_set_that_is_wrong_names_the_option_and_the_rule(
    messages: Messages, minimal: str, override: str, message: str
) -> None:
    assert messages(minimal, override) == [message]


def test_set_that_makes_other_keys_wrong_names_their_lines(
    messages: Messages, minimal: str
) -> None:
    assert messages(minimal, "data.source=folder") == [
        "cats.yaml:2: data.path: is missing; it must be text, not empty",
        "cats.yaml:2: data.name: unknown key; allowed here: split, classes, flip, "
        "max_unreadable, max_megapixels, "
        "image_size, crop_fraction, interpolation, mean, std, source, path",
    ]


def test_set_beyond_a_list_names_its_items(messages: Messages, minimal: str) -> None:
    text = minimal + "search: {space: {epochs: {int: [1, 5]}}, first: [{epochs: 1}]}\n"
    assert messages(text, "search.first.1.epochs=3") == [
        "--set search.first.1.epochs=3: search.first: is a list; its items are 0 to 0 (seen: 1)"
    ]


def test_set_problems_come_together_with_those_of_the_file(
    problems: Problems, minimal: str
) -> None:
    found = problems(minimal + "seed: x\n", "search.trials=x", "oops")
    assert [(p.file, p.line) for p in found] == [
        ("--set oops", None), ("--set search.trials=x", None), ("cats.yaml", 4),
    ]  # fmt: skip


def test_set_never_shows_a_password(messages: Messages, minimal: str) -> None:
    (message,) = messages(minimal, "tracking.ur=http://me:secret@host:5000")
    assert message.startswith("--set tracking.ur=http://***@host:5000: tracking.ur: unknown key")
    assert "secret" not in message
