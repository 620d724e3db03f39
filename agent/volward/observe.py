"""observe: one look at everything that plan, verify and status need to know of a volume.

Read-only, and needs no secret. Unknown is not absent: what could not be read is said to be unknown. Uses
sysfs, mountinfo, volward's own header parser, wipefs (only when a blank proof is asked for) and blkid (only
on an open mapping that is not mounted: not for status, nor to open one whose superblock says what it is).
"""

import stat
from dataclasses import replace
from pathlib import Path

from volward import journal, pins
from volward.errors import DeviceNotFoundError, DeviceUnknownError, JournalError, ToolFailedError, ToolMissingError
from volward.host import account, blank, block, file_system, header, mapping, marker, mount, superblock, volume_units
from volward.model import (
    Device,
    Directory,
    Header,
    Mapping,
    MappingState,
    Mount,
    MountPointState,
    MountUnitState,
    Observation,
    Pin,
    Place,
    Presence,
    StoreKind,
    Unfinished,
    VolumeSpec,
)
from volward.surroundings import Surroundings


def observe(
    spec: VolumeSpec, *, prove_blank: bool = False, to_open: bool = False, surroundings: Surroundings | None = None
) -> Observation:
    """Look at one volume; ``prove_blank`` also reads the places where a device that is to be formatted
    could keep signatures. ``to_open`` goes on without a journal that cannot be read: opening never formats, and a
    damaged record must not keep a volume closed. ``surroundings`` are fresh ones, from a caller that shares a part
    of them among volumes. Raises JournalError when the journal or the pin cannot be read."""
    pin, unfinished = pins.read(spec.name), _unfinished(spec.name, to_open=to_open)
    return _look(spec, surroundings or Surroundings(), pin, unfinished, prove_blank=prove_blank, to_open=to_open)


def look_again(spec: VolumeSpec, before: Observation, surroundings: Surroundings) -> Observation:
    """Look at what opening a volume changes: its mapping, what that carries, and its mount. The rest is as before."""
    try:
        place = block.place_of_volume(spec)
    except (DeviceNotFoundError, DeviceUnknownError):
        place = None  # the mapping is then said to be unknown
    return _in_use(spec, before, place, surroundings, to_open=True)


def _unfinished(volume: str, *, to_open: bool) -> Unfinished | None:
    try:
        return journal.unfinished_provisioning(volume)
    except JournalError:
        if to_open:
            return None  # `volward status` and `volward journal` tell of it
        raise


def glance(
    spec: VolumeSpec, surroundings: Surroundings, *, pin: Pin | None, unfinished: Unfinished | None
) -> Observation:
    """Look at one of many volumes, for status: starts no process, and shares what all of them need.

    What the caller could not read of pin and journal is None, and the caller's to tell.
    """
    return _look(spec, surroundings, pin, unfinished, for_status=True)


def _look(
    spec: VolumeSpec,
    shared: Surroundings,
    pin: Pin | None,
    unfinished: Unfinished | None,
    *,
    prove_blank: bool = False,
    to_open: bool = False,
    for_status: bool = False,
) -> Observation:
    device, presence, device_error = _device(spec, shared)
    read = header.read(device.node) if device else header.HeaderReading(Presence.UNKNOWN, None, device_error)
    scratch = spec.store is StoreKind.SCRATCH
    scratch_uuid = marker.read(device.node) if device and scratch else ""
    seen = Observation(
        volume=spec.name,
        device_presence=presence,
        device=device,
        device_error=device_error,
        probe=blank.probe(device.node, device.identity.size_bytes) if prove_blank and device else None,
        header=read.header,
        header_presence=read.presence,
        header_error=read.error,
        mapping=Mapping(spec.mapping_name, MappingState.UNKNOWN),
        mount_unit=_units(spec, shared),
        opens_at_boot=shared.boot_opens or not spec.open_at_boot,
        pin=pin,
        unfinished=unfinished,
        same_uuid_elsewhere=_same_uuid(read.header, device, shared),
        recovery_confirmed=_recovery_confirmed(read.header),
        scratch_uuid=scratch_uuid,
    )
    return _in_use(spec, seen, device, shared, to_open=to_open, for_status=for_status)


def _in_use(
    spec: VolumeSpec,
    seen: Observation,
    place: Place | None,
    shared: Surroundings,
    *,
    to_open: bool = False,
    for_status: bool = False,
) -> Observation:
    """Complete what was seen of the device by its mapping, what that carries, and the mount."""
    known_uuid = seen.header.uuid if seen.header else seen.pin.luks_uuid if seen.pin else None
    luks_uuid = None if spec.store is StoreKind.SCRATCH else known_uuid
    mapped = mapping.of_volume(spec, luks_uuid, place, known=_names(shared) if for_status else None)
    here = shared.mounts.at(spec.mount_point) if spec.mount_point else None
    found = _content(mapped, here, to_open=to_open, for_status=for_status)
    return replace(
        seen,
        mapping=mapped,
        mapping_file_system=found[0],
        mapping_file_system_uuid=found[1],
        mount=here,
        mount_point=mount.state(spec.mount_point, shared.mounts) if spec.mount_point else MountPointState.ABSENT,
        directories_differ=_directories(spec, here, mapped),
        swap_active=mapped.node is not None and shared.usage.is_swap(mapped.node),
    )


def _device(spec: VolumeSpec, shared: Surroundings) -> tuple[Device | None, Presence, str]:
    try:
        device = block.of_volume(spec, usage=shared.usage, loops=shared.loops if spec.is_file else None)
    except DeviceNotFoundError as error:
        return None, Presence.ABSENT, error.what
    except DeviceUnknownError as error:
        return None, Presence.UNKNOWN, error.what
    return device, Presence.PRESENT, ""


def _names(shared: Surroundings) -> dict[str, str] | None:
    """None when sysfs cannot be read: the mapping is then looked for by itself, and found to be unknown."""
    try:
        return shared.mapping_names
    except OSError:
        return None


def _content(mapped: Mapping, here: Mount | None, *, to_open: bool, for_status: bool) -> tuple[str, str]:
    """Say what an open mapping carries. A mounted file system was recognised by the kernel itself.

    What only opens makes no file system, so that a superblock is enough; what knows none is left to blkid.
    """
    if mapped.state is not MappingState.ACTIVE or mapped.node is None:
        return "", ""
    if here is not None and here.number == mapped.number:
        return here.file_system, superblock.read(mapped.node)[1]
    if for_status or to_open:
        known = superblock.read(mapped.node)
        if for_status or known[0] not in ("", "unknown"):
            return known
    try:
        found = file_system.identify(mapped.node)
    except (ToolFailedError, DeviceUnknownError):
        return "unknown", ""
    return found.type, found.uuid


def _units(spec: VolumeSpec, shared: Surroundings) -> MountUnitState:
    units = volume_units.units_of(spec)
    if all(unit.current for unit in units) and not volume_units.left_behind(spec, shared.ties.get(spec.name, ())):
        return MountUnitState.CURRENT
    return MountUnitState.DIFFERENT if units[0].path.exists() else MountUnitState.ABSENT


def _directories(spec: VolumeSpec, here: Mount | None, mapped: Mapping) -> tuple[str, ...]:
    """Compare the store's directories; only on the real mount, never below an unmounted mount point.

    Nor on a mapping that is not active: reads from a suspended one hang.
    """
    if spec.mount_point is None or here is None or here.number != mapped.number:
        return ()
    if mapped.state is not MappingState.ACTIVE:
        return ()
    root = spec.mount_point
    return tuple(text for entry in spec.directories for text in _difference(root, entry))


def _difference(root: Path, wanted: Directory) -> list[str]:
    path = root / wanted.path
    try:
        found = path.lstat()
    except OSError:
        return [f"{path} is missing"]
    if not stat.S_ISDIR(found.st_mode):
        return [f"{path} is not a directory"]
    texts = []
    try:
        uid, gid = account.ids(wanted)
    except ToolMissingError as error:
        return [error.what.rstrip(".")]
    if (found.st_uid, found.st_gid) != (uid, gid):
        texts.append(f"{path} belongs to {found.st_uid}:{found.st_gid}, not to {wanted.owner}:{wanted.group}")
    if stat.S_IMODE(found.st_mode) != wanted.mode:
        texts.append(f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, not {wanted.mode:04o}")
    return texts


def _same_uuid(found: Header | None, device: Device | None, shared: Surroundings) -> tuple[str, ...]:
    if found is None or device is None:
        return ()
    carriers = shared.carriers(found.uuid)
    return tuple(str(node) for node in carriers if node != device.node and not block.is_on_file(node, device.node))


def _recovery_confirmed(found: Header | None) -> bool:
    return found is not None and any(token.confirmed_recovery and token.keyslots for token in found.tokens)
