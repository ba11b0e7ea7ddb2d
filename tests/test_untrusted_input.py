"""No code of the runner makes code out of data: read from the syntax of every module.

What may is in EXCEPTIONS, each with its reason. docs/threats.md says what that leaves. And a
library that does it of its own accord is given such data.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from runner.errors import WeightsUnavailable
from runner.models import load_weights
from tests.pickles import FailsWhereOnlyTensorsMay, RunsCode

RUNNER = Path(__file__).parents[1] / "runner"

# Modules that turn bytes into objects of any kind.
PICKLES = ("pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle")
# What runs text, or a file that its caller names.
RUNNERS = ("eval", "exec", "compile", "__import__")
CALLS = (
    *("os.system", "os.popen", "runpy.run_path", "runpy.run_module", "code.interact"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all"),
    *("np.load", "numpy.load", "np.fromregex", "pd.read_pickle", "pandas.read_pickle"),
    *(
        "torch.jit.load",
        "torch.hub.load",
        "torch.package.PackageImporter",
        "torch.classes.load_library",
    ),
    *("mlflow.pyfunc.load_model", "mlflow.pytorch.load_model", "mlflow.sklearn.load_model"),
    *("importlib.util.spec_from_file_location", "ray.cloudpickle.loads"),
)
EXCEPTIONS = {
    ("trial/custom/source.py", "importlib.util.spec_from_file_location"): (
        "objective: and evaluate: of an experiment file, whose author names the Python file"
    ),
    ("promotion/predicting.py", "mlflow.pyfunc.load_model"): (
        "a registered model is code (MLflow's models from code): who registers it is trusted"
    ),
    ("machine.py", "joblib"): "it counts this process's cores; nothing is read with it",
}


def modules() -> list[Path]:
    return sorted(RUNNER.rglob("*.py"))


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression; "" of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def constant(call: ast.Call, keyword: str) -> object:
    """The value of a keyword of a call; None where it is not given, ... where it is computed."""
    for each in call.keywords:
        if each.arg == keyword:
            return each.value.value if isinstance(each.value, ast.Constant) else ...
    return None


def flaws(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a module that makes code out of data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
            yield from ((node.lineno, name) for name in names if name in PICKLES)
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").partition(".")[0]
            # An exception loads nothing.
            names = [alias.name for alias in node.names if alias.name != "UnpicklingError"]
            if module in PICKLES and names:
                yield node.lineno, module
            if module in ("torch", "numpy", "yaml") and {"load", "unsafe_load"} & {*names}:
                yield node.lineno, f"{module}.load"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in _flaws_of_call(node))


def _flaws_of_call(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    if name in RUNNERS or name in CALLS:
        yield name
    if name == "torch.load" and constant(call, "weights_only") is not True:
        yield "torch.load without weights_only=True"
    for keyword in ("shell", "allow_pickle", "trust_remote_code", "allow_all_kernels"):
        if constant(call, keyword) not in (None, False):
            yield f"{keyword}="


def test_no_module_makes_code_out_of_data() -> None:
    found = {}
    for path in modules():
        name = path.relative_to(RUNNER).as_posix()
        for line, what in flaws(ast.parse(path.read_text(encoding="utf-8"))):
            if (name, what) not in EXCEPTIONS:
                found[f"{name}:{line}"] = what
    assert found == {}


def test_every_exception_is_still_needed() -> None:
    seen = {
        (path.relative_to(RUNNER).as_posix(), what)
        for path in modules()
        for _, what in flaws(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert EXCEPTIONS.keys() - seen == set()


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, cloudpickle as cp",
        "from pickle import loads",
        "from joblib import load",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=is_safe)",
        "np.load(path)",
        "np.savez(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=asked)",
        "mlflow.pyfunc.load_model(uri)",
        "os.system(line)",
    ],
)
def test_code_that_makes_code_out_of_data_is_found(code: str) -> None:
    assert len(list(flaws(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "from pickle import UnpicklingError",
        "torch.load(path, weights_only=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=False)",
        "model.eval()",
        "re.compile(text)",
        "yaml.safe_load(text)",
        "subprocess.run(words, shell=False)",
    ],
)
def test_code_that_does_not_is_let_pass(code: str) -> None:
    assert list(flaws(ast.parse(code))) == []


@pytest.mark.parametrize("variable", [None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_weights_that_timm_would_load_a_second_time_as_a_pickle_do_not_run_code(
    variable: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out: `only_tensors` around `timm.create_model`, and its second variable."""
    evil, trace = tmp_path / "hub/checkpoints/seresnet18-4bb0ce65.pth", tmp_path / "trace"
    evil.parent.mkdir(parents=True)
    torch.save([FailsWhereOnlyTensorsMay(), RunsCode(trace)], evil)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(WeightsUnavailable) as caught:
        load_weights("hub", "legacy_seresnet18", base=tmp_path)
    assert not trace.exists()
    assert "cannot convert dictionary update" in str(caught.value)
    # The file is what it is taken for.
    torch.load(evil, weights_only=False)
    assert trace.is_dir()


def test_page_on_threats_names_tests_that_there_are() -> None:
    page = (RUNNER.parent / "docs" / "threats.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:tests/\S*?)?(test_\w+\.py)`", page)
    there = {path.name for path in (RUNNER.parent / "tests").rglob("test_*.py")}
    assert len(named) > 15
    assert set(named) - there == set()
