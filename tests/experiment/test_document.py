"""Reading YAML: lines, limits, and the traps that are put right."""

from pathlib import Path

import pytest

from runner.errors import ExperimentError, Problem
from runner.experiment import document
from runner.experiment.document import LARGEST_FILE_BYTES, parse_document, read_document


def parse(text: str | bytes) -> dict[str, object]:
    content = text.encode() if isinstance(text, str) else text
    return parse_document(content, shown="f.yaml", what="an experiment").value


def refusal(text: str | bytes) -> list[Problem]:
    with pytest.raises(ExperimentError) as info:
        parse(text)
    return list(info.value.problems)


def test_parse_document_reads_values_by_the_rules_of_scalars() -> None:
    value = parse("a: 1e-5\nb: no\nc: 'no'\nd: '5'\ne: [1, on]\nf:\ng: |\n  1\n")
    assert value == {
        "a": 1e-5, "b": "no", "c": "no", "d": "5", "e": [1, "on"], "f": None, "g": "1\n",
    }  # fmt: skip


def test_parse_document_keeps_keys_as_they_are_spelt() -> None:
    assert parse("no: 1\n1: 2\n1e3: 3\n") == {"no": 1, "1": 2, "1e3": 3}


def test_parse_document_gives_the_line_of_every_key_and_item() -> None:
    """Fails where every item's line is the first."""
    text = "a:\n  b: 1\n\n  # why\n  c:\n    - 5\n    - d: 6\n"
    marks = parse_document(text.encode(), shown="f.yaml", what="an experiment").marks
    lines = {path: mark.line for path, mark in marks.places.items()}
    assert lines == {
        (): 1, ("a",): 1, ("a", "b"): 2, ("a", "c"): 5,
        ("a", "c", 0): 6, ("a", "c", 1): 7, ("a", "c", 1, "d"): 7,
    }  # fmt: skip


def test_parse_document_with_a_byte_order_mark_reads_it() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_parse_document_names_every_duplicate_key_with_the_first_line() -> None:
    """Fails where the last of two keys is taken."""
    messages = [str(problem) for problem in refusal("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")]
    assert messages == [
        "f.yaml:4: b.c: this key is already there, on line 3",
        "f.yaml:5: a: this key is already there, on line 1",
    ]


def test_parse_document_names_every_line_indented_with_tabs() -> None:
    """Fails without `_refuse_tabs`."""
    problems = refusal("a:\n\tb: 1\n\tc: 1\n")
    assert [problem.line for problem in problems] == [2, 3]
    assert problems[0].rule == "tabs are not allowed in indentation; use spaces"


def test_parse_document_with_a_tab_after_a_key_is_refused() -> None:
    """Fails where PyYAML's own words are all (`_explain`)."""
    assert str(refusal("a: 1\nb:\t1\n")[0]) == "f.yaml:2: tabs are not allowed; use spaces"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1: the file is empty; it should hold an experiment"),
        ("# only this\n", "f.yaml:1: the file is empty; it should hold an experiment"),
        ("- 1\n", "f.yaml:1: the file should hold an experiment, a mapping of keys to values "
                  "(seen: [1])"),
        ("just text", "f.yaml:1: the file should hold an experiment, a mapping of keys to values "
                      "(seen: 'just text')"),
        ("a: 1\nb: c: 2\n", "f.yaml:2: there is a second ':' on this line, or the indentation "
                            "does not match the line above"),
        ("a: 1\n b: 2\n", "f.yaml:2: there is a second ':' on this line, or the indentation does "
                          "not match the line above"),
        ("a: 1\nb\n", "f.yaml:3: a key needs a ':' after it"),
        ("a:\n  - 1\n - 2\n", "f.yaml:3: the indentation does not match the lines above"),
        ("a: [1, 2\nb: 3\n", "f.yaml:2: a bracket or brace is not closed, or a comma is missing"),
        ("a: 'x\nb: 3\n", "f.yaml:3: a quotation mark is not closed"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: a file holds one experiment; remove what follows '---'"),
        ("a: @x\n", "f.yaml:1: a value that starts with this character needs quotation marks"),
        ("a: - 1\n", "f.yaml:1: a list item (-) begins on a line of its own"),
        ("a: | text\n", "f.yaml:1: after | or > the text begins on the next line"),
        ("a: ? x\n", "f.yaml:1: a '?' cannot stand here; in text it needs quotation marks"),
        ("  a: 1\nb: 2\n", "f.yaml:2: the indentation does not match the lines above"),
        ("a: *x\n", "f.yaml:1: the alias (*name) has no anchor (&name) before it"),
        ("a: &x 1\nb: &x 2\n", "f.yaml:2: an anchor (&name) is defined twice"),
        ("a: 1\n? [b]\n: 2\n", "f.yaml:2: a key must be a word"),
        ("'': 1\n", "f.yaml:1: a key must be a word"),
        ("a: {<<: {b: 1}}\n", "f.yaml:1: a: merge keys (<<) are not supported; write the keys "
                             "out"),
        ('a: "\\0"\n', "f.yaml:1: a: control characters are not allowed (seen: '\\x00')"),
        ('a: "\\ud800"\n', "f.yaml:1: a: control characters are not allowed (seen: '\\ud800')"),
    ],
)  # fmt: skip
def test_parse_document_of_a_wrong_text_says_what_and_where(text: str, message: str) -> None:
    assert [str(problem) for problem in refusal(text)] == [message]


def test_parse_document_refuses_every_tag() -> None:
    """Fails where the composer looks at no tag."""
    text = "a: !!python/object/apply:os.system [ls]\nb: !!float 1\nc: ! d\n"
    problems = refusal(text)
    assert [problem.line for problem in problems] == [1, 2, 3]
    assert problems[0].rule == "tags (!name) are not allowed"
    assert problems[0].seen == "tag:yaml.org,2002:python/object/apply:os.system"


def test_parse_document_with_an_escape_beyond_unicode_is_refused() -> None:
    """Fails where PyYAML's bare ValueError is let through."""
    assert refusal('a: "\\U00110000"\n')[0].rule.startswith("is not YAML")


def test_parse_document_that_is_not_utf8_names_the_byte_and_line() -> None:
    assert str(refusal(b"a: 1\nb: \xff\n")[0]) == (
        "f.yaml:2: is not UTF-8 text; save it as UTF-8 (seen: byte 0xff)"
    )
    assert "UTF-8" in refusal("a: 1".encode("utf-16"))[0].rule


def test_parse_document_with_control_characters_names_the_line() -> None:
    assert str(refusal(b"a: 1\nb: \x07\n")[0]) == (
        "f.yaml:2: control characters are not allowed in YAML (seen: '\\x07')"
    )


def test_parse_document_with_an_alias_unfolds_it() -> None:
    assert parse("a: &x [1]\nb: *x\n") == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
        "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
        "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n",
        "a: &a [*a, *a]\n",
        "a: " + "[" * 3000,
        "a:\n" + "- " * 3000 + "1\n",
        "a: [" + "1," * 20_000 + "]\n",
    ],
    ids=["billion-laughs", "contains-itself", "brackets", "dashes", "long-list"],
)  # fmt: skip
def test_parse_document_that_unfolds_without_end_is_refused(text: str) -> None:
    problems = refusal(text)
    assert problems[-1].rule == "nested deeper than 40 or more than 10000 values"
    assert problems[-1].line is not None


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 3000, "a:\n" + "- " * 3000 + "1\n", "a: [" + "1," * 20_000 + "]\n"],
    ids=["brackets", "dashes", "long-list"],
)
def test_composer_alone_refuses_what_nests_or_goes_on_without_end(text: str) -> None:
    """Fails where the composer does not count."""
    tree = document._TreeReader("f.yaml")
    with pytest.raises(ExperimentError, match="nested deeper than 40 or more than 10000 values"):
        document._compose(text, "f.yaml", tree)
    assert tree.places == {}  # its own guard was not asked


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a, *a]\n"], ids=["laughs", "in-itself"])
def test_tree_alone_refuses_anchors_that_unfold_without_end(text: str) -> None:
    """Fails where the reader of the tree does not count."""
    tree = document._TreeReader("f.yaml")
    node = document._compose(text, "f.yaml", tree)  # each value is there once, so there are few
    with pytest.raises(ExperimentError, match="nested deeper than 40 or more than 10000 values"):
        tree.value(node, ())


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001), ("1.e-3", 0.001), ("1E3", 1000.0), ("-1e-999", 0.0),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("NO", "NO"), ("y", "y"),
        ("null", None), ("~", None), ("", None), ("Null", None), ("none", "none"),
        ("010", "010"), ("0o17", "0o17"), ("0x1F", "0x1F"), ("0b1", "0b1"), ("1_000", "1_000"),
        ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("12:30:45.5", "12:30:45.5"),
        ("2026-11-22", "2026-11-22"), ("2026-11-22 10:00:00", "2026-11-22 10:00:00"),
        ("true", True), ("'true'", "true"), ('"1e-3"', "1e-3"), ("=", "="),
    ],
)  # fmt: skip
def test_parse_document_falls_into_none_of_yaml_1_1s_traps(written: str, value: object) -> None:
    """Fails where `no` and `on` are booleans. Fails where a number may have no exponent."""
    (found,) = parse(f"a: {written}\n").values()
    assert found == value
    assert type(found) is type(value)


def test_read_document_of_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"a" * (LARGEST_FILE_BYTES + 1))
    with pytest.raises(ExperimentError, match=r"huge\.yaml:1: is too large for an experiment"):
        read_document(path, shown="huge.yaml", what="an experiment")


def test_read_document_of_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="cannot be read: Is a directory"):
        read_document(tmp_path, shown="x", what="an experiment")
