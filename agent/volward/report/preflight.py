"""Preflight: what was checked for the next boot, and what each check found. Pure.

The checks of a volume that need no key are here; what opening it would refuse, and what its providers do, is in
operations/preflight.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from volward.header_backup.freshness import Freshness
from volward.model import CopyState, MountUnitState, StoreKind, VolumeSpec
from volward.report import condition
from volward.report.state import State
from volward.report.volume import SeenVolume

SCHEMA_VERSION = 1  # rises when a field goes away or changes its meaning; new fields may come at any time
HOST = "(host)"
HEADINGS = ("VOLUME", "CHECK", "RESULT", "FOUND")

# In these nothing else can be told of a volume.
_CANNOT_OPEN = frozenset(
    {State.SUSPENDED, State.ZOMBIE, State.FOREIGN, State.UNKNOWN, State.ABSENT, State.DAMAGED, State.NEW}
)


class Verdict(StrEnum):
    PASSED = "passed"
    WARNING = "warning"  # the boot will get by, and somebody should look
    FAILED = "failed"  # the next boot needs a person


# How the verdicts look on a terminal (rich's styles).
STYLES: dict[str, str] = {Verdict.PASSED: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red"}


@dataclass(frozen=True)
class Check:
    """One check. ``volume`` is HOST where it is about no single one; a passed check has no resolution."""

    volume: str
    what: str
    verdict: Verdict
    found: str
    resolution: str = ""

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Return its cells, as HEADINGS names them."""
        return self.volume, self.what, str(self.verdict), self.found


def passed(checks: Sequence[Check], *, strict: bool = False) -> bool:
    """Whether the next boot needs no person; ``strict``: and there is nothing to see to."""
    bad = {Verdict.FAILED, Verdict.WARNING} if strict else {Verdict.FAILED}
    return not any(check.verdict in bad for check in checks)


def summary(checks: Sequence[Check], volumes: int) -> str:
    """Return the sentence below the table."""
    failed = sorted({check.volume for check in checks if check.verdict is Verdict.FAILED})
    if failed:
        return f"The next boot needs a person: {', '.join(failed)}."
    what = "1 volume" if volumes == 1 else f"{volumes} volumes"
    warnings = sum(check.verdict is Verdict.WARNING for check in checks)
    more = f" {warnings} warning{'s' if warnings > 1 else ''}: see above." if warnings else ""
    return f"The next boot opens {what} without a person.{more}"


def as_json(checks: Sequence[Check]) -> dict[str, object]:
    """Return the whole document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": passed(checks),
        "checks": [
            {
                "volume": None if check.volume == HOST else check.volume,
                "check": check.what,
                "result": str(check.verdict),
                "found": check.found,
                "resolution": check.resolution or None,
            }
            for check in checks
        ],
    }


def can_be_opened(one: SeenVolume) -> bool:
    """Whether there is a volume of ours whose keys can be tested."""
    return condition.judge(one).state not in _CANNOT_OPEN


def of_volume(one: SeenVolume) -> list[Check]:
    """Return what can be told of a volume without a key."""
    judged = condition.judge(one)
    if judged.state in _CANNOT_OPEN:
        why = judged.remarks[0]
        return [Check(one.spec.name, "volume", Verdict.FAILED, why.what, why.resolution)]
    found = [_device(one), *_boot(one), *_operations(one)]
    if one.spec.store is not StoreKind.SCRATCH:
        found += [_header(one), _header_backup(one), _recovery(one)]
    return found


def as_the_boot_sees(spec: VolumeSpec, checks: Sequence[Check]) -> list[Check]:
    """Return a volume's checks as they count: one that the boot does not open cannot hold the boot up."""
    if spec.open_at_boot:
        return list(checks)
    return [replace(one, verdict=Verdict.WARNING) if one.verdict is Verdict.FAILED else one for one in checks]


def _device(one: SeenVolume) -> Check:
    spec, seen = one.spec, one.seen
    if one.pin_error:
        return _failed(one, "device", one.pin_error, f"`volward status {spec.name}` says more.")
    differs = seen.device.identity.differences(seen.pin.identity) if seen.device and seen.pin else ()
    if differs:
        accept = f"If that was done on purpose: `volward repin {spec.name}`. If not, look which disk this is."
        return _warning(one, "device", f"it changed since it was pinned ({'; '.join(differs)})", accept)
    if seen.device and seen.device.read_only and "ro" not in spec.mount_options:
        return _failed(one, "device", f"{seen.device.node} is read-only", "Look at `dmesg` and `blockdev --getro`.")
    node = seen.device.node if seen.device else spec.device
    return _passed(one, "device", f"{node}, as pinned")


def _boot(one: SeenVolume) -> list[Check]:
    spec, seen = one.spec, one.seen
    mend = f"`volward apply {spec.name}` mends it."
    if not spec.open_at_boot:
        return [_passed(one, "boot", "not opened at boot, as the configuration says")]
    found = []
    if not seen.opens_at_boot:
        found.append(_failed(one, "boot", "the boot unit is missing or disabled", mend))
    if spec.mount_point is not None and seen.mount_unit is not MountUnitState.CURRENT:
        say = _failed if seen.mount_unit is MountUnitState.ABSENT else _warning
        found.append(say(one, "boot", f"its unit files are {seen.mount_unit}, not current", mend))
    return found or [_passed(one, "boot", "the boot unit is enabled and the unit files are current")]


def _operations(one: SeenVolume) -> list[Check]:
    if one.operations_error:
        return [_warning(one, "journal", one.operations_error, "`volward journal` says more.")]
    finish = "`volward resume` finishes it."
    return [
        _warning(one, "journal", f"{record.operation} has not ended", finish) for record in one.operations
    ]  # fmt: skip


def _header(one: SeenVolume) -> Check:
    header = one.seen.header
    if header is None:  # judged before; for the type
        return _failed(one, "header", one.seen.header_error, f"`volward header restore {one.spec.name}`")
    if header.damaged:
        what = f"one copy is not whole (primary {header.primary}, secondary {header.secondary})"
        unreadable = CopyState.UNKNOWN in (header.primary, header.secondary)
        mend = "The disk may be failing." if unreadable else f"`volward header repair {one.spec.name}` mends it."
        return _warning(one, "header", what, mend)
    return _passed(one, "header", "both copies are whole")


def _header_backup(one: SeenVolume) -> Check:
    backup, make = one.header_backup, f"`volward header backup {one.spec.name}` makes one."
    match backup.freshness if backup else Freshness.NONE:
        case Freshness.FRESH:
            return _passed(one, "header backup", "there is a proven one of this very header")
        case Freshness.STALE:
            return _warning(one, "header backup", "the header was changed since the newest one", make)
        case Freshness.NONE:
            return _warning(one, "header backup", "there is none", make)
        case _:
            said = backup.error if backup and backup.error else "it could not be compared with the header"
            return _warning(one, "header backup", said, "Look at the file system that it is on.")


def _recovery(one: SeenVolume) -> Check:
    if one.seen.recovery_confirmed:
        return _passed(one, "recovery key", "enrolled and confirmed by its owner")
    make = f"`volward recovery enrol {one.spec.name}` makes one."
    return _warning(one, "recovery key", "there is none that its owner confirmed", make)


def _passed(one: SeenVolume, what: str, found: str) -> Check:
    return Check(one.spec.name, what, Verdict.PASSED, found)


def _warning(one: SeenVolume, what: str, found: str, resolution: str) -> Check:
    return Check(one.spec.name, what, Verdict.WARNING, found, resolution)


def _failed(one: SeenVolume, what: str, found: str, resolution: str) -> Check:
    return Check(one.spec.name, what, Verdict.FAILED, found, resolution)
