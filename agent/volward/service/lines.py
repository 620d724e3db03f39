"""What the daemon says in the journal and in `systemctl status`. Pure, but for the local time zone.

A line begins with its priority (sd-daemon(3)).
"""

import time
from collections.abc import Sequence

from volward.service.board import Change, Row, State
from volward.service.wall_clock import WallClock

READING = "Reading the configuration"
_WARNING, _NOTICE, _INFO = "<4>", "<5>", "<6>"
_BAD = (State.LOST, State.STOPPED, State.WAITING, State.UNMOUNTED)


def of_change(change: Change) -> str:
    """Return the line of one volume that came into another state."""
    row = change.row
    if change.remark:
        return f"{_WARNING}{row.volume.name}: {change.remark}"
    priority = _WARNING if row.state in _BAD else _INFO if row.state is State.OPENING else _NOTICE
    return f"{priority}{row.volume.name}: {_said(row)}"


def status(rows: Sequence[Row], clock: WallClock, problems: str = "") -> str:
    """Return one line on all volumes: how many are open, and what the others wait for.

    It is read long after it was said, so it has the time of the next try, and not how long that is from now.
    """
    if problems:
        return f"The configuration cannot be read: {' '.join(problems.split())[:200]}"
    if not rows:
        return "No volumes are configured"
    opened = sum(row.state is State.OPEN for row in rows)
    wanted = [row for row in rows if row.state not in (State.OPEN, State.IDLE)]
    others = "; ".join(_briefly(row, clock) for row in wanted)
    return f"{opened} of {len(rows)} volumes open" + (f"; {others}" if others else "")


def _briefly(row: Row, clock: WallClock) -> str:
    name = row.volume.name
    if row.state is State.WAITING and row.next_try is not None:
        at = time.strftime("%H:%M:%S", time.localtime(clock.tell(row.next_try)))
        return f"{name} is tried again at {at}{_code(row)}"
    if row.state is State.STOPPED:
        return f"{name} needs a person{_code(row)}"
    return f"{name} is {row.state}"


def _code(row: Row) -> str:
    return f" ({row.last.code})" if row.last else ""


def _said(row: Row) -> str:
    last = row.last
    match row.state:
        case State.OPEN:
            by = f" (key: {last.opened_by})" if last and last.opened_by else ""
            degraded = f"; degraded: {'; '.join(last.degraded)}" if last and last.degraded else ""
            started = f"; started {', '.join(last.started)}, which waited for it" if last and last.started else ""
            return f"open and in use{by}{degraded}{started}"
        case State.WAITING if last:
            return f"not open, and tried again later: {last.error} ({last.code})"
        case State.STOPPED if last:
            return f"not open, and a person has to look: {last.error} {last.resolution} ({last.code})"
        case State.LOST if last and last.code:
            return f"its device went away while it was open, and its mapping stays open: {last.error} ({last.code})"
        case State.LOST:
            return "its device went away while it was open; its mapping is closed, and opened again when it is back"
        case State.AWAY:
            return f"its device {row.volume.device} is not there; it is opened when it appears"
        case State.UNMOUNTED:
            return f"somebody unmounted it; `volward open {row.volume.name}` mounts it"
        case State.BY_HAND:
            return f"somebody closed it; it stays closed until `volward open {row.volume.name}` or `volward reload`"
        case _:
            return str(row.state)
