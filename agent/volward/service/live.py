"""What the daemon tells of itself and its volumes while it runs, and what the control socket needs of the daemon. Pure.

io.volward.Control.varlink has the same fields by the same names.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Failure:
    """How the last try to open a volume failed: what happened, what to do, and the code (`volward explain`)."""

    code: str
    what: str
    resolution: str


@dataclass(frozen=True)
class Pass:
    """One pass of the daemon's worker over volumes."""

    begun_at: float  # seconds since the epoch, as all times here
    ended_at: float | None = None  # None: it runs
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LiveVolume:
    """One volume as the daemon knows it now. Nothing of it is a secret."""

    name: str
    state: str  # the daemon's word: docs/reference/control-socket.md lists them
    since: float
    mount_point: str = ""  # empty: swap
    opened_by: str = ""  # the provider whose key opened it; empty when that is not known
    degraded: tuple[str, ...] = ()  # sentences: what failed before that provider, a mount gone read-only, ...
    waits_for: str = ""  # a device, a key provider, a person
    last_try: float | None = None  # when the last pass over it ended
    next_try: float | None = None  # None: only an event or a person brings it
    failure: Failure | None = None
    consumers_waiting: tuple[str, ...] = ()  # units and containers that start once it is mounted


@dataclass(frozen=True)
class LiveStatus:
    """Everything that the daemon tells."""

    revision: int  # rises with each change, from one start of the daemon to its end
    version: str
    started_at: float
    configured_at: float | None = None  # when a good configuration was last read
    problems: tuple[str, ...] = ()  # of the configuration that was read after it; the daemon goes on with the older one
    last_pass: Pass | None = None
    volumes: tuple[LiveVolume, ...] = ()


@dataclass(frozen=True)
class Reloaded:
    """What came of reading the configuration again; with problems the daemon goes on with what it had."""

    good: bool
    problems: tuple[str, ...] = ()


class Live(Protocol):
    """The daemon, as the control socket sees it. No method of it changes a volume."""

    def snapshot(self) -> LiveStatus:
        """Return what is known now; at once, without looking at the host."""

    async def reload(self) -> Reloaded:
        """Read the configuration again. What goes wrong with that is in the answer, and not raised."""

    async def changed(self, since: int) -> None:
        """Return once the snapshot's revision is beyond ``since``; at once when it is already."""
