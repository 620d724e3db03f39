"""Ctrl-C and SIGTERM: the running step is finished first, then volward stops with status 130.

Children have a session of their own (host/run.py), so the terminal's signal reaches volward alone. While a
person is asked something (keys/prompt.py) the signal interrupts at once.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Remembers that the person asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def watched(self) -> Iterator["Interruption"]:
        """Take over the two signals for the length of an operation. Only in the main thread."""
        before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        print("\nvolward: finishing the running step, then stopping", file=sys.stderr, flush=True)
