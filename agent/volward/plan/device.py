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
    Device,
    FileSystem,
    Finding,
    MappingState,
    Observation,
    Presence,
    Step,
    VolumeSpec,
)

SUBSYSTEM = "volward"
HEADER_BYTES = 16 * MIB  # what a LUKS2 header with its keyslots takes
_MINIMUM_BYTES = {FileSystem.EXT4: 64 * MIB, FileSystem.XFS: 320 * MIB, FileSystem.SWAP: 32 * MIB}


class Ownership(StrEnum):
    """What the device is to this volume."""

    NO_FILE = "no-file"  # a file: volume whose file is still to be made
    BLANK = "blank"
    HALF_FORMATTED = "half-formatted"  # our own luksFormat did not end (journal)
    OURS = "ours"


def ownership(spec: VolumeSpec, seen: Observation) -> Ownership:
    """Decide what the device is to the volume.

    Raises an error of the VW03xx family for a device that is missing, unknown, too small, in use, another
    one than pinned, foreign, or not proven blank.
    """
    if _file_is_still_to_be_made(spec, seen):
        return Ownership.NO_FILE
    device = present_device(spec, seen)
    if seen.header_presence is Presence.UNKNOWN:
        raise DeviceUnknownError(
            f"{spec.device} cannot be read: {seen.header_error}",
            resolution="It stays untouched; look at `dmesg` and at the cabling.",
        )
    if seen.header is not None and seen.header.uuid in known_uuids(seen):
        refuse_duplicates(spec, seen)
        if _format_was_cut(seen):
            refuse_other_identity(spec, seen, device)
            refuse_use(spec, seen, device)
            return Ownership.HALF_FORMATTED
        return Ownership.OURS
    if seen.header is not None and seen.pin is not None:
        raise ForeignHeaderError(
            f"{spec.device} carries LUKS UUID {seen.header.uuid}, but {spec.name} was pinned to {seen.pin.luks_uuid}.",
            resolution=f"If the disk was exchanged on purpose, run `volward repin {spec.name}`.",
        )
    if seen.header is not None and (seen.header.subsystem, seen.header.label) == (SUBSYSTEM, spec.name):
        raise ForeignHeaderError(
            f"{spec.device} is a volward volume named {spec.name}, but this host has no record of it.",
            resolution=f"If it was moved here on purpose, run `volward repin {spec.name}`.",
        )
    refuse_other_identity(spec, seen, device)
    refuse_use(spec, seen, device)
    if _format_was_cut(seen):
        _refuse_what_we_cannot_have_written(spec, seen, device)
        return Ownership.HALF_FORMATTED
    if seen.pin is not None and not _format_is_pending(seen):
        raise DamagedHeaderError(
            f"{spec.device} is the device of {spec.name}, but its LUKS2 header cannot be read: {seen.header_error}",
            resolution="Both copies are damaged. Do not format; restore a header backup (cryptsetup luksHeaderRestore).",
        )
    refuse_unless_blank(spec, seen, device)
    return Ownership.BLANK


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
            resolution="Attach it, or correct `device` in the configuration (`ls -l /dev/disk/by-id`).",
        )
    return seen.device


def known_uuids(seen: Observation) -> set[str]:
    """Return the LUKS UUIDs that this host knows to be the volume's: the pin's and the journal's."""
    pinned = {seen.pin.luks_uuid} if seen.pin else set()
    return pinned | ({seen.unfinished.luks_uuid} if seen.unfinished else set())


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
        MappingState.ZOMBIE: f"Make sure that nothing uses it, remove it (`dmsetup remove {spec.mapping_name}`), try again.",
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


def _file_is_still_to_be_made(spec: VolumeSpec, seen: Observation) -> bool:
    if not spec.is_file or seen.device_presence is not Presence.ABSENT:
        return False
    if seen.pin is not None and not _format_is_pending(seen):
        raise DeviceNotFoundError(
            f"The file {spec.device} of {spec.name} is gone.",
            resolution="It held the volume. Restore it; volward does not make an empty one in its place.",
        )
    return True


def _format_is_pending(seen: Observation) -> bool:
    """The pin was written by a provisioning that has not begun to format yet."""
    unfinished = seen.unfinished
    return (
        unfinished is not None
        and Step.FORMAT not in unfinished.steps_done
        and unfinished.step_begun != Step.FORMAT
        and (seen.pin is None or seen.pin.luks_uuid == unfinished.luks_uuid)
    )


def _format_was_cut(seen: Observation) -> bool:
    return (
        seen.unfinished is not None
        and seen.unfinished.step_begun == Step.FORMAT
        and Step.FORMAT not in seen.unfinished.steps_done
    )


def refuse_other_identity(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """Formatting needs every field that counts: of the pin, and of the journal's own record."""
    recorded = [seen.pin.identity] if seen.pin else []
    recorded += [seen.unfinished.identity] if seen.unfinished else []
    for identity in recorded:
        differences = device.identity.differences(identity)
        if differences:
            raise IdentityError(
                f"{spec.device} is not the device recorded for {spec.name} ({'; '.join(differences)}).",
                resolution=f"If it was exchanged on purpose, run `volward repin {spec.name}`; else mend the link.",
            )


def refuse_use(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """Raise DeviceBusyError or DeviceTooSmallError for a device that must not be formatted now."""
    uses = [f"mounted at {path}" for path in device.mounted_at]
    uses += ["in use as swap"] if device.swap else []
    uses += [f"held by {holder}" for holder in device.holders]
    if seen.mapping.state is not MappingState.ABSENT:
        uses.append(f"behind a mapping named {spec.mapping_name} ({seen.mapping.state}: {seen.mapping.detail})")
    if uses:
        raise DeviceBusyError(
            f"{spec.device} ({device.node}) is {', '.join(uses)}.",
            resolution="volward never formats a device that is in use. Release it first if it really is the one.",
        )
    if device.read_only:
        raise DeviceBusyError(
            f"{spec.device} ({device.node}) is read-only.",
            resolution="Make it writable (`blockdev --setrw`) if it really is the one.",
        )
    minimum = _MINIMUM_BYTES[spec.file_system]
    if device.identity.size_bytes < minimum:
        raise DeviceTooSmallError(
            f"{spec.device} has {device.identity.size_bytes // MIB} MiB; {spec.file_system} on LUKS2 needs {minimum // MIB}.",
            resolution="Use a larger device.",
        )


def refuse_unless_blank(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """Raise NotBlankError or DeviceUnknownError unless the device is proven blank (rule 1)."""
    probe = seen.probe
    if probe is None or probe.content is Presence.UNKNOWN:
        found = _listed(probe.findings) if probe else "it was not read"
        raise DeviceUnknownError(
            f"{spec.device} ({device.node}) is not proven blank: {found}.",
            resolution="Unknown is not blank, so it is left alone; look at `dmesg`, replace the disk if it stays so.",
        )
    if probe.content is Presence.PRESENT:
        raise NotBlankError(
            f"{spec.device} ({device.node}) is not blank: {_listed(probe.findings)}.",
            resolution=(
                "It is left alone. If nothing on it is needed, wipe it yourself, or run "
                f"`volward apply --overwrite {spec.name}`, which asks for its serial number."
            ),
        )


def _refuse_what_we_cannot_have_written(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """A cut luksFormat leaves LUKS remains and noise in the header area; anything else came later."""
    if seen.probe is None or seen.probe.content is Presence.UNKNOWN:
        refuse_unless_blank(spec, seen, device)
    strangers = [f for f in seen.probe.findings if not _left_by_format(f)] if seen.probe else []
    if strangers:
        raise NotBlankError(
            f"{spec.device} ({device.node}) holds more than volward's own unfinished format: {_listed(strangers)}.",
            resolution="Somebody used it since. Find out who before you wipe it.",
        )


def _left_by_format(finding: Finding) -> bool:
    remains = finding.what == "data" or finding.what.startswith("LUKS")
    return remains and finding.offset_bytes < HEADER_BYTES


def _listed(findings: tuple[Finding, ...] | list[Finding]) -> str:
    return ", ".join(f"{f.what} at byte {f.offset_bytes}" for f in findings)
