"""The one door to data: settings in, an opened source out."""

from pathlib import Path

from runner.data.bundled import bundled_source
from runner.data.class_filter import only_classes
from runner.data.errors import DataSettingError
from runner.data.example import Source
from runner.data.folder import folder_source
from runner.data.huggingface import HubColumns, huggingface_source
from runner.data.manifest import Columns, manifest_source
from runner.data.torchvision_sets import torchvision_source
from runner.errors import DataError
from runner.experiment import DataSettings, HuggingFaceData, ManifestData, TorchvisionData


def open_source(settings: DataSettings, *, base: Path, cache: Path | None) -> Source:
    """The data an experiment's `data` section names, every image checked once.

    Args:
        settings: The `data` section; its `source` tells which kind it is.
        base: Folder that relative paths start from: the experiment file's.
        cache: Folder of caches, or None to look at everything again.
    Raises:
        DataSettingError: If a setting does not fit what is there.
        DataError: If the data cannot be used as they are.
    """
    try:
        source = _opened(settings, base, cache)
    except OSError as err:
        raise DataError(f"the data ({settings.source}) cannot be read: {err}") from err
    return source if settings.classes is None else only_classes(source, settings.classes)


def _opened(settings: DataSettings, base: Path, cache: Path | None) -> Source:
    if settings.source == "bundled":
        return bundled_source(settings.name, size=settings.size)
    if settings.source == "folder":
        path = _from_base(base, settings.path)
        return folder_source(path, max_unreadable=settings.max_unreadable, cache=cache)
    if settings.source == "manifest":
        return _open_manifest(settings, base, cache)
    if settings.source == "torchvision":
        return _open_torchvision(settings, base, cache)
    return _open_huggingface(settings, base, cache)


def _open_manifest(settings: ManifestData, base: Path, cache: Path | None) -> Source:
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


def _open_torchvision(settings: TorchvisionData, base: Path, cache: Path | None) -> Source:
    if settings.root is not None:
        root = _from_base(base, settings.root)
    elif cache is not None:
        root = cache / "torchvision" / settings.name
    else:
        raise DataSettingError("data.root", "name the folder of the data; there is no cache")
    return torchvision_source(
        settings.name,
        root=root,
        download=settings.download,
        max_unreadable=settings.max_unreadable,
        cache=cache,
    )


def _open_huggingface(settings: HuggingFaceData, base: Path, cache: Path | None) -> Source:
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


def _from_base(base: Path, path: str) -> Path:
    """A path of the experiment file, absolute; `~` is the home folder."""
    return base / Path(path).expanduser()
