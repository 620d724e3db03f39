"""Ctrl-C, SIGTERM and a closed terminal: the running step is finished first, then volward stops with status 130.

Children have a session of their own (host/run.py), so the terminal's signal reaches volward alone. While a
person is asked something (keys/prompt.py) the signal interrupts at once.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Action = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
_NOTICE = b"\nvolward: stopping; a step that is running is finished first\n"


def take_over(action: Callable[[int, FrameType | None], None]) -> Mapping[int, Action]:
    """Have the signals that end a program do something else; return what they did. An ignored one (nohup(1)) stays."""
    actions = {int(number): signal.getsignal(number) for number in _SIGNALS}
    before = {number: known for number, known in actions.items() if known not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, action)
    return before


class Interruption:
    """Remembers that the person asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def watched(self) -> Iterator["Interruption"]:
        """Take over the signals for the length of an operation. Only in the main thread."""
        before = take_over(self._take)
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
