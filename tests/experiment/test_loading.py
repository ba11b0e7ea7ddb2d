"""Loading an experiment: lookup, defaults, and every problem at once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import ExperimentError
from runner.experiment import (
    Experiment,
    IntParameter,
    SearchSettings,
    load_experiment,
    lookup,
)

FILES = Path(__file__).parent / "files"
Load = Callable[..., Experiment]
Messages = Callable[..., list[str]]

WRONG = """\
name: ca ts
seed: -1
learning_rate: 3
data: {source: bundld, name: cat-faces}
model: {weights: bundle:glyphs}
train:
  optimizer: adamm
  freeze_depth: 'mx'
  grad_clip: none
  mixup: no
  channels_last: on
search:
  trals: 5
  time: 10x
  sampler: grid
  devices: [cuda:0, gpu]
  space:
    dropout: {float: [0, 1.5]}
    epochs: {int: [2, 7], step: 2}
    warmup: {float: [0.0, 0.5]}
    momentum:
      float: [0.8, 0.99]
      when: {optimiser: sgd}
  first:
    - {dropout: 0.1, warmup: 0.7, momentun: 0.9}
traking:
  uri: null
"""


def test_load_experiment_of_a_wrong_file_names_every_problem(messages: Messages) -> None:
    keys = SearchSettings.model_fields
    listed = (
        "name, description, seed, task, data, model, train, objective, command, evaluate, params, "
        "search, reuse, ray, tracking"
    )
    assert messages(WRONG) == [
        "cats.yaml:1: name: must be letters, digits, '.', '_' and '-', starting with a letter or "
        "digit, at most 100 long (it names folders) (seen: 'ca ts')",
        "cats.yaml:2: seed: must be a whole number, at least 0, at most 4,294,967,295 (seen: -1)",
        f"cats.yaml:3: learning_rate: unknown key; allowed here: {listed}; did you mean "
        "'train.learning_rate'?",
        "cats.yaml:4: data.source: must be bundled, conll, folder, huggingface, manifest, table "
        "or torchvision (seen: 'bundld'); did you mean 'bundled'?",
        "cats.yaml:5: model.name: is missing; it must be text, not empty",
        "cats.yaml:5: model.weights: must be hub, none, bundled:glyphs, package:<distribution>, "
        "or a path that ends in .safetensors, .pth, .pt, or a folder that starts with ./, ../, /, "
        "~ (seen: 'bundle:glyphs'); did you mean "
        "'bundled:glyphs'?",
        "cats.yaml:7: train.optimizer: must be 'adamw', 'sgd' or 'adam' (seen: 'adamm'); did you "
        "mean 'adam'?",
        "cats.yaml:8: train.freeze_depth: must be a whole number, at least 0, or 'max' (seen: "
        "'mx'); did you mean 'max'?",
        "cats.yaml:9: train.grad_clip: must be a number, above 0, or null (seen: 'none'); did you "
        "mean 'null'?",
        "cats.yaml:10: train.mixup: must be a number, at least 0, at most 100 (seen: 'no')",
        "cats.yaml:11: train.channels_last: must be 'auto', or true or false (seen: 'on'); did "
        "you mean 'true'?",
        f"cats.yaml:13: search.trals: unknown key; allowed here: {', '.join(keys)}; did you mean "
        "'trials'?",
        "cats.yaml:14: search.time: must be a length of time such as 90s, 10m, 2h, 1d or 1h30m, "
        "or a number of seconds (seen: '10x')",
        "cats.yaml:16: search.devices.1: must be cpu, mps, cuda or cuda:<number> (seen: 'gpu')",
        "cats.yaml:18: search.space.dropout.float.1: dropout must be a number, at least 0, below "
        "1 (seen: 1.5)",
        "cats.yaml:19: search.space.epochs.int: the upper end is not reached from 2 in steps of 2 "
        "(seen: [2, 7])",
        "cats.yaml:20: search.space.warmup: the grid sampler needs a list of values: add a step, "
        "or use choice",
        "cats.yaml:23: search.space.momentum.when.optimiser: a condition may name only a "
        "parameter of the space or a key of `train` (seen: 'optimiser'); did you mean "
        "'optimizer'?",
        "cats.yaml:25: search.first.0.warmup: must lie between 0.0 and 0.5, not 0.7",
        "cats.yaml:25: search.first.0.momentun: is not in the space",
        f"cats.yaml:26: traking: unknown key; allowed here: {listed}; did you mean 'tracking'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: cat-faces", "cats.yaml:2: data: must be a mapping of keys to values (seen: "
         "'cat-faces')"),
        ("data:", "cats.yaml:2: data: must be a mapping of keys to values (seen: null)"),
        ("data: {name: digits}", "cats.yaml:2: data.source: is missing; it must be bundled, "
         "conll, folder, huggingface, manifest, table or torchvision"),
        ("data: {source: [a], name: digits}", "cats.yaml:2: data.source: must be bundled, conll, "
         "folder, huggingface, manifest, table or torchvision (seen: ['a'])"),
        ("data: {source: bundled, name: digits, bundled: 1}", "cats.yaml:2: data.bundled: unknown "
         "key; allowed here: split, classes, flip, max_unreadable, max_megapixels, image_size, "
         "crop_fraction, interpolation, mean, std, cleaning, max_empty, source, name, size"),
        ("data: {source: table, path: a.xlsx}\ntask: text_classification", "cats.yaml:2: "
         "data.path: does not have the form it needs. A .csv, .tsv, .jsonl or .parquet file; "
         "relative to the experiment file, or an address. (seen: 'a.xlsx')"),
        ("data: {source: table, path: a.csv, image_size: 8}\ntask: text_classification",
         "cats.yaml:2: data.image_size: unknown key; allowed here: split, classes, cleaning, "
         "max_empty, label_column, label_columns, label_separator, source, path, "
         "validation_path, test_path, text_column, pair_column, tokens_column, tags_column, "
         "group_column, split_column"),
        ("data: {source: table, path: a.csv, cleaning: {unicode: NFD}}\n"
         "task: text_classification", "cats.yaml:2: data.cleaning.unicode: must be 'NFC' or "
         "'NFKC', or null (seen: 'NFD')"),
        ("data: {source: table, path: a.csv, label_columns: [a], label_separator: '|'}\n"
         "task: text_multilabel", "cats.yaml:2: data: takes label_columns or label_separator, "
         "not both (seen: a mapping)"),
        ("data: {source: manifest, path: a.csv, label_columns: [a, a]}\ntask: image_multilabel",
         "cats.yaml:2: data: label_columns names a column twice (seen: a mapping)"),
        ("data: {source: bundled, name: digits, split: {train: 0.5}}", "cats.yaml:2: data.split: "
         "train, validation and test must add up to 1, not 0.7 (seen: a mapping)"),
        ("data: {source: bundled, name: digits, std: [1, 1]}", "cats.yaml:2: data.std.2: is "
         "missing; it must be a number, above 0"),
        ("data: {source: bundled, name: digits, std: [1, 1, 0]}", "cats.yaml:2: data.std.2: must "
         "be a number, above 0 (seen: 0)"),
        ("data: {source: manifest, path: a.txt}", "cats.yaml:2: data.path: does not have the form "
         "it needs. A .csv or .parquet file; relative to the experiment file, or an address. "
         "(seen: 'a.txt')"),
        ("data: {source: torchvision, name: X, download: yes}", "cats.yaml:2: data.download: must "
         "be true or false (seen: 'yes'); did you mean 'true'?"),
        ("data: {source: bundled, name: digits}\nmodel: {name: x, arguments: {a: .nan}}",
         "cats.yaml:3: model.arguments: must hold finite numbers, text, lists and mappings only "
         "(seen: a mapping)"),
        ("data: {source: bundled, name: digits}\nsearch: {first: {epochs: 3}}",
         "cats.yaml:3: search.first: must be a list, each a mapping of keys to values (seen: a "
         "mapping)"),
        ("data: {source: bundled, name: digits}\nsearch: {first: [3]}",
         "cats.yaml:3: search.first.0: must be a mapping of keys to values (seen: 3)"),
        ("data: {source: bundled, name: digits}\nsearch: {devices: [cpu, cpu]}",
         "cats.yaml:3: search.devices: lists cpu twice; `slots` says how many trials share it "
         "(seen: ['cpu', 'cpu'])"),
        ("data: {source: bundled, name: digits}\nsearch: {gpus_per_trial: 2, pack: 4}",
         "cats.yaml:3: search.pack: must be 1 or auto where search.gpus_per_trial is 2: nothing "
         "shares its GPUs (seen: 4)"),
        ("data: {source: bundled, name: digits}\nray: {gpus: 1}\nsearch: {gpus_per_trial: 2}",
         "cats.yaml:3: ray.gpus: must be left out where search.gpus_per_trial is 2, which Ray is "
         "asked for (seen: 1)"),
        ("data: {source: bundled, name: digits}\nray: {gpus: 2}",
         "cats.yaml:3: ray.gpus: must be a number, at least 0, at most 1, or null (seen: 2)"),
        ("data: {source: bundled, name: digits}\nsearch: {space: [epochs]}",
         "cats.yaml:3: search.space: must be the name of a search space, or a mapping of keys "
         "of `train` (seen: ['epochs'])"),
        ("data: {source: bundled, name: digits}\nsearch: [epochs]",
         "cats.yaml:3: search: must be a mapping of keys to values (seen: ['epochs'])"),
        ("data: {source: bundled, name: digits}\ntrain: {learning_rate: .inf}",
         "cats.yaml:3: train.learning_rate: must be a finite number, above 0 (seen: inf)"),
        ("data: {source: bundled, name: digits}\ntrain: {epochs: 2.0}",
         "cats.yaml:3: train.epochs: must be a whole number, at least 1, at most 100,000 (seen: "
         "2.0)"),
        ("data: {source: bundled, name: digits}\ntracking: {uri: ''}",
         "cats.yaml:3: tracking.uri: must be text, not empty, or null (seen: ''); did "
         "you mean 'null'?"),
    ],
)  # fmt: skip
def test_load_experiment_with_one_wrong_value_says_what_is_allowed(
    messages: Messages, text: str, message: str
) -> None:
    model = "" if "model:" in text else "\nmodel: {name: resnet18}"
    assert messages(f"name: cats\n{text}{model}\n") == [message]


def test_load_experiment_with_a_flawed_parent_says_nothing_of_its_children(
    messages: Messages, minimal: str
) -> None:
    text = minimal + (
        "search:\n"
        "  space:\n"
        "    optimizer: {choice: [sdg, adam]}\n"
        "    momentum: {float: [0.8, 0.9], when: {optimizer: {not: adamw}}}\n"
        "  first: [{momentum: 0.85}]\n"
    )
    (message,) = [m for m in messages(text) if "never happens" not in m]
    assert message.startswith("cats.yaml:6: search.space.optimizer.choice.0: optimizer must be")


def test_load_experiment_of_the_smallest_file_has_the_defaults(load: Load, minimal: str) -> None:
    experiment = load(minimal)
    assert experiment.train.epochs == 5
    assert experiment.model.weights == "hub"
    assert (experiment.metric, experiment.direction) == ("accuracy", "maximize")
    assert experiment.search.time_s is None
    assert experiment.space.parameters == {}
    assert load(minimal, "search.metric=loss").direction == "minimize"
    assert load(minimal, "search.time=1h").search.time_s == 3600
    assert load(minimal, "search.trial_time=90").search.trial_time_s == 90


def test_load_experiment_reads_every_file_there_is(experiment_files: list[Path]) -> None:
    assert len(experiment_files) >= 3
    for path in experiment_files:
        assert load_experiment(str(path)).source_file == path


def test_load_experiment_looks_a_bare_name_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimal: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "cats.yaml").write_text(minimal)
    assert load_experiment("cats").source_file == tmp_path / "experiments" / "cats.yaml"
    (tmp_path / "cats.yaml").write_text(minimal)
    assert load_experiment("cats").source_file == tmp_path / "cats.yaml"
    assert load_experiment("cats.yaml").source_file == tmp_path / "cats.yaml"
    assert load_experiment("./experiments/cats").source_file != tmp_path / "cats.yaml"


def test_load_experiment_of_an_installed_runner_finds_what_it_shipped_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimal: str
) -> None:
    shipped = tmp_path / "site-packages" / "runner" / "shipped"
    (shipped / "experiments").mkdir(parents=True)
    (shipped / "search_spaces").mkdir()
    (shipped / "experiments" / "lynx.yaml").write_text(minimal + "search: {space: tuft}\n")
    (shipped / "search_spaces" / "tuft.yaml").write_text("epochs: {int: [1, 3]}\n")
    monkeypatch.setattr(lookup, "PACKAGE", shipped.parent)
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment("lynx")
    assert experiment.source_file == shipped / "experiments" / "lynx.yaml"
    assert experiment.space.parameters == {"epochs": IntParameter(1, 3)}


@pytest.mark.parametrize("name", ["catz", "catz.yaml"])
def test_load_experiment_of_an_unknown_name_tells_where_it_looked(
    load: Load, minimal: str, name: str
) -> None:
    load(minimal)
    with pytest.raises(ExperimentError) as info:
        load_experiment(name)
    message = str(info.value)
    assert message.startswith(f"{name}: no such experiment file; looked in ., experiments/, ")
    assert message.endswith("; did you mean 'cats'?")


@pytest.mark.parametrize(
    "name", ["", "a/b/c.yaml", "a\0b", "\udc80", "~nobody/x.yaml", "x" * 5000]
)
def test_load_experiment_of_an_impossible_name_is_refused(load: Load, name: str) -> None:
    with pytest.raises(ExperimentError, match="no such experiment file") as info:
        load_experiment(name)
    str(info.value).encode()


def test_load_experiment_with_a_space_by_name_finds_it_beside_the_file(
    tmp_path: Path, load: Load, minimal: str
) -> None:
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "mine.yaml").write_text("epochs: {int: [1, 3]}\n")
    (tmp_path / "other.yml").write_text("epochs: {int: [1, 4]}\n")
    text = minimal + "search: {space: mine}\n"
    assert load(text).space.parameters == {"epochs": IntParameter(1, 3)}
    assert load(text, "search.space=./other.yml").space.parameters == {
        "epochs": IntParameter(1, 4)
    }
    assert "learning_rate" in load(text, "search.space=linear_probe").space.parameters


def test_load_experiment_with_a_wrong_space_by_name_names_its_file_and_line(
    tmp_path: Path, messages: Messages, minimal: str
) -> None:
    (tmp_path / "search_spaces").mkdir()
    space = tmp_path / "search_spaces" / "mine.yaml"
    space.write_text("# mine\nepochs: 3\ndropout:\n  float: [0, 2]\n")
    text = minimal + "seed: x\nsearch: {space: mine, first: [{epochs: 4}]}\n"
    assert messages(text) == [
        "cats.yaml:4: seed: must be a whole number, at least 0, at most 4,294,967,295 (seen: 'x')",
        "cats.yaml:5: search.first.0.epochs: is fixed at 3 in the space, not 4",
        "search_spaces/mine.yaml:4: dropout.float.1: dropout must be a number, at least 0, below "
        "1 (seen: 2)",
    ]
    space.write_text("a: 1\na: 2\n")
    assert messages(text)[1] == (
        "search_spaces/mine.yaml:2: a: this key is already there, on line 1"
    )


def test_load_experiment_with_an_unknown_space_names_those_there_are(
    messages: Messages, minimal: str
) -> None:
    (message,) = messages(minimal + "search: {space: linear_prob}\n")
    assert message.startswith("cats.yaml:4: search.space: no such search space; there are ")
    assert message.endswith("vit (seen: 'linear_prob'); did you mean 'linear_probe'?")


def test_load_experiment_makes_paths_absolute_from_the_file(
    tmp_path: Path, load: Load, minimal: str
) -> None:
    experiment = load(
        minimal, "data={source: manifest, path: a/../t.csv, root: ../photos}",
        "model.weights=w/x.safetensors",
    )  # fmt: skip
    assert experiment.data.model_dump()["path"] == str(tmp_path / "t.csv")
    assert experiment.data.model_dump()["root"] == str(tmp_path.parent / "photos")
    assert experiment.model.weights == str(tmp_path / "w" / "x.safetensors")
    home = load(minimal, "data={source: folder, path: ~/photos}").data.model_dump()["path"]
    assert home == str(Path.home() / "photos")


@pytest.mark.parametrize("source", ["table", "conll"])
def test_load_experiment_makes_the_paths_of_all_parts_of_texts_absolute(
    tmp_path: Path, load: Load, minimal: str, source: str
) -> None:
    task = "text_classification" if source == "table" else "token_classification"
    asked = f"data={{source: {source}, path: a.csv, validation_path: ../b.csv, test_path: /c.csv}}"
    data = load(f"{minimal}task: {task}\n", asked).data.model_dump()
    assert data["path"] == str(tmp_path / "a.csv")
    assert data["validation_path"] == str(tmp_path.parent / "b.csv")
    assert data["test_path"] == "/c.csv"


def test_load_experiment_makes_folders_in_the_place_of_hub_names_absolute(
    tmp_path: Path, load: Load, minimal: str
) -> None:
    """Fails where they stay as they are: later commands, which have no file, would ask the hub."""
    (tmp_path / "saved").mkdir()
    saved = load(minimal, "data={source: huggingface, name: saved}")
    assert saved.data.model_dump()["name"] == str(tmp_path / "saved")
    for name in ("uoft-cs/cifar10", "n" * 300):
        hub = load(minimal, f"data={{source: huggingface, name: {name}}}")
        assert hub.data.model_dump()["name"] == name
    task = "task: text_classification\ndata: {source: table, path: a.csv}\nname: cats\n"
    model = load(f"{task}model: {{name: ../tiny, weights: none}}\n").model
    assert model.name == str(tmp_path.parent / "tiny")
    named = load(f"{task}model: {{name: bert, weights: none}}\n").model
    assert named.name == "bert"


def test_import_of_the_room_is_light() -> None:
    code = (
        "import sys, runner.experiment as e; e.load_experiment(sys.argv[1]); "
        "heavy = {'torch', 'timm', 'optuna', 'mlflow', 'numpy', 'pandas', 'sklearn', 'PIL'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    path = str(FILES / "photos_folder.yaml")
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
