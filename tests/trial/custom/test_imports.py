"""Which files a user's code consists of."""

from pathlib import Path

from runner.trial.custom.imports import code_files, fingerprint_of


def test_code_files_follows_imports_in_the_files_folder_alone(tmp_path: Path) -> None:
    code = {
        "train.py": "import os, helping\nfrom net.layers import Block\nimport gone",
        "helping.py": "import train\ndef late():\n    from net import loss",
        "net/__init__.py": "",
        "net/layers.py": "from . import blocks\nfrom .. import helping",
        "net/blocks.py": "from .deep.er import x",
        "net/deep/er.py": "",
        "net/loss.py": "this does not parse",
        "unused.py": "",
        "net/unused.py": "",
    }
    for name, text in code.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = {path.relative_to(tmp_path).as_posix() for path in code_files(tmp_path / "train.py")}
    assert found == set(code) - {"unused.py", "net/unused.py"}


def test_fingerprint_of_depends_on_names_and_contents_and_not_on_order(tmp_path: Path) -> None:
    one, two = tmp_path / "1.py", tmp_path / "2.py"
    one.write_text("a")
    two.write_text("b")
    before = fingerprint_of([one, two], tmp_path)
    assert before == fingerprint_of([two, one, one], tmp_path)
    assert before != fingerprint_of([one], tmp_path)
    two.write_text("c")
    assert before != fingerprint_of([one, two], tmp_path)
    assert len(before) == 64
