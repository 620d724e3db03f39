"""A remark on a volume: what is, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """A sentence on what is and one on what to do; a ``problem`` is why a volume in use is not ok."""

    what: str
    resolution: str
    problem: bool = True
