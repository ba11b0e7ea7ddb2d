"""What messages quote of other libraries' errors."""


def first_line(err: BaseException) -> str:
    """The first line of what an error says, or its type where it says nothing."""
    lines = str(err).strip().splitlines()
    return lines[0] if lines else type(err).__name__
