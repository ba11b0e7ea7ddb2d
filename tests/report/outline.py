"""Reads a page as a browser would, strictly enough to catch what does not nest."""

from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "img"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects elements and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if self._open and self._open[-1] not in {"script", "style"}:
            self.text.append(data)

    @property
    def words(self) -> str:
        """All visible text, white space folded."""
        return " ".join(" ".join(self.text).split())
