"""The table of cuts of a rotation: every step of the journal, for each kind of key, and how it is ended afterwards.

A cut is at one of the three points of tests/faults/cuts.py, or between two writes of one step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest
from tests.faults.cuts import POINTS, Power

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


class Key(StrEnum):
    """Whose key is rotated, and what is cut: the rotation; with its old key going at once (now) or when its grace is

    over (due); or the giving up of one that was cut before (back).
    """

    CREDENTIAL = "credential"
    CREDENTIAL_NOW = "credential-now"
    KV = "kv"
    KV_NOW = "kv-now"
    KV_DUE = "kv-due"
    KV_BACK = "kv-back"
    TRANSIT = "transit"
    TRANSIT_NOW = "transit-now"
    TPM2 = "tpm2"
    TPM2_BACK = "tpm2-back"
    RECOVERY = "recovery"

    @property
    def store(self) -> str:
        return self.value.partition("-")[0]

    @property
    def way(self) -> str:
        """Of tests/faults/guest/cut.py: "", "now", "due" or "back"."""
        return self.value.partition("-")[2]

    @property
    def provider(self) -> str:
        return "vault" if self.is_in_vault else self.store

    @property
    def is_in_vault(self) -> bool:
        return self.store in ("kv", "transit")

    @property
    def removes_old(self) -> bool:
        """Whether the old keyslot is gone when it has ended; the TPM's always goes at once."""
        return self.way in ("now", "due") or self.store == "tpm2"

    @property
    def old(self) -> str:
        """The old keyslot: 0 for the key of a store, 1 for the second key of a volume (TPM or recovery)."""
        return "1" if self.store in ("tpm2", "recovery") else "0"

    @property
    def has_begin(self) -> bool:
        """Whether the operation's begin is a place of its own; the other ways share it."""
        return self.way in ("", "due")


class End(StrEnum):
    """How the unfinished rotation is ended."""

    RESUME = "resume"
    AGAIN = "again"  # by `volward rotate`
    ABORT = "abort"


def _of_a_store(provider: str) -> tuple[str, ...]:
    made = (f"{step}-successor:{provider}" for step in ("create", "enrol", "describe"))
    return (*made, "retire-keyslot:0")


STEPS = {
    Key.CREDENTIAL: _of_a_store("credential"),
    Key.CREDENTIAL_NOW: ("revoke-keyslot:0",),
    Key.KV: _of_a_store("vault"),
    Key.KV_NOW: ("revoke-keyslot:0",),
    Key.KV_DUE: ("revoke-keyslot:0",),
    Key.KV_BACK: ("reinstate-keyslot:0", "drop-successor:1"),
    Key.TRANSIT: _of_a_store("vault"),
    Key.TRANSIT_NOW: ("revoke-keyslot:0",),
    Key.TPM2: ("park-token:tpm2", "reenrol-tpm2:tpm2", "revoke-keyslot:1"),
    Key.TPM2_BACK: ("drop-successor:2", "unpark-token:tpm2"),
    Key.RECOVERY: (
        "create-successor:recovery",
        "enrol-successor:recovery",
        "describe-successor:recovery",
        "retire-keyslot:1",
    ),
}
# Where a rotation was cut before it is given up: the most there is to take back.
CUT_BEFORE = {Key.KV_BACK: "retire-keyslot:0", Key.TPM2_BACK: "reenrol-tpm2:tpm2"}
INSIDE = (
    (Key.CREDENTIAL_NOW, "revoke-keyslot:0", "token-left"),
    (Key.KV_DUE, "revoke-keyslot:0", "token-left"),
    (Key.KV_BACK, "drop-successor:1", "keyslot-left"),
    (Key.TPM2_BACK, "drop-successor:2", "keyslot-left"),
    (Key.TPM2, "reenrol-tpm2:tpm2", "without-token"),
    (Key.TPM2, "revoke-keyslot:1", "token-left"),
    (Key.RECOVERY, "create-successor:recovery", "handed-over"),
)
# Of `make test`: what two kinds of key do alike, one shows. A key wrapped by Vault is made in another way than one
# kept there, and keyslots are removed alike.
EVERY_RUN = {
    Key.CREDENTIAL_NOW: ("revoke-keyslot:0",),
    Key.KV: STEPS[Key.KV],
    Key.TRANSIT: ("create-successor:vault",),
    Key.TPM2: ("reenrol-tpm2:tpm2",),
}


@dataclass(frozen=True)
class RotationCut:
    """One cut; ``name`` is also the test's id."""

    power: Power
    key: Key
    step: str
    point: str
    end: End

    @property
    def name(self) -> str:
        return f"{self.power}-{self.key}-{self.step.partition(':')[0]}-{self.point}-{self.end}"

    @property
    def recovery(self) -> bool:
        """Whether the volume has a recovery key at all: Argon2id is slow under emulation."""
        return self.key is Key.RECOVERY

    @property
    def cut_before(self) -> str:
        """The step in which the rotation had been cut that is given up; "" when there was none."""
        return CUT_BEFORE.get(self.key, "")

    @property
    def no_way_back(self) -> bool:
        """The old keyslot had begun to go: an abort is refused, and the rotation finished."""
        return self.step.startswith("revoke-keyslot")


_ENDS = {Power.KILL: (End.RESUME, End.ABORT), Power.CUT: (End.AGAIN, End.ABORT)}


def _table() -> tuple[RotationCut, ...]:
    """Each point by SIGKILL and by a power cut, of which one is given up, and the other finished, in turn."""
    cuts = []
    for key in Key:
        places = [(step, point) for step in STEPS[key] for point in POINTS]
        places += [(step, point) for inside, step, point in INSIDE if inside is key]
        places += [("begin", "done")] if key.has_begin else []
        for number, (step, point) in enumerate(places):
            for at, power in enumerate(Power):
                cuts.append(RotationCut(power, key, step, point, _ENDS[power][(number + at) % 2]))
    return tuple(cuts)


CUTS = _table()


def in_every_run(cut: RotationCut) -> bool:
    """Whether `make test` has it: what each step does once, powers, points and ends shared out."""
    if cut.step not in EVERY_RUN.get(cut.key, ()):
        return False
    powers, shift = list(Power), list(Key).index(cut.key)
    if cut.point not in POINTS:
        return False
    at = STEPS[cut.key].index(cut.step) + shift
    return cut.power is powers[at % 2] and POINTS[at % len(POINTS)] == cut.point


def params(power: Power) -> list[ParameterSet]:
    """Return the cuts of one kind of power for pytest.mark.parametrize, each with its name."""
    return [
        pytest.param(cut, id=cut.name, marks=() if in_every_run(cut) else pytest.mark.full)
        for cut in CUTS
        if cut.power is power
    ]
