"""Progress of an operation: one line a step, with the time that it took."""

import contextlib
import sys
import threading
import time

from volward.cli.interruption import Interruption
from volward.model import Action, ProviderKind
from volward.operations.watcher import Watcher


class StepPrinter(Watcher):
    """Writes each step to standard error: on a terminal when it begins and when it ends, else when it ends.

    ``whole_lines`` is for volumes side by side and for steps that ask somebody: nothing is then left half a line.
    """

    def __init__(self, interruption: Interruption, *, whole_lines: bool = False) -> None:
        self._interruption = interruption
        self._begun: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._live = sys.stderr.isatty() and not whole_lines

    def step(self, volume: str, action: Action) -> None:
        with self._lock:
            self._begun[volume, action.name] = time.monotonic()
            if self._live:
                asks = action.provider in (ProviderKind.PROMPT, ProviderKind.RECOVERY)
                _write(f"  {volume}: {action.what} ..." + ("\n" if asks else ""))

    def step_done(self, volume: str, action: Action) -> None:
        self._ended(volume, action, "done")

    def step_failed(self, volume: str, action: Action) -> None:
        self._ended(volume, action, "not done")

    def interrupted(self) -> bool:
        return self._interruption.asked

    def _ended(self, volume: str, action: Action, how: str) -> None:
        with self._lock:
            took = time.monotonic() - self._begun.pop((volume, action.name))
            start = "\r" if self._live else ""
            _write(f"{start}  {volume}: {action.what}: {how} ({took:.1f} s)\n")


def _write(text: str) -> None:
    """A terminal that was closed is no reason to leave an operation half done."""
    with contextlib.suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)
