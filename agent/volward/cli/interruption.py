"""Ctrl-C, SIGTERM and a closed terminal: the running step is finished first, then volward stops with status 130.

Children have a session of their own (host/run.py), so the terminal's signal reaches volward alone. While a
person is asked something (keys/prompt.py) the signal interrupts at once.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTICE = b"\nvolward: stopping; a step that is running is finished first\n"


class Interruption:
    """Remembers that the person asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def watched(self) -> Iterator["Interruption"]:
        """Take over the signals for the length of an operation. Only in the main thread."""
        before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        # Not print(): the signal may have come in the middle of one, and a text stream is not reentrant.
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), _NOTICE)
