"""Data at an address (s3://bucket/cats, https://...), fetched once for a machine into its cache.

What is there is listed at every opening. A copy is filed under the address and the listing, so a
store that has changed gives another copy, and the study hears of it as of a changed folder.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel

from runner.data.budget import NoRoom
from runner.data.copies import kept_copy
from runner.data.disk import DiskRefused
from runner.data.errors import DataSettingError, named
from runner.data.folder import IMAGE_SUFFIXES
from runner.data.inside import place_inside
from runner.data.keeping import why_no_copy
from runner.data.manifest import manifest_names
from runner.errors import DataError
from runner.experiment import FolderData, ManifestData, first_line, is_address

_Settings = TypeVar("_Settings", bound=BaseModel)
_KEYS = ("path", "validation_path", "test_path")
# Requests at once: what waits is the network.
_AT_ONCE = 16
# What tells one version of a file from the next, as the libraries of object stores call it; the
# first that there is counts, as the times of some change by looking.
_SIGNS = (
    "ETag",
    "etag",
    "md5Hash",
    "Content-MD5",
    "generation",
    "mtime",
    "LastModified",
    "last_modified",
    "Last-Modified",
    "updated",
    "created",
)


@dataclass(frozen=True)
class Listed:
    """A file of a store.

    Attributes:
        place: As the store's library calls it.
        size: Bytes; None where the store does not tell.
        sign: Tells one version from the next; "" where the store has nothing that does.
    """

    place: str
    size: int | None
    sign: str


@dataclass(frozen=True)
class _Store:
    """Where an address leads.

    Attributes:
        key: The key of the experiment that has it, for messages.
        address: As in the experiment.
        files: The file system of fsspec.
        root: The address as that calls it.
    """

    key: str
    address: str
    files: Any
    root: str

    @classmethod
    def at(cls, key: str, address: str) -> "_Store":
        """The store that an address is in.

        Raises:
            DataSettingError: If nothing that is installed can read such addresses.
        """
        import fsspec

        try:
            files, root = fsspec.core.url_to_fs(address)
            # A process that opens the same address again shall hear of what has changed.
            files.invalidate_cache()
        except Exception as error:
            # Some file systems ask for arguments that no address holds, or connect at once.
            rule = f"cannot be read: {first_line(error)}"
            if isinstance(error, ImportError):
                rule += ". It is needed on every machine that runs trials"
            raise DataSettingError(key, rule, seen=address) from error
        return cls(key, address, files, str(root).rstrip("/"))

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self._plain(PurePosixPath(self.root).name) or "root"

    def ask(self, question: Callable[[], Any]) -> Any:
        """What the store answers; its errors in our words.

        Raises:
            DataSettingError: If there is nothing at the address.
            DataError: If it does not answer, or refuses.
        """
        try:
            return question()
        except (DataError, NoRoom, DiskRefused):
            raise
        except FileNotFoundError as error:
            raise DataSettingError(self.key, "there is nothing", seen=self.address) from error
        except Exception as error:
            said = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"{self.key}: {self.address} cannot be read ({said})") from error

    def file(self) -> dict[str, Listed]:
        """The one file at the address, by its name."""
        listed = self._listed(self.root, self.ask(lambda: self.files.info(self.root)))
        return {self.name: listed}

    def below(self, is_wanted: Callable[[str], bool]) -> dict[str, Listed]:
        """The files below the address that are wanted, by their names relative to it."""
        infos: Mapping[str, Mapping[str, Any]] = self.ask(
            # What cannot be listed would be left out in silence.
            lambda: self.files.find(self.root, detail=True, on_error="raise")
        )
        chosen = self._chosen(infos, is_wanted)

        def listed(place: str) -> Listed:
            info = infos[place]
            if info.get("size") is None or not _sign(info):
                info = self.ask(lambda: self.files.info(place))
            return self._listed(place, info)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(chosen, pool.map(listed, chosen.values()), strict=True))

    def _chosen(self, places: Iterable[str], is_wanted: Callable[[str], bool]) -> dict[str, str]:
        """What the library calls the wanted files, by their names.

        Raises:
            DataError: If two are of one name, as `a b` and `a%20b` of a web server.
        """
        root = self._bare(self.root)
        # A page may link to one file by http and by https.
        files = {self._bare(place): place for place in sorted(places)}
        names = {place: self._plain(bare[len(root) :].strip("/")) for bare, place in files.items()}
        wanted = sorted((name, place) for place, name in names.items() if is_wanted(name))
        counts = Counter(name for name, _ in wanted)
        doubled = [name for name, count in counts.items() if count > 1]
        if doubled:
            rule = f"lists different files of one name: {named(doubled)}"
            raise DataError(f"{self.key}: {self.address} {rule}")
        return dict(wanted)

    def _listed(self, place: str, info: Mapping[str, Any]) -> Listed:
        if info.get("type") == "directory":
            raise DataSettingError(self.key, "is a folder, not a file", seen=self.address)
        return Listed(place, info.get("size"), _sign(info))

    def fetched(self, listing: Mapping[str, Listed], cache: Path) -> Path:
        """A folder of this machine with these files.

        Raises:
            DataError: If the store or this machine's disk refuses, or a name leads out of the
                folder; then nothing was fetched.
        """
        rows = [[name, file.size, file.sign] for name, file in sorted(listing.items())]
        text = json.dumps([self.address, rows])
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        for name in listing:
            self.place(cache / key, name)

        def fill(folder: Path) -> None:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                jobs = [
                    pool.submit(self._fetch, file, folder, name) for name, file in listing.items()
                ]
                try:
                    for job in as_completed(jobs):
                        job.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

        nbytes = sum(file.size or 0 for file in listing.values())
        try:
            return kept_copy(cache, key, nbytes=nbytes, fill=fill)
        except (NoRoom, DiskRefused) as error:
            raise DataError(why_no_copy(error, f"{self.key}: {self.address}", cache)) from error

    def _fetch(self, file: Listed, folder: Path, name: str) -> None:
        target = self.place(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.ask(lambda: self.files.get_file(file.place, str(target)))
        came = target.stat().st_size
        if file.size is not None and came != file.size:
            raise DataError(
                f"{self.key}: {name} of {self.address} changed while it was fetched "
                f"({came} bytes of {file.size}); start again"
            )

    def place(self, folder: Path, name: str) -> Path:
        """Where a file of the store belongs in a folder of this machine.

        Raises:
            DataError: If its name leads out of that.
        """
        try:
            return place_inside(folder, name)
        except DataError as error:
            raise DataError(f"{self.key}: {self.address}: {error}") from error

    def _bare(self, place: str) -> str:
        """What a web server lists, without the scheme: links may have another than the address."""
        return place.partition("://")[2] if self._is_web else place

    def _plain(self, name: str) -> str:
        return unquote(name) if self._is_web else name

    @property
    def _is_web(self) -> bool:
        return self.address.lower().startswith("http")


def _sign(info: Mapping[str, Any]) -> str:
    return next((str(info[name]) for name in _SIGNS if info.get(name) is not None), "")


def with_fetched(settings: _Settings, cache: Path | None) -> _Settings:
    """Data settings without addresses: what is there lies on this machine, and is named instead.

    Args:
        settings: The `data` section.
        cache: Folder of caches.
    Raises:
        DataSettingError: If there is nothing at an address, nothing that reads it, or no cache.
        DataError: If it cannot be fetched, or there is no room for it.
    """
    given = {key: getattr(settings, key, None) for key in (*_KEYS, "root")}
    addresses = {key: path for key, path in given.items() if path and is_address(path)}
    if not addresses:
        return settings
    if cache is None:
        key = next(iter(addresses))
        raise DataSettingError(
            f"data.{key}", "is fetched into the cache, and there is none", seen=addresses[key]
        )
    if isinstance(settings, FolderData):
        changed = {"path": _fetched_folder(settings.path, cache)}
    elif isinstance(settings, ManifestData):
        changed = _fetched_manifest(settings, cache)
    else:
        changed = {key: _fetched_file(key, path, cache) for key, path in addresses.items()}
    return settings.model_copy(update=changed)


def _fetched_file(key: str, address: str, cache: Path) -> str:
    store = _Store.at(f"data.{key}", address)
    return str(store.place(store.fetched(store.file(), cache), store.name))


def _fetched_folder(address: str, cache: Path) -> str:
    store = _Store.at("data.path", address)
    listing = store.below(_is_image)
    if not listing:
        raise DataSettingError("data.path", "there is no image below it", seen=address)
    return str(store.fetched(listing, cache))


def _is_image(name: str) -> bool:
    parts = PurePosixPath(name).parts
    is_hidden = any(part.startswith(".") for part in parts)
    return not is_hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _fetched_manifest(settings: ManifestData, cache: Path) -> dict[str, str]:
    """The manifest, and the images that it names; where either is on a disk, that stays."""
    path, root = settings.path, settings.root
    if is_address(path):
        root = root or path.rpartition("/")[0]
        path = _fetched_file("path", path, cache)
    assert root is not None  # else there would be no address
    if is_address(root):
        names: Collection[str] = frozenset(manifest_names(Path(path), settings.path_column))
        store = _Store.at("data.root", root)
        root = str(store.fetched(store.below(names.__contains__), cache))
    return {"path": path, "root": root}
