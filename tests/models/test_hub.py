"""The hub: an answer in seconds where it is away, and a download where it is there."""

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save

from runner.errors import WeightsUnavailable
from runner.models import hub, input_spec, load_weights
from tests.pickles import RunsCode

_COMMIT = "0" * 40


@pytest.fixture
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("_empty_cache")
def test_load_weights_hub_that_refuses_connections_says_what_to_do_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(WeightsUnavailable) as caught:
        load_weights("hub", "resnet18", base=tmp_path)
    assert time.monotonic() - start < 3
    message = str(caught.value)
    assert message.startswith("weights of resnet18: 127.0.0.1:9 cannot be reached (")
    assert message.endswith(
        "Set model.weights to a .safetensors, .pth or .pt file, to package:<installed package>, "
        "or to none for random weights."
    )


@pytest.mark.usefixtures("_empty_cache")
def test_load_weights_hub_that_never_answers_gives_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PROBE_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        # Without the limit this waits for ever; pytest's own timeout would end it.
        with pytest.raises(WeightsUnavailable, match=r"cannot be reached \("):
            load_weights("hub", "resnet18", base=tmp_path)


def test_load_weights_hub_without_published_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="none are published under this name; tags with"):
        load_weights("hub", "cs3darknet_s", base=tmp_path)


_CONFIG = json.dumps({"architecture": "test_resnet", "num_classes": 1000}).encode()


@pytest.fixture
def hub_server() -> Iterator[str]:
    """Address of a hub on this machine that has one model, `timm/test_resnet.r160_in1k`."""
    model = timm.create_model("test_resnet")
    files = {"model.safetensors": save(model.state_dict()), "config.json": _CONFIG}
    with _hub(files) as address:
        yield address


@contextmanager
def _hub(files: dict[str, bytes]) -> Iterator[str]:
    """A hub on this machine whose every repository has these files."""

    class _Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            content = files.get(self.path.rpartition("/")[2])
            known = content is not None and "/resolve/" in self.path
            body = content if known and content is not None else b""
            self.send_response(200 if known else 404)
            if not known:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", _COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


_DOWNLOAD = """
from pathlib import Path
from runner.models import load_weights, input_spec, build_model
weights = load_weights("hub", "{name}", base=Path("."))
fixed = dict(num_classes=3, arguments={{}}, dropout=0, drop_path=0, seed=0)
build_model("{name}", weights=weights, **fixed)
print(len(weights.state), weights.description, input_spec("{name}", {{}}).size)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "someone/birds"])
def test_load_weights_hub_downloads_once_then_works_without_it(
    tmp_path: Path, hub_server: str, name: str
) -> None:
    first = _downloaded(tmp_path, hub_server, name)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("92 hub:")
    assert _downloaded(tmp_path, "http://127.0.0.1:9", name).stdout == first.stdout


def _downloaded(home: Path, endpoint: str, name: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf")}
    command = [sys.executable, "-c", _DOWNLOAD.format(name=name)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("field", [None, "hf_hub_filename"])
def test_load_weights_of_a_hub_file_that_runs_code_is_refused_before_it_does(
    tmp_path: Path, field: str | None
) -> None:
    trace = tmp_path / "trace"
    evil = io.BytesIO()
    torch.save({"fc.weight": torch.ones(1), "x": RunsCode(trace)}, evil)
    config = json.loads(_CONFIG)
    if field is not None:
        config[field] = "weights.pt"
    code = f"import os; os.mkdir({str(trace)!r})".encode()
    files = {
        "config.json": json.dumps(config).encode(),
        "pytorch_model.bin": evil.getvalue(),
        "weights.pt": evil.getvalue(),
        **dict.fromkeys(("code.py", "hubconf.py", "modeling.py", "__init__.py"), code),
    }
    with _hub(files) as address:
        done = _downloaded(tmp_path, address, "someone/birds")
    assert done.returncode == 1
    message = "weights of someone/birds: refused: a pickle that would run code when it is loaded"
    assert message in done.stderr
    assert not trace.exists()
    # The file is what it is taken for.
    evil.seek(0)
    torch.load(evil, weights_only=False)
    assert trace.is_dir()


def _serve(files: dict[str, bytes], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What timm downloads of any repository are these files."""

    def downloaded(repo_id: str, filename: str, **_: object) -> str:
        if filename not in files:
            raise EntryNotFoundError(f"{repo_id} has no {filename}", response=Mock())
        (folder / filename).write_bytes(files[filename])
        return str(folder / filename)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", downloaded)
    monkeypatch.setattr(hub, "_require_reachable", lambda _: None)
    hub.hub_config.cache_clear()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "there: 'str' object"),
        ({"pretrained_cfg": None}, "there: 'NoneType' object has no attribute"),
        (
            {"architecture": "a", "pretrained_cfg": {}, "model_args": 3},
            "there: 'int' object has no attribute",
        ),
        ({"architecture": "test_resnet", "input_size": "big"}, "does not say what it takes: "),
        ({"architecture": "test_resnet", "input_size": [3, 64]}, "does not say what it takes: "),
        ({"architecture": "test_resnet", "crop_pct": [1]}, "does not say what it takes: "),
    ],
)
def test_input_spec_of_a_config_that_holds_anything_is_refused(
    config: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out: that errors of any type are caught, and that the values are looked at."""
    _serve({"config.json": json.dumps(config).encode()}, tmp_path, monkeypatch)
    with pytest.raises(WeightsUnavailable, match=f"model.name someone/birds: .*{message}"):
        input_spec("someone/birds", {})


def test_load_weights_hub_of_damaged_safetensors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out: that errors of any type are caught; SafetensorError came through."""
    _serve({"config.json": _CONFIG, "model.safetensors": b""}, tmp_path, monkeypatch)
    with pytest.raises(WeightsUnavailable, match="the download failed: Error while deserial"):
        load_weights("hub", "someone/birds", base=tmp_path)
