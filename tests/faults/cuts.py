"""The table of cuts: every point at which the first `apply` of a volume is cut short, and how.

A cut is at a step of the journal, at one of three points: `begun` (the journal says that the step begins, nothing
was done), `acted` (the step's work is done, the journal does not say so yet) and `done` (it does). One more
stands before the first step, and some lie inside a step, between two of its writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


class Kind(StrEnum):
    """What the volume is: everything on a disk of its own, or the least that there is, in a file."""

    BLOCK = "block"
    FILE = "file"


class Power(StrEnum):
    """What ends volward: SIGKILL alone, or the whole host."""

    KILL = "sigkill"
    CUT = "power-cut"


STEPS = {
    Kind.BLOCK: (
        "create-key:credential",
        "pin",
        "format",
        "write-token:credential",
        "enrol-tpm2:tpm2",
        "enrol-recovery:recovery",
        "open",
        "make-file-system",
        "seal-mount-point",
        "write-units",
        "mount",
        "prepare-store",
    ),
    Kind.FILE: (
        "create-file",
        "create-key:credential",
        "pin",
        "format",
        "write-token:credential",
        "open",
        "make-file-system",
        "seal-mount-point",
        "write-units",
        "mount",
        "prepare-store",
    ),
}
# What only a volume in a file does.
OF_FILES = ("create-file",)
POINTS = ("begun", "acted", "done")
# Between two writes of one step; guest/cut.py knows how to get there.
INSIDE = (
    ("format", "without-keyslot"),  # what a luksFormat that was killed leaves
    ("format", "twice"),  # the same, and the next run is cut in its first step
    ("enrol-tpm2:tpm2", "without-token"),
    ("enrol-recovery:recovery", "handed-over"),
    ("enrol-recovery:recovery", "without-token"),
)


@dataclass(frozen=True)
class Cut:
    """One cut; ``name`` is also the test's id."""

    power: Power
    kind: Kind
    step: str
    point: str

    @property
    def name(self) -> str:
        return f"{self.power}-{self.kind}-{self.step.partition(':')[0]}-{self.point}"

    @property
    def recovery(self) -> bool:
        """Whether a recovery key is enrolled. Argon2id is slow under emulation, so only around its own step."""
        return self.kind is Kind.BLOCK and self.step.partition(":")[0] in ("enrol-tpm2", "enrol-recovery", "open")

    @property
    def seal(self) -> str:
        """What seals the credential. The TPM is slow under emulation, so only where a key is made on a disk."""
        return "auto" if self.kind is Kind.BLOCK and self.step.startswith("create-key") else "host"

    @property
    def format_done(self) -> bool:
        """luksFormat had ended, keyslot and all: from here on the volume key stays the same."""
        steps = STEPS[self.kind]
        if self.step == "begin" or self.is_random or self.point in ("without-keyslot", "twice"):
            return False
        at, formats = steps.index(self.step), steps.index("format")
        return at > formats or (at == formats and self.point in ("acted", "done"))

    @property
    def in_every_run(self) -> bool:
        """Every step once a run, by SIGKILL and by power in turn; `--full` has them all.

        Of a volume in a file, the step that is its own. Inside a step, SIGKILL: power would lose no more than that.
        """
        if self.point not in POINTS:
            return self.power is Power.KILL
        if self.step == "begin":
            return self.kind is Kind.BLOCK
        if self.kind is Kind.FILE and self.step not in OF_FILES:
            return False
        at, powers = STEPS[self.kind].index(self.step), list(Power)
        return self.power is powers[at % len(powers)] and self.point == POINTS[at % len(POINTS)]

    @property
    def is_random(self) -> bool:
        """Somewhere inside the step, wherever the clock says."""
        return self.point.startswith("after ")


def _table() -> tuple[Cut, ...]:
    cuts = []
    for power in Power:
        for kind in Kind:
            cuts.append(Cut(power, kind, "begin", "done"))
            cuts += [Cut(power, kind, step, point) for step in STEPS[kind] for point in POINTS]
        cuts += [Cut(power, Kind.BLOCK, step, point) for step, point in INSIDE]
    return tuple(cuts)


CUTS = _table()


def params(power: Power) -> list[ParameterSet]:
    """Return the cuts of one kind for pytest.mark.parametrize, each with its name."""
    return [
        pytest.param(cut, id=cut.name, marks=() if cut.in_every_run else pytest.mark.full)
        for cut in CUTS
        if cut.power is power
    ]
