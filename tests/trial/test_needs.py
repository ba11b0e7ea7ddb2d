"""What trials read of the driver's machine, and the same experiment where that lies elsewhere."""

from pathlib import Path

import pytest
import yaml

from runner.errors import ExperimentError
from runner.experiment import Experiment, Store, load_experiment
from runner.trial import Files, objective_for


def load(folder: Path, **content: object) -> Experiment:
    file = folder / "e.yaml"
    file.write_text(yaml.safe_dump({"name": "e", **content}))
    return load_experiment(str(file))


def needs(experiment: Experiment) -> dict[str, Files]:
    return {files.key: files for files in objective_for(experiment, Store(Path("s"))).needs()}


MODEL = {"name": "resnet10t", "weights": "w.pth"}
OWN = {"task": "custom", "search": {"metric": "m", "direction": "maximize"}}


def test_folder_and_weights_are_needed_and_found_elsewhere(tmp_path):
    experiment = load(tmp_path, data={"source": "folder", "path": "cats"}, model=MODEL)

    assert needs(experiment) == {
        "data.path": Files("data.path", str(tmp_path / "cats")),
        "model.weights": Files("model.weights", str(tmp_path / "w.pth")),
    }
    there = experiment.relocated({str(tmp_path / "cats"): "/c/1/cats"})
    assert there.data.path == "/c/1/cats"
    assert there.model.weights == str(tmp_path / "w.pth")
    assert experiment.data.path == str(tmp_path / "cats")


def test_manifest_needs_the_images_below_its_root_that_it_names(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\na/1.png,x\n./b/../a/2.png,y\n../far.png,y\n")
    experiment = load(
        tmp_path, data={"source": "manifest", "path": "m.csv"}, model={"name": "resnet10t"}
    )

    assert needs(experiment) == {
        "data.path": Files("data.path", str(tmp_path / "m.csv")),
        "data.root": Files("data.root", str(tmp_path), ("a/1.png", "a/2.png")),
    }
    there = experiment.relocated({str(tmp_path / "m.csv"): "/c/1/m.csv"})
    assert (there.data.path, there.data.root) == ("/c/1/m.csv", str(tmp_path))
    there = experiment.relocated({str(tmp_path): "/c/2/images"})
    assert (there.data.path, there.data.root) == (str(tmp_path / "m.csv"), "/c/2/images")


def test_addresses_and_hubs_are_not_needed(tmp_path):
    data = {"source": "folder", "path": "s3://bucket/cats"}
    experiment = load(tmp_path, data=data, model={"name": "resnet10t", "weights": "hub"})

    assert needs(experiment) == {}
    assert experiment.data.path == "s3://bucket/cats"
    assert experiment.identity()["data"]["path"] == "s3://bucket/cats"


def test_function_needs_its_modules_and_the_files_named_with_it(tmp_path):
    (tmp_path / "own.py").write_text("import helper\n\ndef objective(trial):\n    pass\n")
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "other.py").write_text("")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.csv").write_text("")
    (tmp_path / "tables" / ".hidden").write_text("")
    experiment = load(
        tmp_path, objective="own.py:objective", ray={"files": ["tables", "e.yaml"]}, **OWN
    )

    found = needs(experiment)["objective"]
    assert found == Files(
        "objective", str(tmp_path), ("e.yaml", "helper.py", "own.py", "tables/a.csv")
    )
    there = experiment.relocated({str(tmp_path): "/c/1/code"})
    assert there.objective == "/c/1/code/own.py:objective"


def test_command_needs_the_files_that_it_names_and_runs_in_their_folder(tmp_path):
    (tmp_path / "train.py").write_text("import helper\n")
    (tmp_path / "helper.py").write_text("")
    command = ["python", "train.py", "--config", "/etc/hostname", "{x}"]
    experiment = load(tmp_path, command=command, params={"x": 1}, **OWN)

    found = needs(experiment)["command"]
    assert found == Files("command", str(tmp_path), ("helper.py", "train.py"))
    there = experiment.relocated({str(tmp_path): "/c/1/code"})
    assert there.source_file == Path("/c/1/code/e.yaml")


@pytest.mark.parametrize(
    ("named", "said"),
    [("nowhere", "ray.files.0: no such file or folder: "), ("..", "ray.files.0: must lie in ")],
)
def test_files_that_cannot_be_sent_are_refused(named, said, tmp_path):
    (tmp_path / "own.py").write_text("def objective(trial):\n    pass\n")
    experiment = load(tmp_path, objective="own.py:objective", ray={"files": [named]}, **OWN)

    with pytest.raises(ExperimentError, match=said):
        needs(experiment)
