"""Image folders: one sub-folder a class, or train/validation/test folders of such."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from runner.data.errors import DataSettingError, counted, named
from runner.data.example import Part, Source
from runner.data.listing import FileContents, Listed, source_from_listing
from runner.data.local_files import visible_files
from runner.data.names import plain_name
from runner.errors import DataError

# HEIC and JPEG XL need a Pillow plugin: listed, so that without one they are reported by name.
# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
))
# fmt: on
_NOT_OURS = ("__MACOSX", "@eaDir", "lost+found")  # left by archives, file servers, file systems
_NO_NEWS = ("thumbs.db", "desktop.ini")  # left in folders of images by Windows
_LONGEST_ENDING = 12  # characters: what is longer is no ending but a name with a dot in it
PART_FOLDERS = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "val": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "test": Part.TEST,
}


@dataclass(frozen=True)
class ClassFolder:
    """What one class folder holds.

    Attributes:
        name: The class: the folder's name, the same on every system.
        images: Its image files, at any depth.
        others: How many other files it has, by their ending.
    """

    name: str
    images: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def folder_source(
    path: Path, *, max_unreadable: float, cache: Path | None, max_pixels: int | None = None
) -> Source:
    """The images under a folder; a class is a sub-folder, hidden files are ignored.

    Sub-folders called train, val (valid, validation) and test are taken for given splits when
    nothing else is beside them and they hold class folders themselves.

    Args:
        path: The folder.
        max_unreadable: Share in [0, 1] of unreadable images that is tolerated.
        cache: Folder of caches, or None.
        max_pixels: As of `decode`.
    Raises:
        DataSettingError: If the folder does not exist, is empty or has no class folders.
        DataError: If a class folder holds no image, two are of one name, or too many images are
            unreadable.
    """
    root = Path(os.path.abspath(path))  # noqa: PTH100 - symbolic links stay as the user wrote them
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataSettingError("data.path", f"the image folder {kind}", seen=str(path))
    parts = _part_folders(root)
    roots = parts or {None: root}
    listed: list[Listed] = []
    paths: list[Path] = []
    others: Counter[str] = Counter()
    loose: list[str] = []
    for part, folder in roots.items():
        loose += _loose_images(folder)
        for class_folder in _class_folders(folder):
            others += class_folder.others
            for file in class_folder.images:
                id_ = plain_name(file.relative_to(root).as_posix())
                listed.append(Listed(id_, class_folder.name, split=part))
                paths.append(file)
    return source_from_listing(
        str(path),
        listed,
        contents=FileContents(tuple(paths), str(root)),
        max_unreadable=max_unreadable,
        cache=cache,
        max_pixels=max_pixels,
        notes=_left_out(others, loose),
    )


def _left_out(others: Counter[str], loose: list[str]) -> tuple[str, ...]:
    """Notes on files that are no images by their names, and on images without a class."""
    notes = []
    if others:
        what = f"{counted(others.total(), 'file')} left out, not named like an image"
        notes.append(f"{what}: {_endings(others)}")
    if loose:
        what = f"{counted(len(loose), 'image')} left out, beside the class folders"
        notes.append(f"{what}: {named(loose)}")
    return tuple(notes)


def _loose_images(folder: Path) -> list[str]:
    """Image files that are in no class folder."""
    return [
        plain_name(entry.name)
        for entry in sorted(folder.iterdir())
        if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
    ]


def _endings(others: Counter[str]) -> str:
    """How many files there are of each ending, the most frequent first."""
    return named([f"{count} {ending}" for ending, count in others.most_common()])


def _part_folders(root: Path) -> dict[Part | None, Path]:
    """The folders of given splits, in order; empty where the sub-folders are classes."""
    folders = {folder.name.lower(): folder for folder in _visible_folders(root)}
    named_parts = [name for name in folders if name in PART_FOLDERS]
    trains = [name for name in named_parts if PART_FOLDERS[name] is Part.TRAIN]
    if len(folders) < 1 or not any(_visible_folders(folders[name]) for name in trains):
        return {}
    strangers = [
        plain_name(folder.name) for name, folder in folders.items() if name not in PART_FOLDERS
    ]
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


def _class_folders(folder: Path) -> list[ClassFolder]:
    """The class folders in a folder, each with at least one image file."""
    folders = _visible_folders(folder)
    if not folders:
        raise DataSettingError("data.path", _no_classes(folder), seen=str(folder))
    _refuse_one_name(folder, folders)
    classes = [_looked_through(entry) for entry in folders]
    empty = [each for each in classes if not each.images]
    if empty:
        told = [
            f"{each.name} (but {_endings(each.others)})" if each.others else each.name
            for each in empty
        ]
        raise DataError(
            f"{folder}: {counted(len(empty), 'class')} without an image file: {named(told)}. "
            f"Files with these endings count: {' '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return classes


def _refuse_one_name(folder: Path, folders: list[Path]) -> None:
    """Refuse class folders whose names are the same text in other bytes."""
    counts = Counter(plain_name(entry.name) for entry in folders)
    doubled = [entry.name for entry in folders if counts[plain_name(entry.name)] > 1]
    if doubled:
        raise DataError(
            f"{folder}: class folders whose names look the same, but are stored in different "
            f"ways: {named([ascii(name) for name in doubled])}. Put the images of each class into "
            "one folder, or rename one"
        )


def _looked_through(folder: Path) -> ClassFolder:
    """The images of a class folder, and what else is in it; see `visible_files`."""
    found = ClassFolder(plain_name(folder.name))
    for path in visible_files(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.images.append(path)
        elif path.name.lower() not in _NO_NEWS:
            found.others[_ending(path)] += 1
    return found


def _ending(path: Path) -> str:
    """A file's ending for people."""
    ending = plain_name(path.suffix.lower())
    return ending if 1 < len(ending) <= _LONGEST_ENDING else "without an ending"


def _no_classes(folder: Path) -> str:
    rule = "the image folder needs one sub-folder a class"
    loose = [
        plain_name(entry.name)
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith(".")
    ]
    if not loose:
        return f"{rule}, and is empty"
    return f"{rule}, and holds only files ({named(loose, at_most=3)})"


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in _NOT_OURS and entry.is_dir()
    )
