"""The worst mistakes of a text task as an HTML page: the browser has the fonts of every script."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from runner.experiment import LabelKind
from runner.report.mistakes import Mistake
from runner.report.tagged_words import sentence

if TYPE_CHECKING:
    from runner.data import Text

_HEADINGS = {
    LabelKind.CLASS: "The surest wrong predictions first.",
    LabelKind.CLASSES: "Missed: a label that holds and was not predicted. Wrong: the reverse.",
    LabelKind.NUMBER: "The largest errors first.",
    LabelKind.TAGS: (
        "The sentences with the most wrong words first. Under a wrong word: its tag, struck "
        "out, and the predicted one. Entities that were found are underlined."
    ),
}
# About four lines; the rest opens at a click, and a whole book does not go into a page.
_LEAD_CHARACTERS = 360
_MAX_CHARACTERS = 6000
_BLANK_LINES = re.compile(r"\n\s*\n")


def worst_texts(
    mistakes: Sequence[Mistake],
    kind: LabelKind,
    *,
    text: "Callable[[str], Text]",
    title: str = "",
) -> str:
    """The whole page, nothing external, texts escaped.

    Args:
        mistakes: The worst first.
        kind: How the examples are labelled; of tags, `text` gives the words.
        text: Gives the text of an id.
        title: For example `reviews:1, trial 7`.
    """
    cards = [_card(mistake, kind, text(mistake.id)) for mistake in mistakes]
    return Template(_resource("worst.html")).substitute(
        title=escape(f"{title}: worst mistakes" if title else "worst mistakes"),
        style=f"{_resource('page.css')}\n{_resource('worst.css')}",
        name=escape(title),
        note=escape(_HEADINGS[kind]),
        cards="\n".join(cards),
    )


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8").strip()


def _card(mistake: Mistake, kind: LabelKind, text: "Text") -> str:
    pieces = (text,) if isinstance(text, str) else text
    if kind is LabelKind.TAGS:
        head, body = _tags_head(mistake), sentence([visible(word) for word in pieces], mistake)
    else:
        head, body = _head(mistake, kind), "".join(map(_paragraph, pieces))
    place = f"<code>{escape(visible(mistake.id))}</code>"
    return f'<section class="mistake"><header>{head}{place}</header>{body}</section>'


def _head(mistake: Mistake, kind: LabelKind) -> str:
    if kind is LabelKind.CLASSES:
        groups = (
            ("missed", mistake.missed, "missed"),
            ("wrong", mistake.added, "added"),
            ("right", mistake.right, "right"),
        )
        pairs = [
            f"{word} {' '.join(_name(name, tone) for name in names)}"
            for word, names, tone in groups
            if names
        ]
    else:
        word = "labelled" if kind is LabelKind.CLASS else "actual"
        (predicted,), (true,) = mistake.predicted, mistake.true
        pairs = [
            f"predicted {_name(predicted, 'added')} {escape(mistake.measure)}",
            f"{word} {_name(true, 'right')}",
        ]
    return f"<p>{''.join(f'<span>{pair}</span> ' for pair in pairs)}</p>"


def _tags_head(mistake: Mistake) -> str:
    pairs = list(zip(mistake.true, mistake.predicted, strict=False))
    wrong = sum(true != predicted for true, predicted in pairs)
    return f"<p>{wrong} of {len(pairs)} words wrong</p>"


def _name(name: str, kind: str) -> str:
    return f'<b class="{kind}"><bdi>{escape(visible(name))}</bdi></b>'


def _paragraph(text: str) -> str:
    """One text, the part that does not fit folded away."""
    text = _BLANK_LINES.sub("\n", visible(text.strip()))
    lead = _lead(text)
    if len(text) <= lead:
        return f'<p class="text" dir="auto">{escape(text)}</p>'
    cut = _cut(text, lead)
    rest = text[cut:_MAX_CHARACTERS]
    end = " …" if len(text) > _MAX_CHARACTERS else ""
    return (
        f'<details class="text"><summary dir="auto">{escape(text[:cut])}'
        f"<i> … {len(text):,} characters</i></summary>"
        f'<p dir="auto">{escape(rest)}{end}</p></details>'
    )


def _lead(text: str) -> int:
    """How many characters fit in the first lines: half as many of a wide script."""
    wide = sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in text)
    return _LEAD_CHARACTERS * len(text) // (len(text) + wide) if text else 0


def _cut(text: str, lead: int) -> int:
    """Where the first lines end: at white space, unless the script has none."""
    at = max(text.rfind(space, 0, lead) for space in (" ", "\n"))
    return at if at > lead // 2 else lead


def visible(text: str) -> str:
    """A text without what no page may hold: control characters and halves of pairs."""
    return "".join(
        "\ufffd" if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" else c
        for c in text.replace("\r\n", "\n")
    )
