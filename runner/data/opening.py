"""The one door to data: settings in, an opened source out."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar, overload

from runner.data.bundled import bundled_source
from runner.data.class_filter import only_classes
from runner.data.errors import DataSettingError
from runner.data.example import Source, TextSource
from runner.data.fetching import with_fetched
from runner.data.folder import folder_source
from runner.data.huggingface import HubColumns, huggingface_source
from runner.data.labels import LabelColumns
from runner.data.manifest import Columns, manifest_source
from runner.data.opening_texts import from_base, hub_place, open_texts
from runner.data.torchvision_sets import torchvision_source
from runner.errors import DataError
from runner.experiment import (
    DataSettings,
    HuggingFaceData,
    ImageDataSettings,
    LabelKind,
    ManifestData,
    Modality,
    TorchvisionData,
    first_line,
    is_address,
)

_Source = TypeVar("_Source", Source, TextSource)


@overload
def open_source(
    settings: DataSettings,
    *,
    labels: LabelKind = ...,
    modality: Literal[Modality.IMAGE] = ...,
    base: Path,
    cache: Path | None,
) -> Source: ...


@overload
def open_source(
    settings: DataSettings,
    *,
    labels: LabelKind = ...,
    modality: Literal[Modality.TEXT],
    base: Path,
    cache: Path | None,
) -> TextSource: ...


@overload
def open_source(
    settings: DataSettings,
    *,
    labels: LabelKind = ...,
    modality: Modality,
    base: Path,
    cache: Path | None,
) -> Source | TextSource: ...


def open_source(
    settings: DataSettings,
    *,
    labels: LabelKind = LabelKind.CLASS,
    modality: Modality = Modality.IMAGE,
    base: Path,
    cache: Path | None,
) -> Source | TextSource:
    """The data an experiment's `data` section names, every image or text checked once.

    Args:
        settings: The `data` section; its `source` tells which kind it is.
        labels: How the task's examples are labelled.
        modality: What they are.
        base: Folder that relative paths start from: the experiment file's.
        cache: Folder of caches, or None to look at everything again.
    Raises:
        DataSettingError: If a setting does not fit what is there, or what is asked for.
        DataError: If the data cannot be used as they are.
    """
    try:
        here = with_fetched(settings, cache)
        if modality is Modality.TEXT:
            texts = _called(open_texts(here, labels, base, cache), settings)
            return texts if settings.classes is None else only_classes(texts, settings.classes)
        images = _called(_open_images(here, labels, base, cache), settings)
        return images if settings.classes is None else only_classes(images, settings.classes)
    except OSError as err:
        raise DataError(f"the data ({settings.source}) cannot be read: {first_line(err)}") from err


def _called(source: _Source, settings: DataSettings) -> _Source:
    """A source by the name that the experiment has: its address, where it was fetched."""
    path = getattr(settings, "path", "")
    return replace(source, name=path) if is_address(path) else source


def _open_images(
    settings: DataSettings, labels: LabelKind, base: Path, cache: Path | None
) -> Source:
    if not isinstance(settings, ImageDataSettings):
        rule = "holds no images; these come from a folder, a manifest, torchvision, huggingface"
        raise DataSettingError("data.source", f"{rule} or a bundled set", seen=settings.source)
    if labels is LabelKind.TAGS:
        raise DataSettingError("data.source", "images have no words to tag", seen=settings.source)
    if settings.source == "manifest":
        return _open_manifest(settings, labels, base, cache)
    if settings.source == "huggingface":
        return _open_huggingface(settings, labels, base, cache)
    if labels is not LabelKind.CLASS:
        rule = "its images have one class each; other labels come from a manifest or huggingface"
        raise DataSettingError("data.source", rule, seen=settings.source)
    if settings.source == "bundled":
        return bundled_source(settings.name, size=settings.size)
    if settings.source == "folder":
        path = from_base(base, settings.path)
        return folder_source(
            path,
            max_unreadable=settings.max_unreadable,
            cache=cache,
            max_pixels=settings.max_pixels,
        )
    return _open_torchvision(settings, base, cache)


def _open_manifest(
    settings: ManifestData, labels: LabelKind, base: Path, cache: Path | None
) -> Source:
    path = from_base(base, settings.path)
    return manifest_source(
        path,
        root=path.parent if settings.root is None else from_base(base, settings.root),
        columns=Columns(
            path=settings.path_column,
            labels=LabelColumns.of(settings),
            group=settings.group_column,
            split=settings.split_column,
        ),
        kind=labels,
        allow_outside=settings.allow_outside,
        max_unreadable=settings.max_unreadable,
        cache=cache,
        max_pixels=settings.max_pixels,
    )


def _open_torchvision(settings: TorchvisionData, base: Path, cache: Path | None) -> Source:
    if settings.root is not None:
        root = from_base(base, settings.root)
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
        max_pixels=settings.max_pixels,
    )


def _open_huggingface(
    settings: HuggingFaceData, labels: LabelKind, base: Path, cache: Path | None
) -> Source:
    return huggingface_source(
        hub_place(settings, base),
        columns=HubColumns(image=settings.image_column, labels=LabelColumns.of(settings)),
        kind=labels,
        max_unreadable=settings.max_unreadable,
        cache=cache,
        max_pixels=settings.max_pixels,
    )
