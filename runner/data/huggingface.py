"""Hugging Face datasets, by hub name or local path, through the `datasets` package (an extra)."""

import logging
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.data.errors import DataSettingError, counted, named
from runner.data.example import Part, Source
from runner.data.folder import PART_FOLDERS
from runner.data.listing import Listed, source_from_listing
from runner.data.scanning import Stamp
from runner.errors import DataError, nearest_spelling

_PROBE_TIMEOUT_S = 5.0
_UNLABELLED = (None, -1)  # how hub data sets mark a test split without public labels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubColumns:
    """Which columns hold the image and the label."""

    image: str = "image"
    label: str = "label"


@dataclass(frozen=True)
class HubContents:
    """Encoded images of the splits of one hub data set.

    Attributes:
        splits: `datasets.Dataset` objects whose image column gives bytes and path, undecoded.
        column: Name of that column.
        places: (split, row) by position.
        ids: Example ids by position.
        scan_name: What tells this set from others in the cache of scans.
    """

    splits: tuple[Any, ...]
    column: str
    places: tuple[tuple[int, int], ...]
    ids: tuple[str, ...]
    scan_name: str

    def keys(self) -> Sequence[str]:
        """The ids."""
        return self.ids

    def stamp(self, position: int) -> Stamp:
        """The fingerprint that `datasets` keeps of the split's table."""
        fingerprint = str(self.splits[self.places[position][0]]._fingerprint)
        return 0, -1 - int(fingerprint[:12], 16)

    def read(self, position: int) -> bytes:
        """The bytes stored in the table, or those of the file it names."""
        split, row = self.places[position]
        cell = self.splits[split][row][self.column]
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        return Path(cell["path"]).read_bytes()


def huggingface_source(
    name: str,
    *,
    local: Path | None,
    config: str | None,
    revision: str | None,
    columns: HubColumns,
    max_unreadable: float,
    cache: Path | None,
) -> Source:
    """A Hugging Face image data set, with its own splits where it has several.

    Args:
        name: Name on the hub, for example `user/flowers`.
        local: A folder to read instead of asking the hub, or None.
        config: Configuration of the data set, or None for its default.
        revision: Branch, tag or commit on the hub, or None for the newest.
        columns: The columns of images and labels.
        max_unreadable: Share in [0, 1] of unreadable images that is tolerated.
        cache: Folder of caches, or None.
    Raises:
        DataSettingError: If a column is not there or the data set is unknown.
        DataError: If `datasets` is not installed or the hub cannot be reached.
    """
    title = f"Hugging Face {name}"
    tables = _parts(title, _load(name, local, config, revision))
    first = next(iter(tables.values()))
    _check_columns(title, first, columns)
    names = _label_names(first, columns.label)
    tables = {part: _undecoded(table, columns.image) for part, table in tables.items()}
    listed, places = _listing(title, tables, columns.label, names=names)
    contents = HubContents(
        tuple(tables.values()),
        columns.image,
        tuple(places),
        tuple(entry.id for entry in listed),
        f"huggingface:{local or name}:{config}:{revision}",
    )
    return source_from_listing(
        title,
        listed,
        contents=contents,
        classes=names,
        max_unreadable=max_unreadable,
        cache=cache,
    )


def _load(name: str, local: Path | None, config: str | None, revision: str | None) -> Any:
    """What `datasets` gives for this name; its failures in our words."""
    try:
        import datasets
    except ImportError as err:
        raise DataError(
            "data.source: huggingface needs the package `datasets`; "
            "install it with: pip install 'runner[huggingface]'"
        ) from err
    if local is not None:
        return _load_local(datasets, local, config)
    reachable = _hub_answers()
    try:
        with _offline(datasets, is_offline=not reachable):
            return datasets.load_dataset(name, config, revision=revision)
    except Exception as err:
        if reachable:
            raise DataSettingError(
                "data.name", f"`datasets` cannot load it: {_first_line(err)}", seen=name
            ) from err
        raise DataError(
            f"the Hugging Face hub cannot be reached and {name} is not in the local cache. "
            "Load it once on a machine with a network and copy its cache, name a local folder "
            "in data.name, or use a bundled set (data.source: bundled)"
        ) from err


def _load_local(datasets: Any, folder: Path, config: str | None) -> Any:
    """A folder written by `save_to_disk`, or one that `load_dataset` understands."""
    saved = (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()
    try:
        if saved:
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(str(folder), config)
    except Exception as err:
        raise DataSettingError(
            "data.name",
            f"`datasets` cannot load this folder: {_first_line(err)}",
            seen=str(folder),
        ) from err


def _first_line(err: Exception) -> str:
    return (str(err) or type(err).__name__).splitlines()[0]


def _hub_answers() -> bool:
    """Whether the hub answers at all; asked once, because its client retries for minutes."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def _offline(datasets: Any, *, is_offline: bool) -> Iterator[None]:
    """In this block `datasets` and the hub's client use their caches and never connect."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if is_offline:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _parts(title: str, loaded: Any) -> dict[Part | None, Any]:
    """Tables by part; one table alone has no given split."""
    if not isinstance(loaded, dict):
        return {None: loaded}
    parts: dict[Part | None, Any] = {}
    ignored = []
    for split, table in loaded.items():
        part = PART_FOLDERS.get(str(split).lower())
        if part is None or part in parts:
            ignored.append(str(split))
        else:
            parts[part] = table
    if len(loaded) == 1:
        return {None: next(iter(loaded.values()))}
    if Part.TRAIN not in parts:
        raise DataError(f"{title} has the splits {named(list(loaded))} but none called train")
    if ignored:
        log.warning("%s: left out the splits %s", title, named(ignored))
    return parts


def _check_columns(title: str, table: Any, columns: HubColumns) -> None:
    """Refuse columns that are not there, or an image column without images."""
    images = tuple(
        name for name in table.column_names if type(table.features[name]).__name__ == "Image"
    )
    if columns.image not in images:
        is_there = columns.image in table.column_names
        rule = "has no images in this column" if is_there else "has no such column"
        raise _no_column("data.image_column", f"{title} {rule}", table, columns.image, images)
    labels = tuple(name for name in table.column_names if name != columns.image)
    if columns.label not in labels:
        rule = f"{title} has no such column beside the images"
        raise _no_column("data.label_column", rule, table, columns.label, labels)


def _no_column(
    key: str, rule: str, table: Any, asked: str, allowed: tuple[str, ...]
) -> DataSettingError:
    near = nearest_spelling(asked, allowed)
    hint = f"; did you mean {near!r}?" if near else ""
    columns = ", ".join(
        f"{name} ({type(table.features[name]).__name__})" for name in table.column_names
    )
    return DataSettingError(
        key, f"{rule}; its columns are {columns}{hint}", seen=asked, allowed=allowed
    )


def _label_names(table: Any, column: str) -> tuple[str, ...] | None:
    """Class names in label order, where the column's type knows them."""
    names = getattr(table.features[column], "names", None)
    return tuple(names) if names else None


def _undecoded(table: Any, image: str) -> Any:
    """The same table, giving encoded images instead of decoded ones."""
    from datasets import Image

    return table.cast_column(image, Image(decode=False))


def _listing(
    title: str, tables: dict[Part | None, Any], column: str, *, names: tuple[str, ...] | None
) -> tuple[list[Listed], list[tuple[int, int]]]:
    """Entries and places of every labelled row."""
    listed, places, unlabelled = [], [], 0
    for order, (part, table) in enumerate(tables.items()):
        for row, label in enumerate(table[column]):
            if label in _UNLABELLED:
                unlabelled += 1
                continue
            class_name = str(label) if names is None else names[label]
            listed.append(Listed(f"{part or 'all'}/{row:06d}", class_name, split=part))
            places.append((order, row))
    if unlabelled:
        log.warning("%s: left out %s without a label", title, counted(unlabelled, "row"))
    return listed, places
