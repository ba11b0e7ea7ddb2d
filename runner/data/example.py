"""What every source of images or texts looks like to the rest of the runner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, final

from PIL import Image

from runner.experiment import LabelKind

Label = int | float | tuple[int, ...]
"""By kind of label: the index of the class (int); the number (float); the indices of the labels
that hold, ascending (tuple); the index of each word's tag (tuple)."""

Text = str | tuple[str, ...]
"""One text (str); a pair of texts (tuple of two); or, where the labels are tags, the words."""

ImageReader = Callable[[int, int | None], Image.Image]


class Part(StrEnum):
    """The three parts of a data set."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled image or text, without its content.

    Attributes:
        id: Name that is unique in its source and the same on every machine.
        label: What it is, by the source's kind of label; indices are into its classes.
        digest: SHA-256 of the content, in hexadecimal; equal digests are exact duplicates.
        group: Examples of one group stay on one side of a split; None where there is none.
        split: The part the source itself puts this example in; None where it gives none.
    """

    id: str
    label: Label
    digest: str
    group: str | None = None
    split: Part | None = None


class Labelled(Protocol):
    """What is the same for images and texts: all that a split or a fingerprint looks at."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def kind(self) -> LabelKind:
        """How its examples are labelled."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What labels index: classes, labels, or tags with "O" first; empty for numbers."""

    @property
    def examples(self) -> tuple[Example, ...]:
        """Usable examples, in an order that does not depend on the machine."""

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What was left out, each as "id: reason"."""


@final
@dataclass(frozen=True)
class Source:
    """A set of labelled images, opened: every example in it was decoded in full once.

    Attributes:
        name: How messages call it.
        classes: Class names; an example's label indexes them. Empty where labels are numbers.
        examples: Readable examples, in an order that does not depend on the machine.
        unreadable: What was left out, each as "id: reason".
        flip_is_safe: Whether a mirrored image still shows its class (not so for text).
        reader: Gives the RGB image at a position; its second argument is the shorter side in
            pixels that suffices, or None for the full size.
        kind: How the examples are labelled.
        notes: What else a user should know of it before a search.
    """

    name: str
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    unreadable: tuple[str, ...]
    flip_is_safe: bool
    reader: ImageReader
    kind: LabelKind = LabelKind.CLASS
    notes: tuple[str, ...] = ()

    def image(self, index: int, *, enough: int | None = None) -> Image.Image:
        """The image of the example at `index`: upright, without alpha, RGB.

        Args:
            index: Position in `examples`.
            enough: Shorter side, in pixels, that the caller will scale down to; a large JPEG
                is then decoded at a fraction of its size, never below twice this side.
        Raises:
            IndexError: If there is no such example.
            DataError: If the file changed or vanished since the source was opened.
        """
        if not 0 <= index < len(self.examples):
            raise IndexError(f"{self.name} has {len(self.examples)} examples, asked for {index}")
        return self.reader(index, enough)


@final
@dataclass(frozen=True)
class TextSource:
    """A set of labelled texts, opened; none of them is empty.

    Attributes:
        name: How messages call it.
        kind: How the examples are labelled.
        classes: What labels index; for tags "O" first, then the others sorted; empty for numbers.
        examples: Usable examples, in the order of their ids.
        unreadable: What was left out, each as "id: reason".
        texts: The texts as they were written, one for each example.
    """

    name: str
    kind: LabelKind
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    unreadable: tuple[str, ...]
    texts: Sequence[Text]

    @property
    def is_pair(self) -> bool:
        """Whether each example is two texts."""
        return (
            self.kind is not LabelKind.TAGS
            and len(self.texts) > 0
            and isinstance(self.texts[0], tuple)
        )

    def text(self, index: int) -> Text:
        """The text of the example at `index`.

        Raises:
            IndexError: If there is no such example.
        """
        if not 0 <= index < len(self.examples):
            raise IndexError(f"{self.name} has {len(self.examples)} examples, asked for {index}")
        return self.texts[index]
