"""Names that can be written anywhere, on one line."""

import os

import pytest

from runner.data.names import one_line, plain_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("big cat", "big cat"),
        ("größe", "größe"),
        ("猫", "猫"),
        ("👩\u200d🚀", "👩\u200d🚀"),  # its joiner is part of the picture
        ("a\nb", "a\\nb"),
        ("a\r\tb", "a\\r\\tb"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\x85b", "a\\x85b"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\0", "\\x00"),
    ],
)
def test_one_line_escapes_what_breaks_lines_and_nothing_else(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert len(shown.splitlines()) == 1


def test_plain_name_is_the_same_text_on_every_system() -> None:
    """Fails where bytes that are not UTF-8 are kept. Fails where accents are left apart."""
    assert plain_name("a\u0308") == plain_name("\u00e4") == "\u00e4"
    assert plain_name(os.fsdecode(b"caf\xe9\n")) == "caf\\xe9\\n"
