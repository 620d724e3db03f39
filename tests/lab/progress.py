"""What the builder is doing, for a person who waits for it: a line a step, with the time it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say `what` is being done, and how long it took when it is done. Steps may not be nested."""
    started = time.monotonic()
    # On a terminal the line is completed in place; in a log each line stands by itself.
    terminal = sys.stderr.isatty()
    print(f"  ◌ {what} …", end="" if terminal else "\n", file=sys.stderr, flush=True)
    mark = "✗"
    try:
        yield
        mark = "✓"
    finally:
        took = time.monotonic() - started
        back = "\r\033[K" if terminal else ""
        print(f"{back}  {mark} {what} ({took:.1f} s)", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """One line of information."""
    print(text, file=sys.stderr, flush=True)
