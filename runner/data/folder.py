"""Image folders: one sub-folder a class, or train/validation/test folders of such."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from runner.data.errors import DataSettingError, counted, named
from runner.data.example import Part, Source
from runner.data.listing import FileContents, Listed, source_from_listing
from runner.data.local_files import visible_files
from runner.errors import DataError

# HEIC and JPEG XL need a Pillow plugin: listed, so that without one they are reported by name.
# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
))
# fmt: on
_NOT_OURS = ("__MACOSX", "@eaDir", "lost+found")  # left by archives, file servers, file systems
PART_FOLDERS = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "val": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "test": Part.TEST,
}


def folder_source(path: Path, *, max_unreadable: float, cache: Path | None) -> Source:
    """The images under a folder; a class is a sub-folder, hidden files are ignored.

    Sub-folders called train, val (valid, validation) and test are taken for given splits when
    nothing else is beside them and they hold class folders themselves.

    Raises:
        DataSettingError: If the folder does not exist, is empty or has no class folders.
        DataError: If a class folder holds no image, or too many are unreadable.
    """
    root = Path(os.path.abspath(path))  # noqa: PTH100 - symbolic links stay as the user wrote them
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataSettingError("data.path", f"the image folder {kind}", seen=str(path))
    parts = _part_folders(root)
    roots = parts or {None: root}
    listed: list[Listed] = []
    paths: list[Path] = []
    for part, folder in roots.items():
        for class_folder in _class_folders(folder):
            for file in _images(class_folder):
                id_ = _plain(file.relative_to(root).as_posix())
                listed.append(Listed(id_, _plain(class_folder.name), split=part))
                paths.append(file)
    return source_from_listing(
        str(path),
        listed,
        contents=FileContents(tuple(paths), str(root)),
        max_unreadable=max_unreadable,
        cache=cache,
    )


def _plain(name: str) -> str:
    """A file's name as text that is the same on every system and can be written anywhere.

    Accents are composed (macOS keeps them apart); bytes that are not UTF-8 are escaped.
    """
    whole = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", whole)


def _part_folders(root: Path) -> dict[Part | None, Path]:
    """The folders of given splits, in order; empty where the sub-folders are classes."""
    folders = {folder.name.lower(): folder for folder in _visible_folders(root)}
    named_parts = [name for name in folders if name in PART_FOLDERS]
    trains = [name for name in named_parts if PART_FOLDERS[name] is Part.TRAIN]
    if len(folders) < 1 or not any(_visible_folders(folders[name]) for name in trains):
        return {}
    strangers = [folder.name for name, folder in folders.items() if name not in PART_FOLDERS]
    if strangers and len(named_parts) > 1:
        raise DataError(
            f"{root}: {named(named_parts)} look like given splits, but beside them "
            f"{'is' if len(strangers) == 1 else 'are'} {named(strangers)}; move one or the other"
        )
    if strangers:
        return {}
    parts: dict[Part | None, Path] = {}
    for name in named_parts:
        part = PART_FOLDERS[name]
        if part in parts:
            raise DataError(
                f"{root}: {parts[part].name} and {folders[name].name} are both the {part} "
                "split; keep one of them"
            )
        parts[part] = folders[name]
    return parts


def _class_folders(folder: Path) -> list[Path]:
    """The class folders in a folder, each with at least one image file."""
    classes = _visible_folders(folder)
    if not classes:
        raise DataSettingError("data.path", _no_classes(folder), seen=str(folder))
    empty = [entry for entry in classes if next(_images(entry), None) is None]
    if empty:
        raise DataError(
            f"{folder}: {counted(len(empty), 'class')} without an image file: "
            f"{named([entry.name for entry in empty])}. Files with these endings count: "
            f"{' '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return classes


def _no_classes(folder: Path) -> str:
    rule = "the image folder needs one sub-folder a class"
    loose = [entry.name for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    if not loose:
        return f"{rule}, and is empty"
    return f"{rule}, and holds only files ({named(loose, at_most=3)})"


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in _NOT_OURS and entry.is_dir()
    )


def _images(folder: Path) -> Iterator[Path]:
    """Image files below a folder, at any depth; see `visible_files`."""
    return (path for path in visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
