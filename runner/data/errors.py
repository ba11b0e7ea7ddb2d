"""The data room's own error: a setting that turned out wrong once the data were looked at."""

from runner.errors import DataError


class DataSettingError(DataError):
    """A key of the experiment's `data` section does not fit the data it names.

    Attributes:
        key: Dotted key in the experiment file, for example `data.label_column`.
        rule: What is wrong and what to do, in one sentence.
        seen: The value seen, or None.
        allowed: Values that would have done, where they can be listed.
    """

    def __init__(
        self, key: str, rule: str, *, seen: str | None = None, allowed: tuple[str, ...] = ()
    ) -> None:
        self.key, self.rule, self.seen, self.allowed = key, rule, seen, allowed
        shown = "" if seen is None else f" (seen: {seen})"
        super().__init__(f"{key}: {rule}{shown}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.key, self.rule, self.seen, self.allowed)


def _rebuilt(key: str, rule: str, seen: str | None, allowed: tuple[str, ...]) -> DataSettingError:
    """The same error on the other side of a pickle."""
    return DataSettingError(key, rule, seen=seen, allowed=allowed)


def named(names: list[str] | tuple[str, ...], *, at_most: int = 5) -> str:
    """Names joined by commas, with the number of those left out."""
    shown = ", ".join(names[:at_most])
    left_out = len(names) - at_most
    return f"{shown} and {left_out} more" if left_out > 0 else shown


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 file", "3 files", "2 classes"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
