"""What counts as prose in a docstring."""

import pytest

from runner.data.sentences import prose_sentences

LONG = " ".join(["word"] * 59)


def test_prose_sentences_are_those_before_the_first_section():
    docstring = """Compute the smallest rotation that aligns two sets.

        The method is due to Kabsch and needs at least two vectors. It is
        exact, i.e. it does not iterate until it converges. See Fig. 3 of the book for a picture.

        Parameters
        ----------
        a : array_like
            The first of the two sets of vectors to align.

        Notes
        -----
        This comes after the first section and is left out.
        """

    assert prose_sentences(docstring) == [
        "Compute the smallest rotation that aligns two sets.",
        "The method is due to Kabsch and needs at least two vectors.",
        "It is exact, i.e. it does not iterate until it converges.",
        "See Fig. 3 of the book for a picture.",
    ]


@pytest.mark.parametrize(
    "section",
    [
        "Args:\n    value: The value that is to be set.",
        "Raises:\n    The value that is to be set is wrong.",
        ":param value: The value that is to be set.",
        "@param value The value that is to be set here.",
        "Returns\n-------\nThe value that is to be set here.",
        "Example::\n\n    The value that is to be set here.",
        ">>> print('The value that is to be set here.')\nThe value that is to be set here.",
        ".. note:: The value that is to be set here.",
        "* The value that is to be set here.",
        "1. The value that is to be set here.",
        "=====  =====\nThe value that is to be set here.\n=====  =====",
        "    The value that is to be set here.",
        "| The value that is to be set here.",
    ],
)
def test_sections_code_lists_and_tables_give_no_sentence(section):
    summary = "Set the value of\none of the entries."

    assert prose_sentences(f"{summary}\n\n{section}\n") == ["Set the value of one of the entries."]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Return ``None`` where `value` is not set at all.", "Return None where value is"),
        ("See :func:`~package.module.fit` for how it is done.", "See fit for how it is"),
        ("See :meth:`Model.fit` for all of how it is done.", "See Model.fit for all"),
        ("See :ref:`the long guide <guide-2>` for how it is done.", "See the long guide for"),
        ("See `the guide <somewhere/else>`__ for how it is done.", "See the guide for how"),
        (
            "Draw every `.Artist` that is in **this** *very* figure.",
            "Draw every Artist that is in",
        ),
        ("Do   all of it\n    in one\n    go.", "Do all of it in one go."),
        ("Draw all of it\nin one\ngo now.", "Draw all of it in one go now."),
    ],
)
def test_markup_is_taken_off(written, read):
    sentences = prose_sentences(written)

    assert len(sentences) == 1
    assert sentences[0].startswith(read)
    assert not any(mark in sentences[0] for mark in "`*<>~\n")


@pytest.mark.parametrize(
    "sentence",
    [
        "Too short to say much.",
        f"Too {LONG} long.",
        "no capital letter at the beginning of it.",
        "No full stop at the end of it",
        "This one ends with a colon and goes on:",
        "Uses some_identifier or x[0] = 1 in the text.",
        "As proved in the paper of Smith et al [3]_ long ago.",
        "See the page https://example.org for more about it.",
        "The numbers are 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        "The tensor has the shape $n$ in every case.",
        "It (like all others has no closing one at all.",
        "There are two ways to do this one: 1.",
        "See the file plot_this.py for how it is done.",
    ],
)
def test_what_is_not_a_plain_sentence_is_left_out(sentence):
    assert prose_sentences(sentence) == []


def test_longest_and_shortest_sentence_are_of_60_and_6_words():
    shortest, longest = "Six words are just about enough.", f"Sixty {LONG[:-4]}them."

    assert prose_sentences(f"{shortest} {longest}") == [shortest, longest]


def test_empty_docstring_has_no_sentence():
    assert prose_sentences("") == prose_sentences("   \n  ") == []
