"""Is the device there, is it the one recorded, and is it unused and blank? (DESIGN rules 1, 2 and 5)"""

from volward.errors import (
    DeviceBusyError,
    DeviceNotFoundError,
    DeviceTooSmallError,
    DeviceUnknownError,
    DuplicateUuidError,
    IdentityError,
    MappingError,
    NotBlankError,
)
from volward.model import MIB, BlankProbe, Device, FileSystem, Finding, MappingState, Observation, Presence, VolumeSpec

_MINIMUM_BYTES = {FileSystem.EXT4: 64 * MIB, FileSystem.XFS: 320 * MIB, FileSystem.SWAP: 32 * MIB}

_OVERWRITING = (
    "It is left alone. If nothing on it is needed, run `volward apply --overwrite {0} {0}`, which asks for its "
    "serial number."
)


def present_device(spec: VolumeSpec, seen: Observation) -> Device:
    """Return the device. Raises DeviceNotFoundError or DeviceUnknownError; unknown is not absent."""
    if seen.device_presence is Presence.UNKNOWN:
        raise DeviceUnknownError(
            f"What {spec.device} is cannot be told: {seen.device_error}",
            resolution="It stays untouched; look at `dmesg` and run the same command again.",
        )
    if seen.device is None or seen.device_presence is Presence.ABSENT:
        raise DeviceNotFoundError(
            f"The device of {spec.name} is not there: {seen.device_error or spec.device}",
            resolution=_how_to_get_back(spec, seen),
        )
    return seen.device


def _how_to_get_back(spec: VolumeSpec, seen: Observation) -> str:
    if not spec.is_file:
        return "Attach it, or correct `device` in the configuration (`ls -l /dev/disk/by-id`)."
    back = "Is the file system that it lies on mounted? Bring the file back from its backup otherwise."
    if seen.pin is None:
        return back
    return f"{back} To give its data up and begin anew, remove /var/lib/volward/pins/{spec.name}.json."


def refuse_duplicates(spec: VolumeSpec, seen: Observation) -> None:
    """Raise DuplicateUuidError when another device carries the same LUKS UUID."""
    if seen.same_uuid_elsewhere:
        raise DuplicateUuidError(
            f"The LUKS UUID of {spec.device} is also on {', '.join(seen.same_uuid_elsewhere)}.",
            resolution="One is a copy of the other. Detach the copy, then run the same command again.",
        )


def identity_warnings(spec: VolumeSpec, seen: Observation) -> tuple[str, ...]:
    """Say what differs from the pin where that does not forbid opening (rule 2)."""
    if seen.device is None or seen.pin is None:
        return ()
    return tuple(
        f"{spec.device} is not as pinned ({difference}); `volward repin {spec.name}` settles it"
        for difference in seen.device.identity.differences(seen.pin.identity)
    )


def refuse_mapping(spec: VolumeSpec, seen: Observation) -> None:
    """Raise MappingError for a mapping of the volume's name that is not the volume, open and well."""
    resolutions = {
        MappingState.ZOMBIE: f"When nothing uses it, remove it (`dmsetup remove {spec.mapping_name}`), then try again.",
        MappingState.FOREIGN: f"Find out who made it (`dmsetup info {spec.mapping_name}`); volward leaves it alone.",
        MappingState.SUSPENDED: "A re-encryption may have been killed. Never `dmsetup resume` it: reboot the host.",
        MappingState.UNKNOWN: "Run the same command again; look at `dmesg` if it stays so.",
    }
    if seen.mapping.state in resolutions:
        raise MappingError(
            f"The mapping {spec.mapping_name} is {seen.mapping.state}: {seen.mapping.detail}",
            resolution=resolutions[seen.mapping.state],
        )
    holders = seen.device.holders if seen.device else ()
    if seen.mapping.state is MappingState.ABSENT and holders:
        raise DeviceBusyError(
            f"{spec.device} is already in use by {', '.join(holders)}, not by the mapping {spec.mapping_name}.",
            resolution="Close that first (`dmsetup ls --tree` shows the stack).",
        )


def refuse_other_identity(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """Formatting needs every field that counts: of the pin, and of the journal's own record."""
    recorded = []
    if seen.pin is not None:
        recorded.append((seen.pin.identity, f"run `volward repin {spec.name}`"))
    if seen.unfinished is not None:
        recorded.append((seen.unfinished.identity, f"run `volward abort {seen.unfinished.operation}`"))
    for identity, remedy in recorded:
        differences = device.identity.differences(identity)
        if differences:
            raise IdentityError(
                f"{spec.device} is not the device recorded for {spec.name} ({'; '.join(differences)}).",
                resolution=f"If it was exchanged on purpose, {remedy}; else mend the link.",
            )


def refuse_use(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """Raise DeviceBusyError, NotBlankError (partitions) or DeviceTooSmallError for a device not to be formatted now."""
    uses = [f"mounted at {path}" for path in device.mounted_at]
    uses += ["in use as swap"] if device.swap else []
    uses += [f"held by {holder}" for holder in device.used_by]
    if uses:
        raise DeviceBusyError(
            f"{spec.device} ({device.node}) is {', '.join(uses)}.",
            resolution="volward never formats a device that is in use. Release it first if it really is the one.",
        )
    if device.partitions:
        what = f"{spec.device} ({device.node}) is not blank: it has partitions ({', '.join(device.partitions)})."
        raise NotBlankError(what, resolution=_OVERWRITING.format(spec.name))
    refuse_use_of_mapping(spec, seen)
    if device.read_only:
        raise DeviceBusyError(
            f"{spec.device} ({device.node}) is read-only.",
            resolution="Make it writable (`blockdev --setrw`) if it really is the one.",
        )
    minimum = _MINIMUM_BYTES[spec.file_system]
    if device.identity.size_bytes < minimum:
        raise DeviceTooSmallError(
            f"{spec.device} has {device.identity.size_bytes // MIB} MiB; "
            f"{spec.file_system} on LUKS2 needs {minimum // MIB}.",
            resolution="Use a larger device.",
        )


def refuse_use_of_mapping(spec: VolumeSpec, seen: Observation) -> None:
    """Raise DeviceBusyError when a mapping of the volume's name exists, so that what is below must not change."""
    if seen.mapping.state is not MappingState.ABSENT:
        raise DeviceBusyError(
            f"{spec.device} is behind a mapping {spec.mapping_name} ({seen.mapping.state}: {seen.mapping.detail}).",
            resolution=f"Close it first (`volward close {spec.name}`; `dmsetup info {spec.mapping_name}` shows it).",
        )


def refuse_unless_blank(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """Raise NotBlankError or DeviceUnknownError unless the device is proven blank (rule 1)."""
    probe = seen.probe
    if probe is None or probe.content is Presence.UNKNOWN:
        raise not_proven_blank(spec, device, probe)
    if probe.content is Presence.PRESENT or seen.header or seen.header_presence is not Presence.ABSENT:
        found = _listed(probe.findings) or "it has a LUKS2 header"
        what = f"{spec.device} ({device.node}) is not blank: {found}."
        raise NotBlankError(what, resolution=_OVERWRITING.format(spec.name))


def not_proven_blank(spec: VolumeSpec, device: Device, probe: BlankProbe | None) -> DeviceUnknownError:
    found = _listed(probe.findings) if probe else "it was not read"
    return DeviceUnknownError(
        f"{spec.device} ({device.node}) is not proven blank: {found}.",
        resolution="Unknown is not blank, so it is left alone; look at `dmesg`, replace the disk if it stays so.",
    )


def _listed(findings: tuple[Finding, ...]) -> str:
    return ", ".join(map(str, findings))
