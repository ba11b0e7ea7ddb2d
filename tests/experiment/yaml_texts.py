"""Texts that look like YAML: anchors, aliases, tags, doubled keys, tabs, odd scalars, nesting."""

from typing import Any

from hypothesis import strategies as st

from runner.experiment.experiment import experiment_schema

TAGS = [
    "!!python/object/apply:os.system ",
    "!!python/object/apply:subprocess.Popen ",
    "!!python/object/new:os.system ",
    "!!python/name:os.system ",
    "!!python/module:os ",
    "!<tag:yaml.org,2002:python/object/apply:eval> ",
    "!!python/object/apply:builtins.exec ",
    "!!binary ",
    "!!set ",
    "!!float ",
    "! ",
    "!own!x ",
    "!%41 ",
    "!<",
]
ANCHORS = ["&a ", "&b ", "&", "&a &b ", "&a !!str "]
PREFIXES = [*[""] * 12, *ANCHORS, *TAGS]
SCALARS = [
    "no", "yes", "on", "off", "y", "n", "true", "False", "null", "~", "", "1e-3", "1e3", "1.e-3",
    "1e999", "-1e-999", ".nan", ".inf", "-.INF", "010", "0o17", "0x1F", "0b1", "1_000", "1:30",
    "190:20:30", "2026-11-22", "2026-11-22T10:00:00Z", "9" * 30, "-" + "9" * 400, "1.2.3", "=",
    "<<", "*a", "*b", "*", "'", '"', "''", '""', "'it''s'", '"\\x41"', '"\\ud800"', '"\\0"',
    '"\\U00110000"', '"\\U0001F600"', '"\\q"', "@x", "`x", "%x", "|", ">", "|2", ">-\n", "? x",
    "- x", "a: b", "a:b", "a #b", "#b", "[", "]", "{", "}", ",", ":", "?", "-", "---", "...",
    "\ufeff", "\u2028", "\x85", "\t", "é☃𝄞", "max", "auto", "none", "os.system('true')",
    "__import__('os').system('true')", "${HOME}", "{{x}}", "file:///etc/passwd",
]  # fmt: skip
JUNK = [
    "\t", " \t", " ", "  ", "   ", "- ", "? ", ": ", "&a", "*a", "<<: *a", "!!str", "---", "...",
    "%YAML 1.1", "%YAML 9.9", "%TAG ! x", "# c", "'", '"', "{", "}", "[", "]", ",", "|", ">", "@",
    "\ufeff", "\u2028", "\x85", "\x00", "\x07", "\r", "\ud7ff", "\ufffe",
]  # fmt: skip
HEADS = [*[""] * 8, "---\n", "%YAML 1.1\n---\n", "%YAML 2.0\n---\n", "%TAG ! tag:x:\n---\n",
         "\ufeff", "# c\n", "\n\n", "--- |\n", "--- &a\n", "\r\n"]  # fmt: skip
TAILS = [*[""] * 8, "\n---\nb: 1", "\n...", "\n... x", "\n\t", "\n---\n...\n---\n", "\n%", "\x00",
         "\n: ", "\n- "]  # fmt: skip


def schema_words() -> list[str]:
    """Every key that a section of an experiment may have."""
    schema = experiment_schema()
    words = set(schema["properties"])
    for part in schema["$defs"].values():
        words |= set(part.get("properties", {}))
    return sorted(words)


WORDS = schema_words()
KEYS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.sampled_from(SCALARS),
    st.sampled_from(["a", "b", "<<", "? a", "*a", "&a a", "[a]", "{a: 1}", '"a"', "name.x"]),
)
LEAVES = st.builds(
    lambda prefix, text: ("text", prefix + text),
    st.sampled_from(PREFIXES),
    st.one_of(
        st.sampled_from(SCALARS),
        st.sampled_from(WORDS),
        st.integers().map(str),
        st.floats().map(repr),
        st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,? \t1.e<~=\\", max_size=8),
        st.text(max_size=4),
    ),
)


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    prefix, is_flow = st.sampled_from(PREFIXES), st.booleans()
    return st.one_of(
        st.tuples(st.just("list"), prefix, st.lists(inner, max_size=5), is_flow),
        st.tuples(
            st.just("mapping"), prefix, st.lists(st.tuples(KEYS, inner), max_size=6), is_flow
        ),
    )


NODES = st.recursive(LEAVES, _grown, max_leaves=25)
EDITS = st.lists(
    st.tuples(
        st.integers(0, 999), st.sampled_from(["insert", "begin", "double", "drop"]),
        st.sampled_from(JUNK), st.integers(0, 999),
    ),
    max_size=3,
)  # fmt: skip


@st.composite
def yaml_texts(draw: st.DrawFn) -> str:
    """A document in block and flow style, mostly right, with some damage done to it."""
    parts = draw(st.lists(st.tuples(KEYS, NODES), max_size=6))
    lines = _block(("mapping", "", parts, False), 0)[1:]
    for place, how, junk, column in draw(EDITS):
        lines = _damaged(lines, place, how, junk, column)
    newline = draw(st.sampled_from([*["\n"] * 9, "\r\n", "\r"]))
    return draw(st.sampled_from(HEADS)) + newline.join(lines) + draw(st.sampled_from(TAILS))


def explosions() -> st.SearchStrategy[str]:
    """Anchors that refer to one another: as deep, and as wide, as one likes."""
    return st.builds(_explosion, st.integers(1, 30), st.integers(1, 12), st.booleans())


def _explosion(depth: int, width: int, is_mapping: bool) -> str:
    lines = ["a0: &a0 [x, x]"]
    for level in range(1, depth):
        before = f"*a{level - 1}"
        if is_mapping:
            inner = "{" + ", ".join(f"k{n}: {before}" for n in range(width)) + "}"
        else:
            inner = "[" + ", ".join([before] * width) + "]"
        lines.append(f"a{level}: &a{level} {inner}")
    return "\n".join(lines) + "\n"


def flow_text(node: Any) -> str:
    """A node in one line, whatever style it asks for."""
    if node[0] == "text":
        return str(node[1])
    kind, prefix, parts, _ = node
    if kind == "list":
        return f"{prefix}[{', '.join(map(flow_text, parts))}]"
    inner = ", ".join(f"{key}: {flow_text(value)}" for key, value in parts)
    return f"{prefix}{{{inner}}}"


def _block(node: Any, depth: int) -> list[str]:
    """The lines of a node; the first of them belongs behind its key."""
    if node[0] == "text" or node[3]:
        return [flow_text(node)]
    kind, prefix, parts, _ = node
    lines, indent = [prefix], "  " * depth
    for part in parts:
        key, value = ("- ", part) if kind == "list" else (f"{part[0]}: ", part[1])
        first, *rest = _block(value, depth + 1)
        lines += [f"{indent}{key}{first}", *rest]
    return lines


def _damaged(lines: list[str], place: int, how: str, junk: str, column: int) -> list[str]:
    if not lines:
        return [junk]
    place %= len(lines)
    line = lines[place]
    column %= len(line) + 1
    changed = {
        "insert": [line[:column] + junk + line[column:]],
        "begin": [junk + line],
        "double": [line, line],
        "drop": [],
    }[how]
    return [*lines[:place], *changed, *lines[place + 1 :]]
