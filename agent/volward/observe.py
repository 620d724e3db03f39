"""observe: one look at everything that plan, verify and status need to know of a volume.

Read-only, and needs no secret. Unknown is not absent: what could not be read is said to be unknown. Uses
sysfs, mountinfo, volward's own header parser, wipefs (only when a blank proof is asked for) and blkid (only
on an open mapping).
"""

import stat
from collections.abc import Sequence
from pathlib import Path

from volward import journal, pins
from volward.errors import DeviceNotFoundError, DeviceUnknownError, ToolFailedError
from volward.host import blank, block, file_system, header, mapping, marker, mount, systemd
from volward.model import (
    BlankProbe,
    Device,
    Directory,
    Header,
    Mapping,
    MappingState,
    Mount,
    MountPointState,
    MountUnitState,
    Observation,
    Presence,
    StoreKind,
    VolumeSpec,
)


def observe(spec: VolumeSpec, *, prove_blank: bool = False) -> Observation:
    """Look at one volume; ``prove_blank`` also reads the places where a device that is to be formatted
    could keep signatures. Raises JournalError when the journal or the pin cannot be read."""
    pin = pins.read(spec.name)
    device, presence, device_error = _device(spec)
    read = header.read(device.node) if device else header.HeaderReading(Presence.UNKNOWN, None, device_error)
    scratch = spec.store is StoreKind.SCRATCH
    scratch_uuid = marker.read(device.node) if device and scratch else ""
    mapped = mapping.look(
        spec.mapping_name,
        luks_uuid=None if scratch else _known_uuid(read.header, pin),
        backing=device,
    )
    found = _content(spec, mapped)
    mounts = mount.table()
    here = mount.at(spec.mount_point, mounts) if spec.mount_point else None
    return Observation(
        volume=spec.name,
        device_presence=presence,
        device=device,
        device_error=device_error,
        probe=_probe(device, read.presence, scratch_uuid) if prove_blank and device else None,
        header=read.header,
        header_presence=read.presence,
        header_error=read.error,
        mapping=mapped,
        mapping_file_system=found[0],
        mapping_file_system_uuid=found[1],
        mount=here,
        mount_point=_mount_point(spec, mounts),
        mount_unit=_units(spec),
        pin=pin,
        unfinished=journal.unfinished_provisioning(spec.name),
        directories_differ=_directories(spec, here, mapped),
        same_uuid_elsewhere=_same_uuid(read.header, device),
        recovery_confirmed=_recovery_confirmed(read.header),
        scratch_uuid=scratch_uuid,
        swap_active=mapped.node is not None and block.is_swap(mapped.number),
    )


def units_of(spec: VolumeSpec) -> tuple[systemd.UnitFile, ...]:
    """Return the unit files of a volume: its mount, and a drop-in for each consumer that is a unit."""
    if spec.mount_point is None:
        return ()
    own = systemd.mount_unit(
        spec.name,
        what=spec.mapping_path,
        where=spec.mount_point,
        file_system=spec.file_system,
        options=spec.mount_options,
    )
    tied = [
        systemd.consumer_drop_in(spec.name, unit=unit, mount_point=spec.mount_point)
        for unit in spec.consumers
        if not unit.startswith("container:")
    ]
    return (own, *tied)


def _device(spec: VolumeSpec) -> tuple[Device | None, Presence, str]:
    try:
        return (block.resolve_file if spec.is_file else block.resolve)(spec.device), Presence.PRESENT, ""
    except DeviceNotFoundError as error:
        return None, Presence.ABSENT, error.what
    except DeviceUnknownError as error:
        return None, Presence.UNKNOWN, error.what


def _probe(device: Device, header_presence: Presence, scratch_uuid: str) -> BlankProbe:
    """A claimed device is not blank, and need not be read to know it."""
    del header_presence, scratch_uuid
    return blank.probe(device.node, device.identity.size_bytes)


def _known_uuid(found: Header | None, pin: object) -> str | None:
    if found is not None:
        return found.uuid
    return getattr(pin, "luks_uuid", None)


def _content(spec: VolumeSpec, mapped: Mapping) -> tuple[str, str]:
    if mapped.state is not MappingState.ACTIVE:
        return "", ""
    try:
        found = file_system.identify(spec.mapping_path)
    except (ToolFailedError, DeviceUnknownError):
        return "unknown", ""
    return found.type, found.uuid


def _mount_point(spec: VolumeSpec, mounts: Sequence[Mount]) -> MountPointState:
    return mount.state(spec.mount_point, mounts) if spec.mount_point else MountPointState.ABSENT


def _units(spec: VolumeSpec) -> MountUnitState:
    units = units_of(spec)
    if all(unit.current for unit in units):
        return MountUnitState.CURRENT
    return MountUnitState.DIFFERENT if units[0].path.exists() else MountUnitState.ABSENT


def _directories(spec: VolumeSpec, here: Mount | None, mapped: Mapping) -> tuple[str, ...]:
    """Compare the store's directories; only on the real mount, never below an unmounted mount point."""
    if spec.mount_point is None or here is None or here.number != mapped.number:
        return ()
    root = spec.mount_point
    return tuple(text for entry in spec.directories for text in _difference(root, entry))


def _difference(root: Path, wanted: Directory) -> list[str]:
    from volward.stores import owner

    path = root / wanted.path
    try:
        found = path.lstat()
    except OSError:
        return [f"{path} is missing"]
    if not stat.S_ISDIR(found.st_mode):
        return [f"{path} is not a directory"]
    texts = []
    uid, gid = owner.resolve(wanted)
    if (found.st_uid, found.st_gid) != (uid, gid):
        texts.append(f"{path} belongs to {found.st_uid}:{found.st_gid}, not to {wanted.owner}:{wanted.group}")
    if stat.S_IMODE(found.st_mode) != wanted.mode:
        texts.append(f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, not {wanted.mode:04o}")
    return texts


def _same_uuid(found: Header | None, device: Device | None) -> tuple[str, ...]:
    if found is None or device is None:
        return ()
    carriers = block.carriers_of_luks_uuid(found.uuid)
    return tuple(str(node) for node in carriers if not block.is_part_of(node, device))


def _recovery_confirmed(found: Header | None) -> bool:
    return found is not None and any(token.confirmed_recovery and token.keyslots for token in found.tokens)
