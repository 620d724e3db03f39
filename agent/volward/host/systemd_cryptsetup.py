"""systemd-cryptsetup: what PID 1 opens by itself, a line of /etc/crypttab each. See systemd-cryptsetup-generator(8)."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from volward.host import unit_state, volume_units

_GENERATED = Path("/run/systemd/generator")
_QUESTIONS = Path("/run/systemd/ask-password")


def unit_name(mapping: str) -> str:
    """Return the unit that opens a mapping."""
    return f"systemd-cryptsetup@{volume_units.escape_path(Path(mapping))}.service"


def has_line(mapping: str, *, generated: Path = _GENERATED) -> bool:
    """Say whether /etc/crypttab had a line of this mapping when PID 1 last read its units."""
    return (generated / unit_name(mapping)).exists()


def is_opening(mappings: Sequence[str]) -> bool:
    """Say whether PID 1 is opening one of these mappings, or about to. Raises ToolFailedError, ToolTimeoutError."""
    states = unit_state.show([unit_name(mapping) for mapping in mappings])
    return any(state.has_job or state.active_state == "activating" for state in states)


def asks_a_person(*, questions: Path = _QUESTIONS) -> bool:
    """Say whether systemd-cryptsetup has no key for a mapping and waits for a person's (systemd-ask-password(1))."""
    return any(_is_of_cryptsetup(path) for path in questions.glob("ask.*"))


def _is_of_cryptsetup(question: Path) -> bool:
    with contextlib.suppress(OSError):  # answered meanwhile
        return "\nId=cryptsetup:" in question.read_text(errors="replace")
    return False
