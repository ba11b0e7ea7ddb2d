"""Opening the sources that hold texts."""

from pathlib import Path

from runner.data.conll import ConllFields, conll_source
from runner.data.docstrings import DOCSTRINGS, bundled_docstrings
from runner.data.errors import DataSettingError
from runner.data.example import TextSource
from runner.data.hub_loading import HubPlace
from runner.data.hub_texts import huggingface_texts
from runner.data.labels import LabelColumns
from runner.data.part_files import PartFiles
from runner.data.table import TextColumns, table_source
from runner.experiment import (
    BundledData,
    ConllData,
    DataSettings,
    HuggingFaceData,
    LabelKind,
    TableData,
    TextDataSettings,
)


def open_texts(
    settings: DataSettings, labels: LabelKind, base: Path, cache: Path | None
) -> TextSource:
    """The texts that an experiment's `data` section names.

    Args:
        settings: The `data` section.
        labels: How the task's examples are labelled.
        base: Folder that relative paths start from.
        cache: Folder of caches, or None to look at everything again.
    Raises:
        DataSettingError: If a setting does not fit what is there, or what is asked for.
        DataError: If the data cannot be used as they are.
    """
    if not isinstance(settings, TextDataSettings):
        rule = "holds no texts; these come from a table, conll, huggingface or bundled docstrings"
        raise DataSettingError("data.source", rule, seen=settings.source)
    if settings.source == "table":
        return _open_table(settings, labels, base)
    if settings.source == "huggingface":
        return _open_huggingface(settings, labels, base)
    if settings.source == "conll":
        return _open_conll(settings, labels, base)
    return _open_bundled(settings, labels, cache)


def hub_place(settings: HuggingFaceData, base: Path) -> HubPlace:
    """Which data set of the hub, or which local folder, is meant."""
    local = from_base(base, settings.name)
    return HubPlace(
        settings.name,
        local=local if local.exists() else None,
        config=settings.config,
        revision=settings.revision,
    )


def from_base(base: Path, path: str) -> Path:
    """A path of the experiment file, absolute; `~` is the home folder."""
    return base / Path(path).expanduser()


def _open_table(settings: TableData, labels: LabelKind, base: Path) -> TextSource:
    columns = TextColumns(
        text=settings.text_column,
        pair=settings.pair_column,
        tokens=settings.tokens_column,
        tags=settings.tags_column,
        labels=LabelColumns.of(settings),
        group=settings.group_column,
        split=settings.split_column,
    )
    files = _files(settings, base)
    return table_source(files, columns=columns, kind=labels, max_empty=settings.max_empty)


def _open_huggingface(settings: HuggingFaceData, labels: LabelKind, base: Path) -> TextSource:
    columns = TextColumns(
        text=settings.text_column,
        pair=settings.pair_column,
        tokens=settings.tokens_column,
        tags=settings.tags_column,
        labels=LabelColumns.of(settings),
    )
    place = hub_place(settings, base)
    return huggingface_texts(place, columns=columns, kind=labels, max_empty=settings.max_empty)


def _open_conll(settings: ConllData, labels: LabelKind, base: Path) -> TextSource:
    if labels is not LabelKind.TAGS:
        rule = "has tags, for the task token_classification; other labels come from a table"
        raise DataSettingError("data.source", rule, seen=settings.source)
    fields = ConllFields(settings.token_column, settings.tag_column)
    files = _files(settings, base)
    return conll_source(files, fields=fields, max_empty=settings.max_empty)


def _open_bundled(settings: BundledData, labels: LabelKind, cache: Path | None) -> TextSource:
    if settings.name != DOCSTRINGS:
        rule = f"is a set of images; the bundled texts are called {DOCSTRINGS}"
        raise DataSettingError("data.name", rule, seen=settings.name, allowed=(DOCSTRINGS,))
    if labels is not LabelKind.CLASS:
        rule = "has one class for each text; other labels come from a table or huggingface"
        raise DataSettingError("data.name", rule, seen=settings.name)
    return bundled_docstrings(size=settings.size, cache=cache)


def _files(settings: TableData | ConllData, base: Path) -> PartFiles:
    def there(path: str | None) -> Path | None:
        return None if path is None else from_base(base, path)

    return PartFiles(
        from_base(base, settings.path),
        validation=there(settings.validation_path),
        test=there(settings.test_path),
    )
