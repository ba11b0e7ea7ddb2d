"""Data of a web server that nobody here controls: what it lists is written below the cache."""

import http.server
import posixpath
import threading
import time
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
    asked: list[str] = []  # noqa: RUF012 - paths of what was fetched, of one test

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
            self.asked.append(self.path)
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
    Lists.asked.clear()
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


def test_listed_name_that_leads_out_is_refused_before_others_are_fetched(
    server: str, tmp_path: Path
) -> None:
    """Taken out: the look at all names at first; the good images were fetched."""
    good = [f"cat/{n}.jpg" for n in range(40)]
    with pytest.raises(DataError, match="leads out of its folder"):
        fetched(server, tmp_path / "cache", *good, quote("/outside.jpg", safe=""))
    assert set(Lists.asked) == {"/cats"}
    assert not (tmp_path / "cache" / "copies").exists()


def test_fetching_ends_soon_after_the_first_error(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out: that what waits is given up; all of it was fetched."""
    tried: list[str] = []

    def fetch(_store: object, _file: object, _folder: Path, name: str) -> None:
        tried.append(name)
        time.sleep(0.02)
        if name == "cat/000.jpg":
            raise DataError("it broke off")

    monkeypatch.setattr(fetching._Store, "_fetch", fetch)
    with pytest.raises(DataError, match="it broke off"):
        fetched(server, tmp_path / "cache", *(f"cat/{n:03}.jpg" for n in range(400)))
    assert len(tried) < 300


def test_links_with_another_scheme_keep_their_names(server: str, tmp_path: Path) -> None:
    """Taken out: that the scheme does not count; the images were in /at/1.jpg, and so on."""
    store = fetching._Store.at("data.path", f"{server}/cats")
    secure = server.replace("http:", "https:")
    places = [f"{secure}/cats/cat/1.jpg", f"{server}/cats/cat/1.jpg", f"{secure}/cats/dog/2.jpg"]
    chosen = store._chosen(places, lambda _: True)
    assert list(chosen) == ["cat/1.jpg", "dog/2.jpg"]


def test_names_of_a_store_may_hold_a_scheme() -> None:
    store = fetching._Store.at("data.path", "memory://bucket")
    assert list(store._chosen(["/bucket/a://b.jpg"], lambda _: True)) == ["a://b.jpg"]


def test_two_files_of_one_name_are_refused(server: str, tmp_path: Path) -> None:
    """Taken out: the count of names; one of the two was left out in silence."""
    with pytest.raises(DataError, match=r"lists different files of one name: cat/a b\.jpg"):
        fetched(server, tmp_path / "cache", "cat/a%20b.jpg", "cat/a b.jpg", "cat/1.jpg")


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
    # One of them lists one file by two names, which is refused before that.
    rule = "(: .* leads out of its folder| lists different files of one name)"
    with pytest.raises(DataError, match=rf"data.root: http.*/cats{rule}"):
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
