"""Progress of an operation: one line a step, with the time that it took."""

import sys
import threading
import time

from volward.cli.interruption import Interruption
from volward.model import Action
from volward.operations.provision import Watcher


class StepPrinter(Watcher):
    """Writes each step to standard error: on a terminal when it begins and when it ends, else when it ends."""

    def __init__(self, interruption: Interruption, *, side_by_side: bool = False) -> None:
        self._interruption = interruption
        self._begun: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._live = sys.stderr.isatty() and not side_by_side

    def step(self, volume: str, action: Action) -> None:
        with self._lock:
            self._begun[volume, action.name] = time.monotonic()
            if self._live:
                print(f"  {volume}: {action.what} ...", end="", file=sys.stderr, flush=True)

    def step_done(self, volume: str, action: Action) -> None:
        with self._lock:
            took = time.monotonic() - self._begun.pop((volume, action.name))
            start = f"\r  {volume}: {action.what}" if self._live else f"  {volume}: {action.what}"
            print(f"{start}: done ({took:.1f} s)", file=sys.stderr, flush=True)

    def interrupted(self) -> bool:
        return self._interruption.asked
