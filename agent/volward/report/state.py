"""The state of a volume in one word, and its own reason. Pure.

The words are published (docs/reference/status.md and status.schema.json): monitoring goes by them.
"""

from enum import StrEnum

from volward.model import MappingState, Presence, StoreKind
from volward.report.remark import Remark
from volward.report.volume import SeenVolume

_RESTORE = "Restore the header from a backup: `volward header restore {}`."


class State(StrEnum):
    """What a volume is now; the first that applies, from the worst to the best."""

    SUSPENDED = "suspended"  # in the middle of a re-encryption: only a reboot helps
    ZOMBIE = "zombie"  # open, and its device is gone
    FOREIGN = "foreign"  # the device or the mapping's name carries something that is not this volume
    UNKNOWN = "unknown"  # it could not be told
    ABSENT = "absent"  # the device is not there
    DAMAGED = "damaged"  # both copies of the header are damaged, or it is gone
    NEW = "new"  # not provisioned yet
    CLOSED = "closed"
    UNMOUNTED = "unmounted"  # open, not mounted
    DEGRADED = "degraded"  # in use, with something to see to
    OK = "ok"


def state_of(one: SeenVolume) -> tuple[State, list[Remark]]:
    """Return the state, and why it is that."""
    mapped, name = one.seen.mapping, one.spec.name
    explain = "`volward plan` says more."
    match mapped.state:
        case MappingState.SUSPENDED:
            return State.SUSPENDED, [Remark(mapped.detail, "Reboot the host. Never run `dmsetup resume`.")]
        case MappingState.ZOMBIE:
            stop = f"Stop what uses it, unmount it, `dmsetup remove {mapped.name}`, then `volward open {name}`."
            return State.ZOMBIE, [Remark(mapped.detail, f"Look at the disk and its cabling. {stop}")]
        case MappingState.FOREIGN:
            return State.FOREIGN, [Remark(mapped.detail, f"volward leaves it alone. `dmsetup info {mapped.name}`")]
        case MappingState.UNKNOWN:
            return State.UNKNOWN, [Remark(mapped.detail, explain)]
        case _:
            return _state_of_device(one)


def _state_of_device(one: SeenVolume) -> tuple[State, list[Remark]]:
    spec, seen = one.spec, one.seen
    if seen.device_presence is Presence.UNKNOWN:
        return State.UNKNOWN, [Remark(seen.device_error, "Unknown is not absent: look at `dmesg`, then look again.")]
    if seen.device_presence is Presence.ABSENT:
        if spec.is_file and seen.pin is None and not one.pin_error:
            return State.NEW, [Remark("It is not provisioned yet.", "`volward plan` shows what would be done.", False)]
        return State.ABSENT, [
            Remark(
                seen.device_error,
                "Plug it in again, or mend `device` in the configuration (`volward init`).",
            )
        ]
    if spec.store is StoreKind.SCRATCH:
        return _state_of_scratch(one)
    if seen.header is None:
        return _state_without_header(one)
    if seen.pin is not None and seen.pin.luks_uuid != seen.header.uuid:
        return State.FOREIGN, [
            Remark(
                f"The device carries the LUKS UUID {seen.header.uuid}; pinned is {seen.pin.luks_uuid}.",
                f"It may be another disk: compare its serial number. If it is right, `volward repin {one.spec.name}` "
                "accepts it.",
            )
        ]
    if seen.pin is None and not one.pin_error and not seen.unfinished:
        return State.FOREIGN, [
            Remark(
                f"The device has a LUKS2 header (label {seen.header.label or 'none'}) that volward did not make here.",
                f"If it is this volume's, moved from another host: `volward repin {spec.name}`.",
            )
        ]
    return _state_of_mapping(one)


def _state_without_header(one: SeenVolume) -> tuple[State, list[Remark]]:
    spec, seen = one.spec, one.seen
    match seen.header_presence:
        case Presence.UNKNOWN:
            return State.UNKNOWN, [Remark(seen.header_error, "Look at `dmesg`; the disk may be failing.")]
        case Presence.PRESENT if "LUKS1" in seen.header_error:
            return State.FOREIGN, [Remark(seen.header_error, "volward leaves it alone.")]
        case Presence.PRESENT:
            return State.DAMAGED, [Remark(seen.header_error, f"Do not format. {_RESTORE.format(spec.name)}")]
    half_made = seen.unfinished is not None
    if half_made or (seen.pin is None and not one.pin_error):
        what = "Its provisioning has not ended." if half_made else "It is not provisioned yet."
        return State.NEW, [Remark(what, f"`volward plan {spec.name}` shows what would be done.", half_made)]
    return State.DAMAGED, [
        Remark(
            "The device of this volume has no LUKS2 header any more.",
            f"Do not format. If it is the right disk: {_RESTORE.format(spec.name)}",
        )
    ]


def _state_of_scratch(one: SeenVolume) -> tuple[State, list[Remark]]:
    seen = one.seen
    if not seen.scratch_uuid and seen.pin is None and not one.pin_error:
        return State.NEW, [Remark("It is not claimed yet.", "`volward plan` shows what would be done.", False)]
    if seen.pin is not None and seen.scratch_uuid != seen.pin.luks_uuid:
        found = f"the marker {seen.scratch_uuid}" if seen.scratch_uuid else "no marker"
        return State.FOREIGN, [
            Remark(f"The device carries {found}; pinned is {seen.pin.luks_uuid}.", "It may be another disk.")
        ]
    return _state_of_mapping(one)


def _state_of_mapping(one: SeenVolume) -> tuple[State, list[Remark]]:
    spec, seen = one.spec, one.seen
    if seen.mapping.state is MappingState.ABSENT:
        return State.CLOSED, []
    if spec.mount_point is None:
        in_use = State.OK if seen.swap_active else State.UNMOUNTED
        return in_use, [] if seen.swap_active else [Remark("It is not in use as swap.", f"`volward open {spec.name}`")]
    if one.mounted_here:
        return State.OK, []
    if seen.mount is not None:
        what = f"{seen.mount.source} is mounted at {spec.mount_point}, and not this volume."
        return State.UNMOUNTED, [Remark(what, f"Unmount it, then `volward open {spec.name}`.")]
    return State.UNMOUNTED, [
        Remark(f"It is open and not mounted at {spec.mount_point}.", f"`volward open {spec.name}`")
    ]
