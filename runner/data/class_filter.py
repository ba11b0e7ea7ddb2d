"""A source cut down to some of its classes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from PIL import Image

from runner.data.errors import DataSettingError, named
from runner.data.example import Example, Source, TextSource
from runner.data.strata import class_indices
from runner.errors import DataError
from runner.experiment import LabelKind

_Source = TypeVar("_Source", Source, TextSource)


def only_classes(source: _Source, classes: Sequence[str]) -> _Source:
    """The examples of these classes alone, labelled in this order.

    Where an example may have several labels, every example stays and only these labels count.

    Raises:
        DataSettingError: If the source has no such class, one is named twice, or its examples
            have no classes of their own.
        DataError: If none of the examples has one of these labels.
    """
    _refuse_unknown(source, classes)
    index = {name: place for place, name in enumerate(source.classes)}
    number = {index[name]: place for place, name in enumerate(classes)}
    kept, examples = [], []
    for position, example in enumerate(source.examples):
        places = sorted(
            number[i] for i in class_indices(example.label, source.kind) & number.keys()
        )
        if source.kind is LabelKind.CLASSES:
            examples.append(replace(example, label=tuple(places)))
            kept.append(position)
        elif places:
            examples.append(replace(example, label=places[0]))
            kept.append(position)
    if source.kind is LabelKind.CLASSES and not any(example.label for example in examples):
        raise DataError(f"{source.name}: no example has a label of data.classes")
    return _reduced(source, tuple(classes), tuple(examples), kept)


def _refuse_unknown(source: Source | TextSource, classes: Sequence[str]) -> None:
    asked = named(list(classes))
    if source.kind in (LabelKind.NUMBER, LabelKind.TAGS):
        what = "numbers" if source.kind is LabelKind.NUMBER else "tags"
        rule = f"chooses among classes, and the labels are {what}; take it out"
        raise DataSettingError("data.classes", rule, seen=asked)
    there = set(source.classes)
    unknown = [name for name in classes if name not in there]
    if unknown or len(set(classes)) < len(classes):
        what = f"no class {named(unknown)}" if unknown else "a class is named twice"
        rule = f"{what}; {source.name} has {named(list(source.classes), at_most=40)}"
        raise DataSettingError("data.classes", rule, seen=asked, allowed=source.classes)


def _reduced(
    source: _Source, classes: tuple[str, ...], examples: tuple[Example, ...], kept: list[int]
) -> _Source:
    """The source with these of its examples."""
    if isinstance(source, TextSource):
        texts = [source.texts[position] for position in kept]
        return replace(source, classes=classes, examples=examples, texts=texts)
    reader = source.reader

    def read(index: int, enough: int | None) -> Image.Image:
        return reader(kept[index], enough)

    return replace(source, classes=classes, examples=examples, reader=read)
