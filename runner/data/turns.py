"""How much work threads do at once, measured by what it takes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets threads work side by side as long as what they take together is not too much.

    First come, first served: who takes much is not overtaken for ever by those who take little.
    """

    def __init__(self, most: int) -> None:
        """Begin with nobody at work.

        Args:
            most: What all may take together, in any unit.
        """
        self._most = self._free = most
        self._next = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Waits until there is so much left, and has it for the block.

        Args:
            amount: In the unit of `most`; who needs more than there is works alone.
        """
        amount = min(amount, self._most)
        with self._next, self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()
