"""A source cut down to some of its classes."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from runner.data.errors import DataSettingError, named
from runner.data.example import Source


def only_classes(source: Source, classes: Sequence[str]) -> Source:
    """The examples of these classes alone, labelled in this order.

    Raises:
        DataSettingError: If the source has no such class, or one is named twice.
    """
    unknown = [name for name in classes if name not in source.classes]
    if unknown or len(set(classes)) < len(classes):
        what = f"no class {named(unknown)}" if unknown else "a class is named twice"
        rule = f"{what}; {source.name} has {named(list(source.classes), at_most=40)}"
        raise DataSettingError(
            "data.classes", rule, seen=named(list(classes)), allowed=source.classes
        )
    kept = [n for n, e in enumerate(source.examples) if source.classes[e.label] in classes]

    def read(index: int, enough: int | None) -> Image.Image:
        return source.reader(kept[index], enough)

    return replace(
        source,
        classes=tuple(classes),
        examples=tuple(
            replace(
                source.examples[n], label=classes.index(source.classes[source.examples[n].label])
            )
            for n in kept
        ),
        reader=read,
    )
