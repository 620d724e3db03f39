"""What a header may be restored to: the choice of a backup, and the refusals before anything is confirmed or written.

Needs no secret and changes nothing. The pin says which device and header are the volume's, since the header itself may
be gone; without a pin, the backup's own record does.
"""

from dataclasses import dataclass
from pathlib import Path

from volward import journal
from volward.errors import (
    DamagedHeaderError,
    DeviceBusyError,
    ForeignHeaderError,
    HeaderBackupError,
    IdentityError,
    NoHeaderBackupError,
    UnfinishedOperationError,
)
from volward.header_backup import files, sealing
from volward.header_backup.facts import Facts
from volward.model import Device, DeviceClass, Identity, MappingState, Observation, VolumeSpec
from volward.observe import observe
from volward.os_errors import explained
from volward.plan.device import present_device, refuse_duplicates, refuse_mapping
from volward.plan.use import foreign_uses

KEEP, WRITE, CHECK = "keep", "write", "check"
"""The steps of a restore, as the journal names them."""


@dataclass(frozen=True)
class Wanted:
    """A restore that may be done: what is to be confirmed, and what was found on the device."""

    spec: VolumeSpec
    device: Device
    backup: Path
    facts: Facts
    present: str  # what is on the device now, as a sentence
    is_open: bool
    record: journal.Record | None = None  # of a run that was cut
    is_confirmed: bool = False  # for that run, and the device is still as that run left it


def look(spec: VolumeSpec, name: str | None) -> Wanted:
    """Choose a backup (None: the newest proven one, or that of a restore which was cut), and refuse what is unsafe.

    Needs no secret and changes nothing. Raises NoHeaderBackupError, HeaderBackupError (also for a file that is not the
    one which the cut run was confirmed for), IdentityError, ForeignHeaderError, MappingError, DeviceBusyError,
    UnfinishedOperationError and what looking raises.
    """
    with explained(f"Looking at {spec.name}"):
        record = _unfinished(spec, name)
        path = chosen(spec, str(record.facts["backup"]) if record else name)
        facts = sealing.read_facts(path)
        seen = observe(spec, prove_blank=True)
        device = present_device(spec, seen)
        _refuse_another_volume(spec, seen, device, facts)
        _refuse_use(spec, seen, device)
        if record is not None:
            _refuse_another_device(spec, device, record)
            _refuse_another_content(path, facts, record)
        is_open = seen.mapping.state is not MappingState.ABSENT
        is_confirmed = record is not None and _is_as_left(spec, seen, facts, record)
        return Wanted(spec, device, path, facts, _described(seen), is_open, record, is_confirmed)


def _unfinished(spec: VolumeSpec, name: str | None) -> journal.Record | None:
    """Return a restore of this volume that was cut; operations of other kinds may have been cut by the same damage.

    Raises UnfinishedOperationError when it is about another backup than the one that is named.
    """
    own = next((one for one in journal.unfinished(spec.name) if one.verb == journal.HEADER_RESTORE), None)
    if own is not None and name is not None and not _same(spec, own, name):
        raise UnfinishedOperationError(
            f"A restore of another backup of {spec.name} has not ended ({own.operation}).",
            resolution=f"`volward resume {own.operation}` finishes it, `volward abort {own.operation}` gives it up.",
        )
    return own


def _same(spec: VolumeSpec, record: journal.Record, name: str) -> bool:
    return files.named(spec.header_backups, spec.name, name).absolute() == Path(str(record.facts["backup"]))


def chosen(spec: VolumeSpec, name: str | None) -> Path:
    """Return a backup by its name or path, or the newest proven one. Raises NoHeaderBackupError, OSError."""
    if name is not None:
        return files.named(spec.header_backups, spec.name, name)
    found = files.backups(spec.header_backups, spec.name)
    if not found:
        raise NoHeaderBackupError(
            f"There is no header backup of {spec.name} in {spec.header_backups}.",
            resolution=f"Give a copy from elsewhere: `volward header restore {spec.name} --from FILE`.",
        )
    return found[0][0]


def _refuse_another_volume(spec: VolumeSpec, seen: Observation, device: Device, facts: Facts) -> None:
    """The pin says which device and header are the volume's; without a pin, the backup does."""
    if facts.volume != spec.name:
        raise HeaderBackupError(
            f"This is a header backup of {facts.volume}, not of {spec.name}.",
            resolution=f"`volward header list {spec.name}` names the right ones.",
        )
    identity, uuid = (seen.pin.identity, seen.pin.luks_uuid) if seen.pin else (facts.identity, facts.luks_uuid)
    differences = device.identity.differences(identity)
    if differences:
        raise IdentityError(
            f"{spec.device} is not the device recorded for {spec.name} ({'; '.join(differences)}).",
            resolution="A header on the wrong device destroys what is there. Mend the link; if the disk was replaced "
            "by its copy, compare the serial numbers and copy the header by hand (docs/how-to/header-backups.md).",
        )
    if facts.luks_uuid != uuid:
        raise HeaderBackupError(
            f"The backup is of LUKS UUID {facts.luks_uuid}, but {spec.name} is pinned to {uuid}.",
            resolution="It is from before the volume was formatted anew. Choose another backup.",
        )
    if seen.header is not None and seen.header.uuid != uuid:
        raise ForeignHeaderError(
            f"{spec.device} carries the LUKS UUID {seen.header.uuid}, which is not the one of {spec.name} ({uuid}).",
            resolution="Somebody formatted it since, or it is another disk. Nothing is overwritten.",
        )
    refuse_duplicates(spec, seen)


def _refuse_use(spec: VolumeSpec, seen: Observation, device: Device) -> None:
    refuse_mapping(spec, seen)
    uses = (*foreign_uses(spec, seen), *(("read-only",) if device.read_only else ()))
    if uses:
        raise DeviceBusyError(
            f"{spec.device} ({device.node}) is {', '.join(uses)}.",
            resolution="Release it first, if it really is the one: a header is written only to a device that nobody "
            "else uses.",
        )
    if seen.header is not None and any("reencrypt" in requirement for requirement in seen.header.requirements):
        raise DamagedHeaderError(
            f"{spec.name} is in the middle of a re-encryption, which an older header would make unreadable.",
            resolution=f"Let it end: `volward rotate --volume-key {spec.name}`.",
        )


def _described(seen: Observation) -> str:
    if seen.header is not None:
        halves = "both copies are whole" if not seen.header.damaged else "one of its copies is not whole"
        return f"There is a LUKS2 header of the volume (sequence {seen.header.sequence}); {halves}."
    found = [f"{one.what} at byte {one.offset_bytes}" for one in (seen.probe.findings if seen.probe else ())]
    there = f" There is: {', '.join(found)}." if found else ""
    return (seen.header_error or "There is no LUKS2 header.") + there


def _refuse_another_device(spec: VolumeSpec, device: Device, record: journal.Record) -> None:
    """What was confirmed before the cut was confirmed for one device."""
    fields = dict(record.facts["identity"])  # type: ignore[call-overload]
    confirmed = Identity(DeviceClass(fields.pop("device_class")), **fields)
    if device.identity != confirmed:
        raise IdentityError(
            f"{spec.device} is not the device that {record.operation} was confirmed for.",
            resolution=f"Mend the link, or give it up: `volward abort {record.operation}`.",
        )


def _refuse_another_content(path: Path, facts: Facts, record: journal.Record) -> None:
    """What was confirmed before the cut was confirmed for one header."""
    if facts.digest != record.facts["digest"]:
        raise HeaderBackupError(
            f"{path} does not hold the header any more that {record.operation} was confirmed for.",
            resolution=f"Give it up (`volward abort {record.operation}`), then restore the backup that you want.",
        )


def _is_as_left(spec: VolumeSpec, seen: Observation, facts: Facts, record: journal.Record) -> bool:
    """Whether the device is as the run that was cut left it: that run had begun to write, and nobody has mended it.

    A header that can be read and is not the backup's, or a backup that was made since, is somebody's later work: a
    confirmation from before does not cover it.
    """
    if WRITE not in record.steps_begun or (seen.header is not None and not facts.is_of(seen.header)):
        return False
    return record.facts.get("newest_backup") == newest_backup(spec)


def newest_backup(spec: VolumeSpec) -> int:
    """Return when the newest proven backup was made, in seconds since the epoch; 0 without one. Raises OSError."""
    return max((facts.created_at for _, facts in files.backups(spec.header_backups, spec.name)), default=0)
