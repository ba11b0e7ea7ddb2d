"""Data at an address: fetched once into the cache, noticed when they change, and otherwise as a
folder or a file of this machine is.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.data import DataSettingError, copies, data_fingerprint, fetching, open_source
from runner.errors import DataError
from runner.experiment import (
    DataSettings,
    FolderData,
    LabelKind,
    ManifestData,
    Modality,
    TableData,
)

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def images(make_folder) -> Path:
    """Two classes; a name that an address spells otherwise, and files that are no images."""
    root: Path = make_folder({"cat": 3, "dog": 2})
    (root / "cat" / "000.png").rename(root / "cat" / "a b [1]#é.png")
    (root / "cat" / "notes.txt").write_text("x")
    (root / ".thumbs").mkdir()
    shutil.copy(root / "dog" / "000.png", root / ".thumbs" / "0.png")
    return root


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a plain web server over the test's folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://bucket"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def opened(settings: DataSettings, tmp_path: Path):
    return open_source(settings, base=tmp_path / "nowhere", cache=tmp_path / "cache")


def folder_at(address: str) -> FolderData:
    return FolderData(source="folder", path=address)


def test_folder_in_a_store_is_what_it_is_on_disk(images, tmp_path, memory):
    fsspec.filesystem("memory").put(str(images), "/bucket", recursive=True)
    here = opened(folder_at(str(images)), tmp_path)

    there = opened(folder_at(memory), tmp_path)

    assert there.examples == here.examples
    assert data_fingerprint(there) == data_fingerprint(here)
    assert there.name == "memory://bucket"
    assert there.image(0).tobytes() == here.image(0).tobytes()


def test_folder_of_a_web_server_is_what_it_is_on_disk(images, tmp_path, server):
    there = opened(folder_at(f"{server}/images"), tmp_path)

    assert there.examples == opened(folder_at(str(images)), tmp_path).examples
    assert "cat/a b [1]#é.png" in [example.id for example in there.examples]


def test_folder_is_fetched_once_until_it_changes(images, tmp_path, monkeypatch):
    address = images.as_uri()
    first = opened(folder_at(address), tmp_path)
    fetched: list[str] = []
    plain = fetching._Store._fetch

    def counted(store, file, folder, name):
        fetched.append(name)
        plain(store, file, folder, name)

    monkeypatch.setattr(fetching._Store, "_fetch", counted)

    assert opened(folder_at(address), tmp_path).examples == first.examples
    assert fetched == []
    (images / "dog" / "001.png").unlink()
    shutil.copy(images / "dog" / "000.png", images / "dog" / "002.png")
    changed = opened(folder_at(address), tmp_path)
    dogs = [example.id for example in changed.examples if example.id.startswith("dog")]
    assert dogs == ["dog/000.png", "dog/002.png"]
    assert len(fetched) == 5
    assert data_fingerprint(changed) != data_fingerprint(first)


def test_table_in_a_store_is_what_it_is_on_disk(tmp_path, memory):
    text = "text,label\n" + "".join(f"words {n},{'ab'[n % 2]}\n" for n in range(12))
    (tmp_path / "t.csv").write_text(text)
    fsspec.filesystem("memory").pipe("/bucket/t.csv", text.encode())

    def texts(path: str):
        settings = TableData(source="table", path=path)
        return open_source(
            settings,
            labels=LabelKind.CLASS,
            modality=Modality.TEXT,
            base=tmp_path,
            cache=tmp_path / "cache",
        )

    there = texts(f"{memory}/t.csv")
    assert there.examples == texts("t.csv").examples
    assert there.name == "memory://bucket/t.csv"
    fsspec.filesystem("memory").pipe("/bucket/t.csv", text.replace("words 3", "wards 3").encode())
    changed = texts(f"{memory}/t.csv")
    assert len(changed.examples) == 12
    assert "wards 3" in changed.texts


def test_manifest_fetches_the_images_that_it_names(images, tmp_path, server):
    (tmp_path / "images" / "m.csv").write_text(
        "path,label\ncat/001.png,x\ncat/002.png,x\ndog/000.png,y\ndog/001.png,y\n"
    )
    by_address = ManifestData(source="manifest", path=f"{server}/images/m.csv")
    only_root = ManifestData(source="manifest", path=str(images / "m.csv"), root=images.as_uri())
    on_disk = ManifestData(source="manifest", path=str(images / "m.csv"))

    known = opened(on_disk, tmp_path)
    assert opened(by_address, tmp_path).examples == known.examples
    assert opened(only_root, tmp_path).examples == known.examples
    copied = [path.name for path in (tmp_path / "cache" / "copies").rglob("*.png")]
    assert sorted(copied) == sorted(["000.png", "001.png", "001.png", "002.png"] * 2)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://nothing", "data.path: there is (nothing|no image below it)"),
        ("nosuch://bucket/cats", r"data.path: cannot be read: Protocol not known: nosuch"),
        ("http://127.0.0.1:9/cats", r"data.path: http://127.0.0.1:9/cats cannot be read \("),
    ],
)
def test_address_that_leads_nowhere_is_refused_in_words(address, said, tmp_path):
    with pytest.raises(DataError, match=said):
        opened(folder_at(address), tmp_path)


def test_store_without_its_library_says_which(tmp_path):
    fsspec.register_implementation("lacking", "no.such.FileSystem", errtxt="Install lackingfs")

    with pytest.raises(
        DataSettingError, match=r"Install lackingfs. It is needed on every machine"
    ):
        opened(folder_at("lacking://bucket"), tmp_path)


@pytest.mark.parametrize(
    "address", ["github://x/y", "dbfs://x/y", "webhdfs://", "ftp://", "dir://x"]
)
def test_address_that_its_library_cannot_take_is_refused_in_words(address, tmp_path):
    """Taken out: that errors of any type are caught; TypeError and AttributeError came through."""
    with pytest.raises(DataSettingError, match="data.path: cannot be read: "):
        opened(folder_at(address), tmp_path)


def test_store_that_refuses_while_it_is_made_is_shown_without_secrets(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("401 for http://me:hunter2@proxy/x")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)

    with pytest.raises(DataSettingError, match="401 for http") as caught:
        opened(folder_at("memory://bucket"), tmp_path)
    assert "hunter2" not in str(caught.value)


def test_address_without_a_cache_is_refused(tmp_path, images):
    with pytest.raises(DataSettingError, match="is fetched into the cache, and there is none"):
        open_source(folder_at(images.as_uri()), base=tmp_path, cache=None)


def test_address_that_does_not_fit_on_the_disk_is_refused(tmp_path, images, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda _: usage._replace(free=10))

    with pytest.raises(DataError, match=r"data.path: file:.* has room for .*RUNNER_HOME"):
        opened(folder_at(images.as_uri()), tmp_path)
    assert list((tmp_path / "cache" / "copies").glob("[!.]*")) == []


def test_file_cut_short_is_refused(tmp_path, images, memory, monkeypatch):
    fsspec.filesystem("memory").put(str(images), "/bucket", recursive=True)
    store = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(
        store, "get_file", lambda self, place, to, **_: Path(to).write_bytes(b"half")
    )

    with pytest.raises(DataError, match=r"changed while it was fetched \(4 bytes of \d+\)"):
        opened(folder_at(memory), tmp_path)
