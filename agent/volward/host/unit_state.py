"""What PID 1 says of units: one `systemctl show` for all of them. Follows systemctl(1), org.freedesktop.systemd1(5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from volward.errors import ToolFailedError
from volward.host import run

_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "Job",
    "ConditionResult",
    "ActiveEnterTimestampMonotonic",
    "InactiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
)
# Those of which `systemctl is-enabled` says yes: the boot, or another unit, wants it.
_ENABLED = frozenset({"enabled", "enabled-runtime", "alias", "static", "indirect", "generated", "transient"})


@dataclass(frozen=True)
class UnitState:
    """One unit. ``name`` is as it was asked for and ``identifier`` what PID 1 and its journal records call it.

    Times are microseconds of CLOCK_MONOTONIC; 0 means never, or forgotten since.
    """

    name: str
    identifier: str
    load_state: str
    active_state: str
    file_state: str
    has_job: bool
    condition_held: bool
    active_enter_usec: int
    inactive_enter_usec: int
    state_change_usec: int

    @property
    def enabled(self) -> bool:
        """Whether it is loaded, and neither masked nor disabled."""
        return self.load_state == "loaded" and self.file_state in _ENABLED

    @property
    def stopped(self) -> bool:
        return self.active_state in ("inactive", "failed")


def show(units: Sequence[str]) -> tuple[UnitState, ...]:
    """Return the state of each unit, in this order. Raises ToolFailedError, ToolTimeoutError."""
    if not units:
        return ()
    said = run.read(["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *units]).stdout
    blocks = said.strip("\n").split("\n\n")
    if len(blocks) != len(units):
        raise ToolFailedError(
            f"systemctl told of {len(blocks)} units where {len(units)} were asked for.",
            resolution="`systemctl show` with these units tells which one it does not know.",
            status=0,
        )
    return tuple(_state(name, block) for name, block in zip(units, blocks, strict=True))


def _state(name: str, block: str) -> UnitState:
    said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)

    def usec(timestamp: str) -> int:
        text = said.get(f"{timestamp}TimestampMonotonic", "")
        return int(text) if text.isdecimal() else 0

    return UnitState(
        name=name,
        identifier=said.get("Id") or name,
        load_state=said.get("LoadState", ""),
        active_state=said.get("ActiveState", ""),
        file_state=said.get("UnitFileState", ""),
        has_job=said.get("Job", "") not in ("", "0"),
        condition_held=said.get("ConditionResult") == "yes",
        active_enter_usec=usec("ActiveEnter"),
        inactive_enter_usec=usec("InactiveEnter"),
        state_change_usec=usec("StateChange"),
    )
