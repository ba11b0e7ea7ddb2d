"""Reading a YAML file into plain values and the line of every key, with every flaw it has.

Built on PyYAML's composer, which keeps lines; its constructor, which holds YAML 1.1's traps
(see field-notes on `1e-5`, `no` and duplicate keys), is not used.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from runner.errors import ExperimentError, Problem
from runner.experiment.marks import KeyPath, Mark, Marks, dotted
from runner.experiment.scalars import plain_scalar, printable

LARGEST_FILE_BYTES = 256 * 1024
"""Experiment files are a few KiB; PyYAML reads about 100 KiB a second."""
MOST_NODES = 10_000
DEEPEST_NESTING = 40

_EXPLANATIONS = {
    "mapping values are not allowed": "there is a second ':' on this line, or the indentation "
    "does not match the line above",
    "could not find expected ':'": "a key needs a ':' after it",
    "expected <block end>": "the indentation does not match the lines above",
    "expected ',' or": "a bracket or brace is not closed, or a comma is missing",
    "expected the node content": "a value is missing, or a bracket or brace is not closed",
    "found unexpected end of stream": "a quotation mark is not closed",
    "expected '<document start>'": "the indentation does not match the lines above",
    "expected a comment or a line break": "after | or > the text begins on the next line",
    "cannot start any token": "a value that starts with this character needs quotation marks",
    "mapping keys are not allowed": "a '?' cannot stand here; in text it needs quotation marks",
    "sequence entries are not allowed": "a list item (-) begins on a line of its own",
    "expected a single document": "a file holds one experiment; remove what follows '---'",
    "found undefined alias": "the alias (*name) has no anchor (&name) before it",
    "found duplicate anchor": "an anchor (&name) is defined twice",
}


@dataclass(frozen=True)
class Document:
    """A file's content as plain dicts, lists and scalars, and where each part was written."""

    value: dict[str, object]
    marks: Marks


def read_document(path: Path, *, shown: str, what: str) -> Document:
    """The document in a file.

    Args:
        path: The file to read.
        shown: The file as error messages name it.
        what: What the file should hold, for messages ("an experiment").
    Raises:
        ExperimentError: If the file cannot be read or is not a YAML mapping; all flaws at once.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST_FILE_BYTES else b""
    except OSError as err:
        raise _refusal(shown, None, f"cannot be read: {err.strerror or err}") from err
    if size > LARGEST_FILE_BYTES:
        limit = f"{LARGEST_FILE_BYTES // 1024} KiB"
        raise _refusal(shown, 1, f"is too large for {what} (at most {limit})", f"{size} bytes")
    return parse_document(content, shown=shown, what=what)


def parse_document(content: bytes, *, shown: str, what: str) -> Document:
    """The document in a file's bytes; see `read_document`."""
    text = _decode(content, shown)
    _refuse_tabs(text, shown)
    value, marks = parse_text(text, shown=shown)
    if not isinstance(value, dict):
        if value is None:
            raise _refusal(shown, 1, f"the file is empty; it should hold {what}")
        rule = f"the file should hold {what}, a mapping of keys to values"
        raise _refusal(shown, 1, rule, printable(value))
    return Document(value, marks)


def parse_text(text: str, *, shown: str) -> tuple[object, Marks]:
    """The value of a YAML text and the line of each of its keys.

    Raises:
        ExperimentError: If it is not YAML as it is understood here.
    """
    reader = _TreeReader(shown)
    value = reader.value(_compose(text, shown, reader), ())
    if reader.problems:
        raise ExperimentError(reader.problems)
    return value, Marks(shown, reader.places)


def _decode(content: bytes, shown: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        byte = f"byte 0x{content[err.start]:02x}"
        raise _refusal(shown, line, "is not UTF-8 text; save it as UTF-8", byte) from err
    if found := Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        rule = "control characters are not allowed in YAML"
        raise _refusal(shown, line, rule, repr(found.group()))
    return text


def _refuse_tabs(text: str, shown: str) -> None:
    tabbed = [n for n, line in enumerate(text.split("\n"), 1) if re.match(r" *\t", line)]
    if tabbed:
        rule = "tabs are not allowed in indentation; use spaces"
        raise ExperimentError(Problem(shown, line, "", rule, r"'\t'") for line in tabbed)


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's composer with limits and without tags; BaseResolver leaves scalars as text."""

    def __init__(self, text: str, tree: "_TreeReader") -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._tree = tree
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            self._tree.refuse(line, (), "tags (!name) are not allowed", str(event.tag))
        self._depth += 1
        self._count += 1
        if self._depth > DEEPEST_NESTING or self._count > MOST_NODES:
            raise _TooLarge(line)
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]
        self._depth -= 1
        return node


class _TooLarge(Exception):
    """The document nests too deep, or unfolds into too many values."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


_TOO_LARGE = f"nested deeper than {DEEPEST_NESTING} or more than {MOST_NODES} values"


def _compose(text: str, shown: str, tree: "_TreeReader") -> yaml.Node | None:
    try:
        return _Composer(text, tree).get_single_node()
    except _TooLarge as err:
        raise _refusal(shown, err.line, _TOO_LARGE) from err
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        line = mark.line + 1 if mark else 1
        raise _refusal(shown, line, _explain(err, text)) from err
    except (yaml.YAMLError, ValueError, OverflowError) as err:
        # An escape such as "\U00110000" ends in a bare ValueError inside PyYAML.
        raise _refusal(shown, 1, f"is not YAML: {' '.join(str(err).split())}") from err


def _explain(err: yaml.MarkedYAMLError, text: str) -> str:
    problem = err.problem or err.context or "it cannot be read"
    mark = err.problem_mark
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return "tabs are not allowed; use spaces"
    for start, words in _EXPLANATIONS.items():
        if start in problem or start in (err.context or ""):
            return words
    return f"is not YAML: {problem}"


class _TreeReader:
    """Turns composed nodes into plain values and collects lines and flaws on the way."""

    def __init__(self, shown: str) -> None:
        self.places: dict[KeyPath, Mark] = {}
        self.problems: list[Problem] = []
        self._shown = shown
        self._count = 0

    def refuse(self, line: int, path: KeyPath, rule: str, seen: str | None = None) -> None:
        """Notes a flaw and lets the reading go on."""
        self.problems.append(Problem(self._shown, line, dotted(path), rule, seen))

    def value(self, node: yaml.Node | None, path: KeyPath) -> object:
        """The plain value of a node."""
        if node is None:
            return None
        line = node.start_mark.line + 1
        self.places.setdefault(path, Mark(self._shown, line))
        self._count += 1
        if self._count > MOST_NODES or len(path) > DEEPEST_NESTING:
            raise ExperimentError(
                [*self.problems, Problem(self._shown, line, dotted(path[:3]), _TOO_LARGE)]
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, n)) for n, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # YAML has no fourth kind
        return self._scalar(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        text: str = node.value
        if Reader.NON_PRINTABLE.search(text):
            rule = "control characters are not allowed"
            self.refuse(node.start_mark.line + 1, path, rule, ascii(text)[:80])
            return None
        return text if node.style else plain_scalar(text)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                first = self.places[here].line
                self.refuse(line, here, f"this key is already there, on line {first}")
                continue
            self.places[here] = Mark(self._shown, line)
            values[key] = self.value(value_node, here)
        return values

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            self.refuse(line, path, "a key must be a word")
            return None
        if node.value == "<<":
            self.refuse(line, path, "merge keys (<<) are not supported; write the keys out")
            return None
        if Reader.NON_PRINTABLE.search(node.value):
            self.refuse(line, path, "control characters are not allowed", ascii(node.value)[:80])
            return None
        return str(node.value)


def _refusal(shown: str, line: int | None, rule: str, seen: str | None = None) -> ExperimentError:
    return ExperimentError([Problem(shown, line, "", rule, seen)])
