"""A row of the board as the control socket tells it: times of the wall, and what is waited for in words. Pure."""

from volward.service.board import Row, State
from volward.service.live import Failure, LiveVolume
from volward.service.wall_clock import WallClock


def live_volume(row: Row, clock: WallClock) -> LiveVolume:
    """Return what is told of one volume."""
    last = row.last
    failed = last is not None and bool(last.code)
    is_open = row.state is State.OPEN
    degraded = last.degraded if is_open and last is not None else ()
    if row.sight is not None:
        seen = row.sight.reasons if is_open else tuple(filter(None, [row.sight.other]))
        degraded = (*degraded, *seen)
    return LiveVolume(
        name=row.volume.name,
        state=str(row.state),
        since=clock.tell(row.since),
        mount_point=row.volume.mount_point,
        opened_by=last.opened_by if is_open and last is not None else "",
        degraded=degraded,
        waits_for=_waits_for(row),
        last_try=None if row.last_try is None else clock.tell(row.last_try),
        next_try=None if row.next_try is None else clock.tell(row.next_try),
        failure=Failure(last.code, last.error, last.resolution) if failed and last and not is_open else None,
        consumers_waiting=() if is_open else row.volume.consumers,
    )


def _waits_for(row: Row) -> str:
    match row.state:
        case State.AWAY | State.LOST:
            return "its device"
        case State.WAITING:
            return row.last.error if row.last else "the next try"
        case State.STOPPED | State.BY_HAND | State.UNMOUNTED:
            return "a person"
        case _:
            return ""
