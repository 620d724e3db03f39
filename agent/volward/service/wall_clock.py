"""The wall's clock, for telling a person the times that the daemon counts by CLOCK_MONOTONIC (clock_gettime(2))."""

from __future__ import annotations

from dataclasses import dataclass

_SET_SECONDS = 1.0  # slewing (adjtime(3)) stays below


@dataclass(frozen=True)
class WallClock:
    """Both clocks at one moment, so that a time of one can be told as a time of the other."""

    monotonic: float
    wall: float

    def tell(self, moment: float) -> float:
        """Return a time of CLOCK_MONOTONIC as seconds since the epoch."""
        return self.wall + moment - self.monotonic

    def now(self, monotonic: float, wall: float) -> WallClock:
        """Return itself, so that what is told twice is the same; another one when the wall's clock was set since."""
        return WallClock(monotonic, wall) if abs(self.tell(monotonic) - wall) > _SET_SECONDS else self
