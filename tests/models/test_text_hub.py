"""Text models of the hub: downloaded once, then offline; an answer in seconds where it is away."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from runner.errors import WeightsUnavailable
from runner.models import text_files

_COMMIT = "0" * 40
_NAME = "someone/reader"


@pytest.fixture
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("_empty_cache")
@pytest.mark.parametrize(
    ("name", "weights", "tokenizer"),
    [(_NAME, "hub", None), (_NAME, "none", None), ("bert", "none", _NAME)],
)
def test_text_files_hub_that_refuses_connections_says_what_to_do_at_once(
    tmp_path: Path, name: str, weights: str, tokenizer: str | None
) -> None:
    start = time.monotonic()
    with pytest.raises(WeightsUnavailable) as caught:
        text_files(name, weights, base=tmp_path, tokenizer=tokenizer)
    assert time.monotonic() - start < 3
    message = str(caught.value)
    assert message.startswith(f"weights of {_NAME}: 127.0.0.1:9 cannot be reached (")
    assert message.endswith(
        "Set model.weights to a folder (./...) with config.json, model.safetensors and the "
        "tokenizer's files, to package:<installed package>, or to none for random weights."
    )


@pytest.mark.usefixtures("_empty_cache")
def test_text_files_hub_offline_by_choice_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsUnavailable, match="and HF_HUB_OFFLINE forbids asking the hub"):
        text_files(_NAME, "hub", base=tmp_path)


@pytest.mark.usefixtures("_empty_cache")
def test_text_files_name_that_cannot_be_on_the_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"^a/b/c: not a name on the hub: "):
        text_files("a/b/c", "hub", base=tmp_path)


@contextmanager
def _hub(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A hub on this machine with one repository; its address, and what it was asked for."""
    asked: list[str] = []

    class _Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            body = _body(path, files)
            if with_body and "/resolve/" in path:
                asked.append(path.rpartition("/")[2])
            content = b"" if body is None else body
            self.send_response(404 if body is None else 200)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", _COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def _body(path: str, files: dict[str, bytes]) -> bytes | None:
    """What the hub answers: the repository, its tree, or one of its files."""
    listed = [
        {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": hashlib.sha1(content).hexdigest(),
        }
        for name, content in files.items()
    ]
    if path == f"/api/models/{_NAME}/revision/main":
        siblings = [{"rfilename": name} for name in files]
        return json.dumps({"id": _NAME, "sha": _COMMIT, "siblings": siblings}).encode()
    if path == f"/api/models/{_NAME}/tree/{_COMMIT}":
        return json.dumps(listed).encode()
    return files.get(path.rpartition("/")[2]) if "/resolve/" in path else None


_BUILD = f"""
from pathlib import Path
from runner.experiment import LabelKind, TASK_FORMS
from runner.models import *
files = text_files("{_NAME}", "hub", base=Path("."))
weights = load_text_weights(files)
build_text_model(
    files, kind=LabelKind.CLASS, outputs=3, weights=weights, arguments={{}}, dropout=0, seed=0
)
form = TASK_FORMS["text_classification"]
found = check_text_model("{_NAME}", "hub", {{}}, tokenizer=None, task_form=form, base=Path("."))
print(len(weights.state), weights.description, weights.fingerprint, found)
"""


@pytest.mark.slow
@pytest.mark.parametrize("weights_file", ["model.safetensors", "pytorch_model.bin"])
def test_text_files_hub_downloads_what_is_needed_once_then_works_without_it(
    tmp_path: Path, tiny: Callable[[str], Path], weights_file: str
) -> None:
    files = {path.name: path.read_bytes() for path in tiny("bert").iterdir()}
    files |= {"flax_model.msgpack": b"1", "modeling_mine.py": b"raise SystemExit('it ran')"}
    torch.save(load_file(tiny("bert") / "model.safetensors"), tmp_path / "weights.bin")
    files["pytorch_model.bin"] = (tmp_path / "weights.bin").read_bytes()
    if weights_file == "pytorch_model.bin":
        del files["model.safetensors"]

    def run(endpoint: str) -> str:
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf")}
        command = [sys.executable, "-c", _BUILD]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with _hub(files) as (address, asked):
        first = run(address)
    assert first.startswith(f"39 hub:{_NAME} ")
    assert first.endswith(" []\n")
    wanted = ["config.json", "tokenizer.json", "tokenizer_config.json", weights_file]
    assert sorted(asked) == sorted(wanted)
    assert run("http://127.0.0.1:9") == first
