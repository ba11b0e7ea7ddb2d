"""What all sources of texts share: order, digests, empty texts."""

import pytest

from runner.data.listing import Listed
from runner.data.text_listing import (
    TextListing,
    digest_of_text,
    is_empty,
    texts_from_listing,
)
from runner.experiment import LabelKind


def test_texts_are_in_the_order_of_their_ids():
    listed = [Listed("b", "x"), Listed("a", "y"), Listed("c", "x")]
    listing = TextListing("here", listed, ["two", "one", "three"], str)

    source = texts_from_listing(listing, kind=LabelKind.CLASS, max_empty=0.0)

    assert [example.id for example in source.examples] == ["a", "b", "c"]
    assert list(source.texts) == ["one", "two", "three"]
    assert [example.label for example in source.examples] == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("a b", "c8687a08aa5d"),
        ("schön 第一", "5174cdd774ff"),
        (("a", "b"), "2bdb0a722c9c"),
        (("a b",), "562dc09d1292"),
    ],
)
def test_digest_never_moves(text, digest):
    """Fingerprints of studies and keys of caches are made of them."""
    assert digest_of_text(text).startswith(digest)


def test_digest_tells_texts_pairs_and_words_apart():
    contents = ["a b", ("a b",), ("a", "b"), ("ab",), "ab", "a  b", '["a", "b"]']

    assert len({digest_of_text(content) for content in contents}) == len(contents)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("", LabelKind.CLASS, True),
        (" \t\n\u3000", LabelKind.NUMBER, True),
        (" a ", LabelKind.CLASS, False),
        (("a", " "), LabelKind.CLASS, True),
        (("a", "b"), LabelKind.CLASS, False),
        ((), LabelKind.TAGS, True),
        ((" ", ""), LabelKind.TAGS, True),
        ((" ", "a"), LabelKind.TAGS, False),
    ],
)
def test_text_is_empty_without_anything_but_white_space(text, kind, expected):
    assert is_empty(text, kind) == expected
