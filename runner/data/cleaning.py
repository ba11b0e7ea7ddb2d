"""What is done to texts before they are tokenised: nothing, unless the experiment asks for it."""

import unicodedata
from dataclasses import astuple, dataclass
from typing import Literal

UnicodeForm = Literal["NFC", "NFKC"]


@dataclass(frozen=True, slots=True)
class Cleaning:
    """Changes to a text; the default makes none.

    Attributes:
        lower: Lower case, whatever the tokenizer does by itself.
        unicode: Normal form: NFC composes accents, NFKC also unifies what looks alike
            (full-width letters, ligatures); None leaves the text as it is.
        whitespace: Every run of white space becomes one space, none at the ends.
    """

    lower: bool = False
    unicode: UnicodeForm | None = None
    whitespace: bool = False

    def key(self) -> str:
        """Equal keys mean equal changes; goes into the key of what is cached."""
        return repr(astuple(self))


def clean(text: str, cleaning: Cleaning) -> str:
    """The text as it will be tokenised.

    Normal form first, then case, then white space, so that each sees what the one before made.
    Half characters (lone surrogates, as cut-off JSON escapes give them), which no tokenizer takes,
    are put together where both halves are there and become U+FFFD where not, in any case.
    Lower case can leave the normal form (a capital I with a dot above); it is then made again.
    """
    text = _whole_characters(text)
    if cleaning.unicode is not None:
        text = unicodedata.normalize(cleaning.unicode, text)
    if cleaning.lower:
        text = text.lower()
        if cleaning.unicode is not None:
            text = unicodedata.normalize(cleaning.unicode, text)
    return " ".join(text.split()) if cleaning.whitespace else text


def _whole_characters(text: str) -> str:
    """The text without surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
