"""The one door to data: settings in, an opened source out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.data.bundled import bundled_source
from runner.data.errors import DataSettingError
from runner.data.example import Source
from runner.data.folder import folder_source
from runner.data.huggingface import HubColumns, huggingface_source
from runner.data.manifest import Columns, manifest_source
from runner.data.torchvision_sets import torchvision_source
from runner.errors import DataError


def open_source(settings: Any, *, base: Path, cache: Path | None) -> Source:
    """The data an experiment's `data` section names, every image checked once.

    Args:
        settings: The `data` section; `settings.source` tells which kind it is.
        base: Folder that relative paths start from.
        cache: Folder of caches, or None to look at everything again.
    Raises:
        DataSettingError: If a setting does not fit what is there.
        DataError: If the data cannot be used as they are.
    """
    openers: dict[str, Callable[[Any, Path, Path | None], Source]] = {
        "bundled": _open_bundled,
        "folder": _open_folder,
        "manifest": _open_manifest,
        "torchvision": _open_torchvision,
        "huggingface": _open_huggingface,
    }
    kind = str(getattr(settings.source, "value", settings.source))
    if kind not in openers:
        raise DataError(f"no data source {kind!r}; there are {', '.join(openers)}")
    return openers[kind](settings, base, cache)


def _open_bundled(settings: Any, base: Path, cache: Path | None) -> Source:
    return bundled_source(str(settings.name), size=settings.size)


def _open_folder(settings: Any, base: Path, cache: Path | None) -> Source:
    path = _from_base(base, settings.path)
    return folder_source(path, max_unreadable=settings.max_unreadable, cache=cache)


def _open_manifest(settings: Any, base: Path, cache: Path | None) -> Source:
    path = _from_base(base, settings.path)
    return manifest_source(
        path,
        root=path.parent if settings.root is None else _from_base(base, settings.root),
        columns=Columns(
            path=settings.path_column,
            label=settings.label_column,
            group=settings.group_column,
            split=settings.split_column,
        ),
        allow_outside=settings.allow_outside,
        max_unreadable=settings.max_unreadable,
        cache=cache,
    )


def _open_torchvision(settings: Any, base: Path, cache: Path | None) -> Source:
    if settings.root is None and cache is None:
        raise DataSettingError("data.root", "name the folder of the data; there is no cache")
    inside_cache = (cache or base) / "torchvision" / str(settings.name)
    return torchvision_source(
        settings.name,
        root=inside_cache if settings.root is None else _from_base(base, settings.root),
        download=settings.download,
        max_unreadable=settings.max_unreadable,
        cache=cache,
    )


def _open_huggingface(settings: Any, base: Path, cache: Path | None) -> Source:
    local = _from_base(base, settings.name)
    return huggingface_source(
        settings.name,
        local=local if local.exists() else None,
        config=settings.config,
        revision=settings.revision,
        columns=HubColumns(image=settings.image_column, label=settings.label_column),
        max_unreadable=settings.max_unreadable,
        cache=cache,
    )


def _from_base(base: Path, path: str | Path) -> Path:
    """A path of the experiment file, absolute; `~` is the home folder."""
    return base / Path(path).expanduser()
