"""Data of a web server that nobody here controls: what it lists is written below the cache."""

import http.server
import posixpath
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from runner.data import fetching
from runner.data.fetching import with_fetched
from runner.errors import DataError
from runner.experiment import FolderData, ManifestData, TableData

pytest.importorskip("fsspec")

CONTENT = b"not an image"


class Lists(http.server.BaseHTTPRequestHandler):
    """One folder, /cats, that lists what the test says; and a file at every other path."""

    names: tuple[str, ...] = ()

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        is_listing = self.path.rstrip("/") == "/cats"
        links = "".join(f'<a href="{escape(name)}">x</a>\n' for name in self.names)
        body = f"<html>{links}</html>".encode() if is_listing else CONTENT
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if is_listing else "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lists) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def fetched(server: str, cache: Path, *names: str) -> Path:
    Lists.names = names
    settings = FolderData(source="folder", path=f"{server}/cats")
    return Path(with_fetched(settings, cache).path)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def outside(tmp_path: Path, cache: Path) -> set[str]:
    return {name for name in files(tmp_path) if not name.startswith(cache.name + "/")}


@pytest.mark.parametrize("form", ["{absolute}", "%2F{absolute}"])
def test_listed_name_that_is_a_path_of_this_machine_is_refused(
    form: str, server: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    name = form.format(absolute=quote(str(tmp_path / "outside.jpg"), safe=""))
    with pytest.raises(DataError, match=r"data.path: http.*/cats: .* leads out of its folder"):
        fetched(server, cache, "cat/1.jpg", name)
    assert outside(tmp_path, cache) == set()
    assert list((cache / "copies").glob("[!.]*")) == []


UPWARDS = [
    "..%2F..%2F..%2Foutside.jpg",
    "%2e%2E%2f..%2f..%2foutside.jpg",
    "cat%2F..%2F..%2F..%2F..%2Foutside.jpg",
    "cat/../../../../outside.jpg",
]


@pytest.mark.parametrize("name", UPWARDS)
def test_listed_name_that_leads_upwards_is_hidden_from_a_folder(
    name: str, server: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert files(fetched(server, cache, "cat/1.jpg", name)) == {"cat/1.jpg"}
    assert outside(tmp_path, cache) == set()


@pytest.mark.parametrize("name", UPWARDS)
def test_listed_name_that_leads_upwards_and_is_in_the_manifest_is_refused(
    name: str, server: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    manifest = tmp_path / "m.csv"
    wanted = posixpath.normpath(unquote(name))
    manifest.write_text(f"path,label\n{unquote(name)},x\n{wanted},y\n")
    Lists.names = (name, quote(wanted, safe=""))
    settings = ManifestData(source="manifest", path=str(manifest), root=f"{server}/cats")
    with pytest.raises(DataError, match=r"data.root: http.*/cats: .* leads out of its folder"):
        with_fetched(settings, cache)
    assert outside(tmp_path, cache) == {"m.csv"}


@pytest.mark.parametrize("name", ["cat/a%00.jpg", "cat/" + "a" * 300 + ".jpg"])
def test_listed_name_that_no_file_can_have_is_refused(
    name: str, server: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="is no name that a file can have"):
        fetched(server, tmp_path / "cache", name)


def test_listed_name_with_marks_of_other_systems_is_a_name_like_any_other(
    server: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    names = ["cat/x%5C..%5C1.jpg", "cat/C:%5C2.jpg", "cat/%252Fetc%252F3.jpg", "cat/%7E4.jpg"]
    folder = fetched(server, cache, *names)
    assert files(folder) == {
        "cat/x\\..\\1.jpg",
        "cat/C:\\2.jpg",
        "cat/%2Fetc%2F3.jpg",
        "cat/~4.jpg",
    }
    assert folder.is_relative_to(cache)
    assert outside(tmp_path, cache) == set()


def test_file_at_an_address_whose_name_leads_out_is_refused(server: str, tmp_path: Path) -> None:
    name = quote(str(tmp_path / "outside.csv"), safe="")
    settings = TableData(source="table", path=f"{server}/x/{name}")
    with pytest.raises(DataError, match="leads out of its folder"):
        with_fetched(settings, tmp_path / "cache")
    assert not (tmp_path / "outside.csv").exists()


def test_error_of_a_store_is_shown_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    def refuse(*_: object, **__: object) -> None:
        raise OSError("401 for http://me:hunter2@proxy/x?token=hunter2&a=1")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", refuse)
    store = fetching._Store.at("data.path", "memory://bucket")
    with pytest.raises(DataError, match="401 for http") as caught:
        store.below(lambda _: True)
    assert "hunter2" not in str(caught.value)
