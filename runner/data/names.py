"""Names of files and classes as they are kept and shown: the same everywhere, on one line."""

import unicodedata

# Control characters, and what else breaks a line of a log, a table or a message.
_BREAKING = ("Cc", "Zl", "Zp")


def plain_name(name: str) -> str:
    """A file's name as text that is the same on every system and can be written anywhere.

    Accents are composed (macOS keeps them apart); bytes that are not UTF-8, and control characters
    (a name may hold a line break), are escaped.
    """
    whole = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return one_line(unicodedata.normalize("NFC", whole))


def one_line(text: str) -> str:
    r"""The text with line breaks and control characters escaped: `a\nb` is four characters."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _BREAKING
        else character
        for character in text
    )
