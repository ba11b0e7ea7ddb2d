"""Whole sentences of prose out of docstrings: no code, no parameter lists, no markup.

What is not plainly prose is left out; a docstring may well give nothing. Source: own definition.
"""

import inspect
import itertools
import re

WORDS = range(6, 61)  # of a sentence; shorter ones say too little, longer ones are lists
_LETTERS = 0.9  # smallest share of letters and spaces in a sentence

# Where the prose of a docstring ends: an underlined heading, a Google section, a field list.
_UNDERLINE = re.compile(r'[-=~^"*]{3,}')
_SECTION = re.compile(r"[A-Z]\w*( \w+){0,3}:")
_FIELD = re.compile(r"(:(param|parameter|arg|type|returns?|rtype|raises?|keyword)\b|@param)")
# Lines that are no prose: doctests, directives, list items, tables, quoted blocks.
_NO_PROSE = re.compile(r"(>>>|\.\.|[*+|#=>-]|\(?\d+[.)]|:)")

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), shown)
    for pattern, shown in (
        (r"(?::[\w:+-]+:)?`([^`<]+?)\s*<[^`>]*>`_{0,2}", r"\1"),  # :role:`title <target>`
        (r":[\w:+-]+:`[~!][^`]*?([^`.]+)`", r"\1"),  # :role:`~package.name`
        (r":[\w:+-]+:`\.?([^`]+)`", r"\1"),  # :role:`name`
        (r"``([^`]+)``", r"\1"),
        (r"`\.?([^`]+)`_{0,2}", r"\1"),  # `.Name` is how matplotlib refers
        (r"\*\*([^*]+)\*\*", r"\1"),
        (r"(?<!\w)\*([^*\s][^*]*)\*(?!\w)", r"\1"),
        (r"\s+", " "),
    )
)
_BOUNDARY = re.compile(r'(?<=[.!?])\s+(?=["(]?[A-Z])')
_ABBREVIATION = re.compile(
    r"(\b(e\.g|i\.e|etc|cf|vs|resp|approx|figs?|eqs?|al|no|sec|refs?|dr|mr|st|incl)|\b[a-z])\.$",
    re.IGNORECASE,
)
# What gives away code, file names, left-over markup or a list.
_NOT_PLAIN = re.compile(r"[`|{}<>\\$=_*#@~^\[\]]|::|//|www\.|\.\.|->|\.(py|rst|html)\b|\b\d+\.$")


def prose_sentences(docstring: str) -> list[str]:
    """The sentences of a docstring's opening prose, up to its first section.

    Args:
        docstring: As the source file has it, indented.
    Returns:
        Sentences of 6 to 60 words on one line each, markup taken off, in their order.
    """
    return [
        sentence
        for paragraph in _paragraphs(docstring)
        for sentence in _split(_without_markup(paragraph))
        if _is_plain(sentence)
    ]


def _paragraphs(docstring: str) -> list[str]:
    """Paragraphs of prose that are not indented, before the first section."""
    lines = inspect.cleandoc(docstring).splitlines()
    paragraphs: list[list[str]] = [[]]
    for line, below in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        if _ends_prose(line, below):
            break
        if not line or line[0].isspace():
            paragraphs.append([])
        else:
            paragraphs[-1].append(line.strip())
    return [
        " ".join(paragraph)
        for paragraph in paragraphs
        if not any(_NO_PROSE.match(line) for line in paragraph)
    ]


def _ends_prose(line: str, below: str) -> bool:
    """Whether a section begins here."""
    if line[:1].isspace():
        return False
    is_heading = bool(line) and _UNDERLINE.fullmatch(below.strip()) is not None
    return is_heading or bool(_SECTION.fullmatch(line.strip()) or _FIELD.match(line))


def _without_markup(paragraph: str) -> str:
    """The words that a reader of the rendered page sees."""
    for pattern, shown in _MARKUP:
        paragraph = pattern.sub(shown, paragraph)
    return paragraph.strip()


def _split(paragraph: str) -> list[str]:
    """Sentences of a paragraph; a full stop after an abbreviation ends none."""
    sentences: list[str] = []
    for piece in _BOUNDARY.split(paragraph):
        if sentences and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] += f" {piece}"
        else:
            sentences.append(piece)
    return sentences


def _is_plain(sentence: str) -> bool:
    """Whether this is a whole sentence of natural language."""
    if not sentence[:1].isupper() or not sentence.endswith("."):
        return False
    if len(sentence.split()) not in WORDS or _NOT_PLAIN.search(sentence):
        return False
    if sentence.count("(") != sentence.count(")") or sentence.count('"') % 2:
        return False
    plain = sum(character.isalpha() or character == " " for character in sentence)
    return plain >= _LETTERS * len(sentence)
