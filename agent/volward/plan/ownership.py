"""Whose device is it, and may it get a header of ours? (DESIGN rules 1, 2 and 5)"""

from enum import StrEnum

from volward.errors import (
    DamagedHeaderError,
    DeviceNotFoundError,
    DeviceUnknownError,
    ForeignHeaderError,
    NotBlankError,
)
from volward.model import SUBSYSTEM, Device, Header, Observation, Presence, VolumeSpec
from volward.plan.device import (
    not_proven_blank,
    present_device,
    refuse_duplicates,
    refuse_other_identity,
    refuse_unless_blank,
    refuse_use,
    refuse_use_of_mapping,
)
from volward.plan.operation import current_operation, format_is_pending


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
    if seen.pin is not None and not format_is_pending(seen):
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


def _known_uuid(seen: Observation) -> str | None:
    """Return the LUKS UUID that this host knows to be the volume's: the pin's, or before that the journal's."""
    if seen.pin is not None:
        return seen.pin.luks_uuid
    return seen.unfinished.luks_uuid if seen.unfinished else None


def _refuse_other_label(spec: VolumeSpec, header: Header) -> None:
    if header.label != spec.name:
        raise ForeignHeaderError(
            f"{spec.device} has the LUKS UUID of {spec.name}, but its label is {header.label or 'empty'}.",
            resolution=f"If it is the volume, label it: `cryptsetup config {spec.device} --label {spec.name}`.",
        )


def _refuse_volume_of_unknown_origin(spec: VolumeSpec, seen: Observation, header: Header) -> None:
    if seen.pin is not None and not format_is_pending(seen):  # a wipe that was cut leaves the header of others
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
    if (seen.pin is not None or seen.unfinished is not None) and not format_is_pending(seen):
        raise DeviceNotFoundError(
            f"The file {spec.device} of {spec.name} is gone.",
            resolution="It held the volume. Restore it; volward does not make an empty one in its place.",
        )
    return True


def _refuse_what_we_cannot_have_written(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    """A cut luksFormat leaves LUKS2 remains and noise in the header area; anything else came later."""
    probe, header = seen.probe, seen.header
    if probe is None or probe.content is Presence.UNKNOWN:
        raise not_proven_blank(spec, device, probe)
    strangers = [str(f) for f in probe.findings if not f.left_by_luks_format]
    if header is not None and (header.tokens or len(header.keyslots) > 1):
        strangers.append(f"a header with {len(header.keyslots)} keyslots and {len(header.tokens)} tokens")
    if strangers:
        raise NotBlankError(
            f"{spec.device} ({device.node}) holds more than volward's own unfinished format: {', '.join(strangers)}.",
            resolution="Somebody used it since. Find out who before you wipe it.",
        )
