"""What happens to texts before they are tokenised."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.data.cleaning import Cleaning, clean

EVERY = [
    Cleaning(lower, unicode, whitespace)
    for lower in (False, True)
    for unicode in (None, "NFC", "NFKC")
    for whitespace in (False, True)
]


def test_clean_by_default_changes_nothing():
    text = " Ｆull\tWIDTH  e\u0301\n"

    assert clean(text, Cleaning()) == text


@pytest.mark.parametrize(
    ("cleaning", "expected"),
    [
        (Cleaning(lower=True), " ｆull\twidth  e\u0301\u00a0\n"),
        (Cleaning(unicode="NFC"), " Ｆull\tWIDTH  \u00e9\u00a0\n"),
        (Cleaning(unicode="NFKC"), " Full\tWIDTH  \u00e9 \n"),
        (Cleaning(whitespace=True), "Ｆull WIDTH e\u0301"),
        (Cleaning(lower=True, unicode="NFKC", whitespace=True), "full width \u00e9"),
    ],
)
def test_clean_makes_each_change_that_is_asked_for(cleaning, expected):
    assert clean(" Ｆull\tWIDTH  e\u0301\u00a0\n", cleaning) == expected


@pytest.mark.parametrize("cleaning", EVERY, ids=lambda cleaning: cleaning.key())
def test_clean_always_makes_half_characters_whole(cleaning):
    assert clean("a\ud83d\ude00b \ud83d c", cleaning) == "a\U0001f600b \ufffd c"


@pytest.mark.parametrize("cleaning", EVERY, ids=lambda cleaning: cleaning.key())
@given(text=st.text(max_size=20))
def test_clean_twice_is_clean_once(cleaning, text):
    once = clean(text, cleaning)

    assert clean(once, cleaning) == once


@given(text=st.text(max_size=20))
def test_clean_in_lower_case_is_still_in_normal_form(text):
    cleaned = clean(text, Cleaning(lower=True, unicode="NFC"))

    assert unicodedata.is_normalized("NFC", cleaned)


def test_cleaning_keys_differ_for_every_setting():
    assert len({cleaning.key() for cleaning in EVERY}) == len(EVERY) == 12
