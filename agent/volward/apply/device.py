"""The actions on the backing device: make its file, pin it, wipe it, format it, claim it for scratch data."""

from dataclasses import replace

from volward import pins
from volward.apply.enrolment import kdf_of
from volward.apply.target import resolved
from volward.apply.work import Work
from volward.errors import (
    BugError,
    DeviceBusyError,
    DeviceUnknownError,
    IdentityError,
    NotBlankError,
    VerificationError,
)
from volward.host import backing_file, blank, cryptsetup, header, marker, wipe
from volward.model import SUBSYSTEM, Action, Device, Header, Pin, Presence
from volward.secret import SecretBytes


def create_file(action: Action, work: Work) -> None:
    """Make the backing file, whole and allocated."""
    del action
    if work.spec.file_size_bytes is None:
        raise AssertionError("the configuration demands a size for every file: volume")
    if not work.spec.device.exists():
        backing_file.create(work.spec.device, work.spec.file_size_bytes)


def pin(action: Action, work: Work) -> None:
    """Record the device's identity and the LUKS UUID that it is going to have."""
    del action
    pins.write(work.spec.name, Pin(_the_device(work).identity, work.luks_uuid))


def wipe_device(action: Action, work: Work) -> None:
    """Erase what the owner gave up by typing the device's identity; what is left must be proven blank."""
    del action
    if not work.overwrite:
        raise BugError("A wipe was planned that nobody has asked for.", resolution="Please report it.")
    found = _the_device(work)
    _refuse_use(replace(found, holders=found.used_by))
    wipe.wipe(found.node, found.identity.size_bytes)
    left = _the_device(work).partitions
    if left:
        raise VerificationError(
            f"{found.node} was wiped, yet the kernel still knows its partitions ({', '.join(left)}).",
            resolution=f"Have it look again (`blockdev --rereadpt {found.node}`), then run the same command again.",
        )
    probe = blank.probe(found.node, found.identity.size_bytes)
    if probe.content is not Presence.ABSENT:
        what = ", ".join(map(str, probe.findings))
        raise VerificationError(
            f"{found.node} was wiped, yet this is found on it: {what}.",
            resolution="It was not formatted. Look at `dmesg` and at who else uses it, then run the same command "
            "again.",
        )


def format_luks2(action: Action, work: Work) -> None:
    """Make the LUKS2 header, with everything looked at again in this very moment (rules 1, 2 and 5)."""
    del action
    found = _the_device(work)
    held = work.primary_key()
    key = held.key
    present = header.read(found.node)
    if present.presence is Presence.UNKNOWN:
        raise DeviceUnknownError(
            f"{found.node} cannot be read: {present.error}", resolution="It was left alone. Look at `dmesg`."
        )
    if _already_formatted(found, present.header, key, work):
        return
    _refuse_unless_ours_or_blank(found, present.header, work)
    cryptsetup.format(
        found.node,
        key=key,
        uuid=work.luks_uuid,
        label=work.spec.name,
        subsystem=SUBSYSTEM,
        cipher=work.spec.cipher.cipher,
        key_bits=work.spec.cipher.key_bits,
        sector_size_bytes=work.spec.cipher.sector_size_bytes or sector_size_for(found),
        kdf=kdf_of(held.ref.provider, work.spec),
    )
    if not cryptsetup.test_key(found.node, key, keyslot=0):
        raise VerificationError(
            f"{found.node} was formatted, yet its key does not open it.",
            resolution="Nothing was stored on it. Look at `dmesg`, then run the same command again.",
        )


def claim_scratch(action: Action, work: Work) -> None:
    """Write the marker; from then on each opening makes the content anew."""
    del action
    found = _the_device(work)
    _refuse_unless_blank(found)
    marker.write(found.node, uuid=work.luks_uuid, volume=work.spec.name)


def sector_size_for(device: Device) -> int:
    """Choose 4096 where no power cut can tear such a sector (physical sector of 4096), else 512 bytes."""
    return 4096 if device.physical_sector_bytes >= 4096 and device.identity.size_bytes % 4096 == 0 else 512


def _the_device(work: Work) -> Device:
    """Resolve the link again and compare with what was planned. Raises IdentityError, DeviceNotFoundError."""
    found = resolved(work)
    differences = found.identity.differences(work.identity)
    if differences:
        raise IdentityError(
            f"{work.spec.device} has become another device since it was looked at ({'; '.join(differences)}).",
            resolution="Nothing was written to it. Find out why the link changed, then run the same command again.",
        )
    return found


def _already_formatted(found: Device, present: Header | None, key: SecretBytes, work: Work) -> bool:
    """An interrupted run may have finished its luksFormat without having written so."""
    return (
        present is not None
        and present.uuid == work.luks_uuid
        and bool(present.keyslots)
        and cryptsetup.test_key(found.node, key, keyslot=0)
    )


def _refuse_unless_ours_or_blank(found: Device, present: Header | None, work: Work) -> None:
    _refuse_use(found)
    if work.resumes_format and (present is None or present.uuid == work.luks_uuid):
        _refuse_unless_blank(found, but_our_format=True)
    else:
        _refuse_unless_blank(found)


def _refuse_use(found: Device) -> None:
    uses = [*(str(path) for path in found.mounted_at), *found.holders, *(["swap"] if found.swap else [])]
    if uses:
        raise DeviceBusyError(
            f"{found.node} is in use ({', '.join(uses)}).", resolution="Release it first if it really is the one."
        )


def _refuse_unless_blank(found: Device, *, but_our_format: bool = False) -> None:
    probe = blank.probe(found.node, found.identity.size_bytes)
    strangers = [f for f in probe.findings if not (but_our_format and f.left_by_luks_format)]
    if probe.content is Presence.UNKNOWN or strangers:
        what = ", ".join(map(str, probe.findings)) or "unreadable"
        raise NotBlankError(
            f"{found.node} is not blank any more: {what}.",
            resolution="It was left alone. Find out who wrote to it, then run the same command again.",
        )
