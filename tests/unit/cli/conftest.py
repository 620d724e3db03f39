"""Fixtures of the command line's tests."""

import signal
from collections.abc import Iterator

import pytest
from tests.unit.cli.driver import cli
from tests.unit.host.recording import recording

__all__ = ["cli", "recording"]
_FROM_OUTSIDE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _signals_as_on_a_terminal() -> Iterator[None]:
    """Below nohup(1), and in the background of a script, signals are ignored, and every child inherits that."""
    before = {number: signal.getsignal(number) for number in _FROM_OUTSIDE}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
