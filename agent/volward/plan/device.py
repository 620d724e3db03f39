"""Whose device is it, and may it be formatted? The refusals of DESIGN rules 1, 2 and 5."""

from enum import StrEnum

from volward.errors import (
    DamagedHeaderError,
    DeviceBusyError,
    DeviceNotFoundError,
    DeviceTooSmallError,
    DeviceUnknownError,
    DuplicateUuidError,
    ForeignHeaderError,
    IdentityError,
    MappingError,
    NotBlankError,
)
from volward.model import (
    MIB,
    SUBSYSTEM,
    BlankProbe,
    Device,
    FileSystem,
    Finding,
    Header,
    MappingState,
    Observation,
    Presence,
    Step,
    Unfinished,
    VolumeSpec,
)

_MINIMUM_BYTES = {FileSystem.EXT4: 64 * MIB, FileSystem.XFS: 320 * MIB, FileSystem.SWAP: 32 * MIB}

_OVERWRITING = (
    "It is left alone. If nothing on it is needed, run `volward apply --overwrite {0} {0}`, which asks for its "
    "serial number."
)


class Ownership(StrEnum):
    """What the device is to this volume."""

    NO_FILE = "no-file"  # a file: volume whose file is still to be made
    UNFORMATTED = "unformatted"  # carries no header of ours; whether it may get one is for refuse_formatting to say
    HALF_FORMATTED = "half-formatted"  # our own luksFormat did not end (journal)
    OURS = "ours"


def ownership(spec: VolumeSpec, seen: Observation) -> Ownership:
    """Decide what the device is to the volume; needs no blank proof.

    Raises an error of the VW03xx family for a device that is missing, unknown, another one than pinned,
    or a volume that this host did not make.
    """
    if _file_is_still_to_be_made(spec, seen):
        return Ownership.NO_FILE
    device = present_device(spec, seen)
    if seen.header_presence is Presence.UNKNOWN:
        raise DeviceUnknownError(
            f"{spec.device} cannot be read: {seen.header_error}",
            resolution="It stays untouched; look at `dmesg` and at the cabling.",
        )
    unfinished = current_operation(seen)
    format_was_cut = unfinished is not None and unfinished.format_was_cut
    if seen.header is not None and seen.header.uuid == _known_uuid(seen):
        refuse_duplicates(spec, seen)
        _refuse_other_label(spec, seen.header)
        return Ownership.HALF_FORMATTED if format_was_cut else Ownership.OURS
    if seen.header is not None:
        _refuse_volume_of_unknown_origin(spec, seen, seen.header)
        return Ownership.UNFORMATTED
    refuse_other_identity(spec, seen, device)
    if format_was_cut:
        return Ownership.HALF_FORMATTED
    if seen.pin is not None and not _format_is_pending(seen):
        raise DamagedHeaderError(
            f"{spec.device} is the device of {spec.name}, but its LUKS2 header cannot be read: "
            f"{seen.header_error or 'there is none any more.'}",
            resolution=f"Do not format. Restore a backup of the header: `volward header restore {spec.name}`.",
        )
    return Ownership.UNFORMATTED


def refuse_formatting(spec: VolumeSpec, seen: Observation, owned: Ownership) -> None:
    """Raise unless the device may be formatted: the one recorded, unused, and blank or our own unfinished format."""
    if owned is Ownership.NO_FILE:
        refuse_use_of_mapping(spec, seen)
        return
    device = present_device(spec, seen)
    refuse_other_identity(spec, seen, device)
    refuse_use(spec, seen, device)
    if owned is Ownership.HALF_FORMATTED:
        _refuse_what_we_cannot_have_written(spec, seen, device)
    else:
        refuse_unless_blank(spec, seen, device)


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


def current_operation(seen: Observation) -> Unfinished | None:
    """Return the unfinished provisioning, if it is about what is pinned; a repin leaves an older one behind."""
    unfinished = seen.unfinished
    if unfinished is None or (seen.pin is not None and seen.pin.luks_uuid != unfinished.luks_uuid):
        return None
    return unfinished


def _known_uuid(seen: Observation) -> str | None:
    """Return the LUKS UUID that this host knows to be the volume's: the pin's, or before that the journal's."""
    if seen.pin is not None:
        return seen.pin.luks_uuid
    return seen.unfinished.luks_uuid if seen.unfinished else None


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


def _refuse_other_label(spec: VolumeSpec, header: Header) -> None:
    if header.label != spec.name:
        raise ForeignHeaderError(
            f"{spec.device} has the LUKS UUID of {spec.name}, but its label is {header.label or 'empty'}.",
            resolution=f"If it is the volume, label it: `cryptsetup config {spec.device} --label {spec.name}`.",
        )


def _refuse_volume_of_unknown_origin(spec: VolumeSpec, seen: Observation, header: Header) -> None:
    if seen.pin is not None and not _format_is_pending(seen):  # a wipe that was cut leaves the header of others
        raise ForeignHeaderError(
            f"{spec.device} carries LUKS UUID {header.uuid}, but {spec.name} was pinned to {seen.pin.luks_uuid}.",
            resolution=f"If the disk was exchanged on purpose, run `volward repin {spec.name}`.",
        )
    if (header.subsystem, header.label) == (SUBSYSTEM, spec.name):
        raise ForeignHeaderError(
            f"{spec.device} is a volward volume named {spec.name}, but this host has no record of it.",
            resolution=f"If it was moved here on purpose, run `volward repin {spec.name}`.",
        )


def _file_is_still_to_be_made(spec: VolumeSpec, seen: Observation) -> bool:
    if not spec.is_file or seen.device_presence is not Presence.ABSENT:
        return False
    if (seen.pin is not None or seen.unfinished is not None) and not _format_is_pending(seen):
        raise DeviceNotFoundError(
            f"The file {spec.device} of {spec.name} is gone.",
            resolution="It held the volume. Restore it; volward does not make an empty one in its place.",
        )
    return True


def _format_is_pending(seen: Observation) -> bool:
    """Whatever is pinned comes from a provisioning that has never begun to format."""
    unfinished = current_operation(seen)
    return unfinished is not None and Step.FORMAT not in unfinished.steps_begun | unfinished.steps_done


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
        raise _not_proven_blank(spec, device, probe)
    if probe.content is Presence.PRESENT or seen.header or seen.header_presence is not Presence.ABSENT:
        found = _listed(probe.findings) or "it has a LUKS2 header"
        what = f"{spec.device} ({device.node}) is not blank: {found}."
        raise NotBlankError(what, resolution=_OVERWRITING.format(spec.name))


def _refuse_what_we_cannot_have_written(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """A cut luksFormat leaves LUKS2 remains and noise in the header area; anything else came later."""
    probe, header = seen.probe, seen.header
    if probe is None or probe.content is Presence.UNKNOWN:
        raise _not_proven_blank(spec, device, probe)
    strangers = [_named(f) for f in probe.findings if not f.left_by_luks_format]
    if header is not None and (header.tokens or len(header.keyslots) > 1):
        strangers.append(f"a header with {len(header.keyslots)} keyslots and {len(header.tokens)} tokens")
    if strangers:
        raise NotBlankError(
            f"{spec.device} ({device.node}) holds more than volward's own unfinished format: {', '.join(strangers)}.",
            resolution="Somebody used it since. Find out who before you wipe it.",
        )


def _not_proven_blank(spec: VolumeSpec, device: Device, probe: BlankProbe | None) -> DeviceUnknownError:
    found = _listed(probe.findings) if probe else "it was not read"
    return DeviceUnknownError(
        f"{spec.device} ({device.node}) is not proven blank: {found}.",
        resolution="Unknown is not blank, so it is left alone; look at `dmesg`, replace the disk if it stays so.",
    )


def _named(finding: Finding) -> str:
    return f"{finding.what} at byte {finding.offset_bytes}"


def _listed(findings: tuple[Finding, ...]) -> str:
    return ", ".join(map(_named, findings))
