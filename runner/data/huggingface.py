"""Images of Hugging Face datasets, by hub name or local path, through `datasets` (an extra)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.data.example import Source
from runner.data.hub_columns import (
    HubTable,
    class_names,
    no_column,
    refuse_missing_labels,
    row_labels,
)
from runner.data.hub_loading import HubPlace, folders_of, load_hub_set, parts_of
from runner.data.inside import Fence
from runner.data.labels import LabelColumns, refuse_idle_separator, refuse_unfit_columns
from runner.data.listing import Listed, source_from_listing
from runner.data.local_files import read_regular_file
from runner.data.names import one_line
from runner.data.scanning import Stamp
from runner.experiment import LabelKind


@dataclass(frozen=True)
class HubColumns:
    """Which columns hold the image and the label."""

    image: str = "image"
    labels: LabelColumns = field(default_factory=LabelColumns)


@dataclass(frozen=True)
class HubContents:
    """Encoded images of the splits of one hub data set.

    Attributes:
        splits: `datasets.Dataset` objects whose image column gives bytes and path, undecoded.
        column: Name of that column.
        places: (split, row) by position.
        ids: Example ids by position.
        scan_name: What tells this set from others in the cache of scans.
        fence: Where the files may lie that the table names.
    """

    splits: tuple[Any, ...]
    column: str
    places: tuple[tuple[int, int], ...]
    ids: tuple[str, ...]
    scan_name: str
    fence: Fence

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
        cell = self.splits[split][row][self.column] or {}
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        if not cell.get("path"):
            raise ValueError("no image")
        path = Path(cell["path"])
        if not self.fence.holds(path):
            raise ValueError(f"{one_line(str(path))} is not in the data set's own folder")
        return read_regular_file(path)


def huggingface_source(
    place: HubPlace,
    *,
    columns: HubColumns,
    kind: LabelKind = LabelKind.CLASS,
    max_unreadable: float,
    cache: Path | None,
    max_pixels: int | None = None,
) -> Source:
    """A Hugging Face image data set, with its own splits where it has several.

    Args:
        place: Which data set.
        columns: The columns of images and labels.
        kind: How the images are labelled.
        max_unreadable: Share in [0, 1] of unreadable images that is tolerated.
        cache: Folder of caches, or None.
        max_pixels: As of `decode`.
    Raises:
        DataSettingError: If a column is not there or the data set is unknown.
        DataError: If `datasets` is not installed or the hub cannot be reached.
    """
    refuse_unfit_columns(columns.labels, kind)
    loaded = parts_of(place.title, load_hub_set(place))
    first = next(iter(loaded.values()))
    _refuse_no_images(place.title, first, columns.image)
    refuse_missing_labels(place.title, first, columns.labels, beside=columns.image)
    tables = {part: _undecoded(table, columns.image) for part, table in loaded.items()}
    listed: list[Listed] = []
    places: list[tuple[int, int]] = []
    for order, (part, table) in enumerate(tables.items()):
        hub_table = HubTable(place.title, part, table)
        for row, label in row_labels(hub_table, columns.labels, kind):
            listed.append(Listed(hub_table.id(row), label, split=part))
            places.append((order, row))
    refuse_idle_separator(place.title, columns.labels, [entry.label for entry in listed])
    contents = HubContents(
        tuple(tables.values()),
        columns.image,
        tuple(places),
        tuple(entry.id for entry in listed),
        f"huggingface:{place.local or place.name}:{place.config}:{place.revision}",
        Fence(*folders_of(place)),
    )
    return source_from_listing(
        place.title,
        listed,
        contents=contents,
        kind=kind,
        classes=class_names(first, columns.labels, kind),
        max_unreadable=max_unreadable,
        cache=cache,
        max_pixels=max_pixels,
    )


def _refuse_no_images(title: str, table: Any, column: str) -> None:
    """Refuse an image column that is not there, or one without images."""
    images = tuple(
        name for name in table.column_names if type(table.features[name]).__name__ == "Image"
    )
    if column not in images:
        is_there = column in table.column_names
        rule = "has no images in this column" if is_there else "has no such column"
        raise no_column("data.image_column", f"{title} {rule}", table, column, images)


def _undecoded(table: Any, image: str) -> Any:
    """The same table, giving encoded images instead of decoded ones."""
    from datasets import Image

    return table.cast_column(image, Image(decode=False))
