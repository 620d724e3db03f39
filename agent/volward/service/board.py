"""The board: what the daemon knows of each volume, and what is to be done next. Pure; time and chance are passed in.

A volume is opened when its device and its key can be had: at once, and when that failed for a reason that passes,
again and again, with growing pauses that a change of the network or of the device cuts short. What somebody closed by
hand, or what a person has to look at, is left alone until they say so (`volward reload`, `volward open`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from volward.service.task import Ended, Task, Watched

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_WAITERS_PAUSE_SECONDS = 3600.0  # of an open volume, for who waits for it and cannot be seen to
FULL_PERCENT = 95


class State(StrEnum):
    """Of a volume, as the daemon sees it."""

    CLOSED = "closed"  # to be opened in the next pass
    OPENING = "opening"
    WAITING = "waiting"  # for its key, or for what else passes by itself
    AWAY = "away"  # its device is not there
    OPEN = "open"  # and mounted
    UNMOUNTED = "unmounted"  # by somebody: the mapping is there
    BY_HAND = "closed by hand"
    LOST = "lost"  # its device went away while it was open
    STOPPED = "stopped"  # a person has to look
    IDLE = "not for the boot"  # the configuration says so, and nobody opened it


@dataclass(frozen=True)
class Sight:
    """What is seen of a volume on the host now."""

    device: bool
    mapping: bool
    mounted: bool  # for swap: in use
    sequence: str = ""  # of the mapping (sysfs diskseq): another one is another mapping
    zombie: bool = False  # the mapping stands on a device that is gone
    read_only: bool = False  # the file system went read-only, or was mounted so
    errors: bool = False  # the file system has met some since it was last checked
    used_percent: int = 0  # of the file system's space
    changed: tuple[str, ...] = ()  # how its device differs from the one that was pinned
    other: str = ""  # what has the mapping's name, and is not the volume's; then nothing else of this look counts

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong with an open volume, as sentences without their end."""
        found = [self.other] if self.other else []
        if self.changed:
            differs = "; ".join(self.changed)
            found.append(f"its device is not as it was pinned ({differs}); `volward status` says what to do")
        if self.read_only:
            found.append("its file system is read-only")
        if self.errors:
            found.append("its file system has met errors since it was last checked (the kernel's log has them)")
        if self.used_percent >= FULL_PERCENT:
            found.append(f"its file system is full to {self.used_percent} %")
        return tuple(found)


@dataclass(frozen=True)
class Row:
    """One volume on the board."""

    volume: Watched
    state: State
    since: float  # seconds of CLOCK_MONOTONIC, as all times here
    sight: Sight | None = None
    next_try: float | None = None
    last_try: float | None = None  # when the last pass over it ended
    tries: int = 0  # in a row that failed
    last: Ended | None = None
    lost_usec: int | None = None  # when it was lost (CLOCK_MONOTONIC), until it is open again
    waited_for: bool = False  # it is open, and who waited for it is still to be seen to


@dataclass(frozen=True)
class Change:
    """A volume came into another state, or something was noticed of it: a line for the journal."""

    row: Row
    before: State
    remark: str = ""


class Board:
    """All volumes; every method returns what changed."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._rows: dict[str, Row] = {}
        self._chance = chance

    @property
    def rows(self) -> tuple[Row, ...]:
        """All volumes, in the order of the configuration."""
        return tuple(self._rows.values())

    def configure(self, volumes: Iterable[Watched], now: float, *, asked: bool = False) -> None:
        """Take over a configuration. What waits, or failed for good, is tried again: perhaps that was what was mended.

        ``asked``: a person asked for it, so what somebody closed is opened as well.
        """
        before, self._rows = self._rows, {}
        for volume in volumes:
            known = before.get(volume.name)
            used = known is not None and known.lost_usec is not None
            first = State.CLOSED if volume.opens or used else State.IDLE
            if volume.closed_by_hand and not asked:
                first = State.BY_HAND
            if known is None:
                self._rows[volume.name] = Row(volume, first, now)
            elif known.state in (State.STOPPED, State.WAITING, State.IDLE) or (asked and known.state is State.BY_HAND):
                self._rows[volume.name] = replace(known, volume=volume, state=first, since=now, next_try=None, tries=0)
            else:
                self._rows[volume.name] = replace(known, volume=volume)

    def see(self, sights: dict[str, Sight], now: float) -> tuple[Change, ...]:
        """Compare the host with the board; nothing that is being opened is judged meanwhile."""
        changes: list[Change] = []
        for name, sight in sights.items():
            row = self._rows.get(name)
            if row is not None and sight.other:
                changes += self._keep(row, sight)
            elif row is not None:
                state = _judged(row, sight)
                opened = state is State.OPEN and row.state is not State.OPEN
                after = replace(row, sight=sight)
                if opened:  # by somebody else: what was tried before says nothing of it
                    after = replace(after, waited_for=True, last=None, next_try=None, tries=0)
                changes += self._turn(row, after, state, now)
                changes += _noticed(row, self._rows[name])
        return tuple(changes)

    def take(self, now: float, *, deadline_seconds: float) -> Task | None:
        """Return the pass that is due, and note that it runs; None when there is nothing to do."""
        due = [row for row in self.rows if _is_due(row, now)]
        lost = [row for row in self.rows if _is_to_be_released(row, now)]
        waited_for = [row for row in self.rows if _has_waiters(row, now)]
        if not due and not lost and not waited_for:
            return None
        for row in waited_for:  # until somebody answers: then it was seen to
            self._rows[row.volume.name] = self._paused(row, now, longest=LONGEST_WAITERS_PAUSE_SECONDS)
        for row in (*due, *lost):
            self._rows[row.volume.name] = replace(row, state=State.OPENING, since=now, next_try=None)
        return Task(
            open=tuple(row.volume.name for row in due),
            release=tuple(row.volume.name for row in lost),
            revive=tuple(row.volume.name for row in waited_for),
            lost_usec={row.volume.name: row.lost_usec for row in lost if row.lost_usec is not None},
            deadline_seconds=deadline_seconds,
        )

    def ended(self, result: Ended, now: float) -> tuple[Change, ...]:
        """Note how a pass ended for one volume."""
        row = self._rows.get(result.name)
        if row is None:
            return ()
        after = replace(row, last=result, next_try=None, last_try=now)
        if not result.code:
            return self._turn(row, replace(after, tries=0, lost_usec=None), State.OPEN, now)
        if result.away and not (row.sight and row.sight.device):  # one that is seen is tried again with pauses
            return self._turn(row, replace(after, tries=0), State.AWAY, now)
        if result.needs_a_person and not result.away:
            return self._turn(row, replace(after, tries=0), State.STOPPED, now)
        return self._turn(row, self._paused(after, now), State.WAITING, now)

    def revived(self, name: str) -> None:
        """Note that who waited for an open volume was seen to."""
        row = self._rows.get(name)
        if row is not None:
            self._rows[name] = replace(row, waited_for=False, lost_usec=None, next_try=None, tries=0)

    def again(self, name: str, now: float) -> None:
        """Note that who waits for a volume could not be seen to, and is to be looked at again later."""
        row = self._rows.get(name)
        if row is not None and not row.waited_for:
            self._rows[name] = self._paused(replace(row, waited_for=True), now, longest=LONGEST_WAITERS_PAUSE_SECONDS)

    def released(self, result: Ended, now: float) -> tuple[Change, ...]:
        """Note how cleaning up after a device that went away ended: what something holds is tried again."""
        row = self._rows.get(result.name)
        if row is None:
            return ()
        after = replace(row, last=result, last_try=now)
        if not result.code:
            return self._turn(row, replace(after, tries=0, next_try=None), State.AWAY, now)
        if result.needs_a_person:
            return self._turn(row, replace(after, tries=0), State.STOPPED, now)
        return self._turn(row, self._paused(after, now), State.LOST, now)

    def abandoned(self, now: float, why: str = "") -> tuple[Change, ...]:
        """Note that a pass ended without a word about volumes that it was about: they are tried again."""
        changes: list[Change] = []
        for row in (row for row in self.rows if row.state is State.OPENING):
            lost = Ended(row.volume.name, code="VW0900", error=why or "The worker ended without an answer.")
            was_lost = row.sight is not None and row.sight.zombie
            changes += self.released(lost, now) if was_lost else self.ended(lost, now)
        return tuple(changes)

    def hurry(self, now: float) -> None:
        """Try what waits for a key again: the network has changed. However often it does, not all the time."""
        for row in self.rows:
            if row.state is State.WAITING and row.next_try is not None:
                soon = min(row.next_try, max(now, row.since + FIRST_PAUSE_SECONDS))
                self._rows[row.volume.name] = replace(row, next_try=soon, tries=0)

    def wake(self, name: str) -> None:
        """Have a volume opened that a person asked for."""
        row = self._rows.get(name)
        if row is not None and row.state in (State.STOPPED, State.BY_HAND, State.WAITING, State.IDLE, State.AWAY):
            self._rows[name] = replace(row, state=State.CLOSED, next_try=None, tries=0)

    def next_wake(self, now: float) -> float | None:
        """Return the seconds until something is due; None: only an event can make it."""
        times = [now for row in self.rows if row.state is State.CLOSED]
        times += [row.next_try or now for row in self.rows if _has_waiters(row)]
        times += [row.next_try for row in self.rows if row.state is State.WAITING and row.next_try is not None]
        times += [row.next_try or now for row in self.rows if _is_to_be_released(row)]
        return max(0.0, min(times) - now) if times else None

    def _keep(self, row: Row, sight: Sight) -> tuple[Change, ...]:
        """Note that something else has the name of its mapping: nothing is done about it, and it is told of once."""
        known = row.sight or Sight(device=sight.device, mapping=False, mounted=False)
        after = self._rows[row.volume.name] = replace(row, sight=replace(known, other=sight.other))
        return () if known.other == sight.other else (Change(after, after.state, sight.other),)

    def _paused(self, row: Row, now: float, *, longest: float = LONGEST_PAUSE_SECONDS) -> Row:
        pause = min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(row.tries, 20)) * (0.5 + self._chance() / 2)
        return replace(row, tries=row.tries + 1, next_try=now + pause)

    def _turn(self, before: Row, after: Row, state: State, now: float) -> tuple[Change, ...]:
        if state is before.state:
            self._rows[before.volume.name] = after
            return ()
        if state is State.LOST and after.lost_usec is None:
            after = replace(after, lost_usec=int(now * 1e6))
        self._rows[before.volume.name] = replace(after, state=state, since=now)
        return (Change(self._rows[before.volume.name], before.state),)


def _noticed(before: Row, after: Row) -> tuple[Change, ...]:
    """What has come, or gone, of a volume that was open and is."""
    if not (before.state is after.state is State.OPEN and before.sight and after.sight):
        return ()
    remarks = []
    if before.sight.sequence and before.sight.sequence != after.sight.sequence:
        remarks.append("its mapping is another one than before: somebody closed and opened it")
    known = before.sight.reasons if before.sight.mapping else ()  # of one that was closed nothing was told
    if known != after.sight.reasons:
        remarks.append("; ".join(after.sight.reasons) or "all is well again")
    return tuple(Change(after, after.state, remark) for remark in remarks)


def _is_due(row: Row, now: float) -> bool:
    if row.state is State.WAITING:
        return row.next_try is not None and row.next_try <= now
    return row.state is State.CLOSED


def _is_to_be_released(row: Row, now: float | None = None) -> bool:
    """Whether its mapping stands on nothing; with ``now``: and the pause since the last try is over."""
    if row.state is not State.LOST or row.sight is None or not row.sight.mapping:
        return False
    return now is None or row.next_try is None or row.next_try <= now


def _has_waiters(row: Row, now: float | None = None) -> bool:
    """Whether somebody who waits for it is to be seen to; with ``now``: and the pause since the last try is over."""
    if not row.waited_for or row.state is not State.OPEN:
        return False
    return now is None or row.next_try is None or row.next_try <= now


def _judged(row: Row, sight: Sight) -> State:
    """Return the state that follows from what is seen."""
    if row.state is State.OPENING:
        return row.state
    if sight.zombie:
        left = row.state is State.STOPPED and row.sight is not None and row.sight.zombie
        return State.STOPPED if left else State.LOST
    if sight.mapping:
        return State.OPEN if sight.mounted else _mapped(row)
    if not sight.device:
        return State.BY_HAND if row.state is State.BY_HAND else State.AWAY
    had = row.sight is not None and row.sight.mapping
    if row.state in (State.OPEN, State.UNMOUNTED) or (row.state in (State.WAITING, State.STOPPED) and had):
        return State.BY_HAND
    if row.state in (State.AWAY, State.LOST):
        return State.CLOSED if row.volume.opens or row.lost_usec is not None else State.IDLE
    return row.state


def _mapped(row: Row) -> State:
    """An open mapping that is not mounted: either somebody unmounted it, or the next pass goes on from there."""
    if row.state in (State.OPEN, State.UNMOUNTED):
        return State.UNMOUNTED
    return row.state if row.state in (State.WAITING, State.STOPPED, State.IDLE, State.BY_HAND) else State.CLOSED
