"""What every source of images looks like to the rest of the runner."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image

ImageReader = Callable[[int, int | None], Image.Image]


class Part(StrEnum):
    """The three parts of a data set."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled image, without its pixels.

    Attributes:
        id: Name that is unique in its source and the same on every machine.
        label: Index into the source's classes.
        digest: SHA-256 of the content, in hexadecimal; equal digests are exact duplicates.
        group: Examples of one group stay on one side of a split; None where there is none.
        split: The part the source itself puts this example in; None where it gives none.
    """

    id: str
    label: int
    digest: str
    group: str | None = None
    split: Part | None = None


@dataclass(frozen=True)
class Source:
    """A set of labelled images, opened: every example in it was decoded in full once.

    Attributes:
        name: How messages call it.
        classes: Class names; an example's label indexes them.
        examples: Readable examples, in an order that does not depend on the machine.
        unreadable: What was left out, each as "id: reason".
        flip_is_safe: Whether a mirrored image still shows its class (not so for text).
        reader: Gives the RGB image at a position; its second argument is the shorter side in
            pixels that suffices, or None for the full size.
    """

    name: str
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    unreadable: tuple[str, ...]
    flip_is_safe: bool
    reader: ImageReader

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
