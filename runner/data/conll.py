"""CoNLL files: a word and its tag a line, a blank line between sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.data.cells import shown
from runner.data.errors import DataSettingError, counted
from runner.data.example import Text, TextSource
from runner.data.listing import Listed
from runner.data.part_files import PartFiles
from runner.data.table_files import decoded
from runner.data.text_listing import TextListing, texts_from_listing
from runner.errors import DataError
from runner.experiment import LabelKind

_DOCUMENT = "-DOCSTART-"
_SPACES = re.compile("[ \t]+")

Line = tuple[int, list[str]]
"""Number of a line, from 1, and its fields."""


@dataclass(frozen=True)
class ConllFields:
    """Numbers of the fields with the word and its tag, from 0, or from -1 backwards."""

    token: int = 0
    tag: int = -1


@dataclass(frozen=True)
class Sentence:
    """One sentence and the line that it begins on, from 1."""

    line: int
    words: tuple[str, ...]
    tags: tuple[str, ...]


def conll_source(files: PartFiles, *, fields: ConllFields, max_empty: float) -> TextSource:
    """The sentences of one CoNLL file, or of one for each part.

    An example's id is its part ("all" where one file holds everything) and the number of the
    line that it begins on. `-DOCSTART-` lines are skipped, and so are comments: lines that begin
    with "# " before a sentence and have another number of fields than its words.

    Args:
        files: The files.
        fields: Which fields hold the word and its tag.
        max_empty: Share in [0, 1] of sentences without a word that is tolerated.
    Raises:
        DataSettingError: If a file or a field is missing.
        DataError: If a line cannot be used; names file and line.
    """
    listed: list[Listed] = []
    texts: list[Text] = []
    lines: list[tuple[Path, int]] = []
    for part, (key, path) in files.by_part().items():
        if not path.is_file():
            kind = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise DataSettingError(key, f"the file {kind}", seen=str(path))
        for sentence in read_sentences(path, fields):
            id_ = f"{part or 'all'}/{sentence.line:07d}"
            listed.append(Listed(id_, sentence.tags, split=part))
            texts.append(sentence.words)
            lines.append((path, sentence.line))
    place = "{}, line {}".format
    listing = TextListing(str(files.path), listed, texts, lambda n: place(*lines[n]))
    return texts_from_listing(listing, kind=LabelKind.TAGS, max_empty=max_empty)


def read_sentences(path: Path, fields: ConllFields) -> list[Sentence]:
    """The sentences of one file.

    Raises:
        DataSettingError: If its lines have no such field.
        DataError: If a line has another number of fields than the first, or an empty one.
    """
    blocks = list(_blocks(decoded(path)))
    if not blocks:
        return []
    plain = (line for block in blocks for line in block if not _is_marked(line[1]))
    width = _width(path, next(plain, blocks[0][0]), fields)
    sentences = []
    for block in blocks:
        while block and _is_marked(block[0][1]) and len(block[0][1]) != width:
            del block[0]
        if block:
            sentences.append(_sentence(path, block, width, fields))
    return sentences


def _blocks(text: str) -> Iterator[list[Line]]:
    """Runs of lines between blank ones."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    # One line with a tab that is no comment, and fields are what stands between tabs.
    has_tabs = any("\t" in line and not line.startswith("#") for line in lines)
    block: list[Line] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith(_DOCUMENT):
            cells = line.split("\t") if has_tabs else _SPACES.split(line.strip(" \t"))
            block.append((number, cells))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _is_marked(cells: list[str]) -> bool:
    """Whether a line may be a comment; it may as well be the word "#"."""
    return cells[0] == "#" or cells[0].startswith("# ")


def _width(path: Path, first: Line, fields: ConllFields) -> int:
    """The number of fields of a word's line, as the first of the file has it."""
    number, cells = first
    width = len(cells)
    for key, field in (("data.token_column", fields.token), ("data.tag_column", fields.tag)):
        if not -width <= field < width:
            rule = f"{path}, line {number}: {counted(width, 'field')}, numbered from 0"
            raise DataSettingError(key, f"{rule}: {shown(cells)}", seen=str(field))
    if fields.token % width == fields.tag % width:
        rule = f"words and tags are the same field; {path}, line {number}: {shown(cells)}"
        raise DataSettingError("data.tag_column", rule, seen=str(fields.tag))
    return width


def _sentence(path: Path, block: list[Line], width: int, fields: ConllFields) -> Sentence:
    for number, cells in block:
        if len(cells) != width:
            raise DataError(
                f"{path}, line {number}: {counted(len(cells), 'field')} where the first line "
                f"has {width}: {shown(cells)}. Each word needs its tag, and a blank line ends a "
                "sentence"
            )
        for what, field in (("word", fields.token), ("tag", fields.tag)):
            if not cells[field].strip():
                raise DataError(f"{path}, line {number}: the {what} is empty: {shown(cells)}")
    words = tuple(cells[fields.token].strip(" ") for _, cells in block)
    tags = tuple(cells[fields.tag].strip() for _, cells in block)
    return Sentence(block[0][0], words, tags)
