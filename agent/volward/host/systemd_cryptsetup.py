"""systemd-cryptsetup: what PID 1 opens by itself, a line of /etc/crypttab each. See systemd-cryptsetup-generator(8)."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from volward.host import systemd, unit_state, volume_units
from volward.host.unit_state import UnitState

_GENERATED = Path("/run/systemd/generator")
_QUESTIONS = Path("/run/systemd/ask-password")
_ENDS_SECONDS = 5.0  # to end by itself, and once it was told to
_PAUSE_SECONDS = 0.2


def unit_name(mapping: str) -> str:
    """Return the unit that opens a mapping."""
    return f"systemd-cryptsetup@{volume_units.escape_path(Path(mapping))}.service"


def has_line(mapping: str, *, generated: Path = _GENERATED) -> bool:
    """Say whether /etc/crypttab had a line of this mapping when PID 1 last read its units."""
    return (generated / unit_name(mapping)).exists()


def is_opening(mappings: Sequence[str], *, longest_seconds: float) -> bool:
    """Say whether PID 1 is about to open one of these mappings, or has been opening it for less than this.

    Raises ToolFailedError, ToolTimeoutError.
    """
    states = unit_state.show([unit_name(mapping) for mapping in mappings])
    return any(_seconds(state) < longest_seconds if _is_activating(state) else state.has_job for state in states)


def give_way(mapping: str) -> None:
    """Have PID 1's own opening of a mapping end well that volward has opened: the key it waits for is not needed.

    It would ask a person until one answers, and the mount is ordered after it. What it runs is ended, and one that
    failed is started again: it looks for the mapping before it asks for a key, and finds it active. Does nothing
    without a line in /etc/crypttab. Raises ToolFailedError, ToolTimeoutError.
    """
    if not has_line(mapping):
        return
    unit = unit_name(mapping)
    state = _settled(unit, seconds=0.0 if asks_a_person() else _ENDS_SECONDS)
    if _is_activating(state):
        systemd.end_main_process(unit)
        state = _settled(unit, seconds=_ENDS_SECONDS)
    if state.active_state == "failed":
        systemd.start_soon(unit)


def _settled(unit: str, *, seconds: float) -> UnitState:
    """Return the unit's state, once it is not about to change, or after this time."""
    limit = time.monotonic() + seconds
    while _is_activating(state := unit_state.show([unit])[0]) and time.monotonic() < limit:
        time.sleep(_PAUSE_SECONDS)
    return state


def _is_activating(state: UnitState) -> bool:
    return state.active_state == "activating"


def _seconds(state: UnitState) -> float:
    return time.monotonic() - state.state_change_usec / 1e6


def asks_a_person(*, questions: Path = _QUESTIONS) -> bool:
    """Say whether systemd-cryptsetup has no key for a mapping and waits for a person's (systemd-ask-password(1))."""
    return any(_is_of_cryptsetup(path) for path in questions.glob("ask.*"))


def _is_of_cryptsetup(question: Path) -> bool:
    with contextlib.suppress(OSError):  # answered meanwhile
        return "\nId=cryptsetup:" in question.read_text(errors="replace")
    return False
