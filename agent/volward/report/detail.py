"""Everything about one volume as text, layer by layer from the device to its consumers. Pure but for local time."""

import time
from collections.abc import Iterable, Iterator

from volward.model import Header, Identity, MappingState, MountPointState, Presence, StoreKind
from volward.report import key_ages, keyslots
from volward.report.amount import count, size
from volward.report.condition import Condition
from volward.report.status import remark_lines
from volward.report.volume import SeenVolume

_WIDTH = 11
_MINUTES = "%Y-%m-%d %H:%M"
_RUNS = {Presence.PRESENT: "running", Presence.ABSENT: "not running", Presence.UNKNOWN: "unknown"}


def lines(one: SeenVolume, condition: Condition) -> Iterator[str]:
    """Return the lines of the detailed view."""
    yield f"{one.spec.name}: {condition.state}"
    for remark in condition.remarks:
        yield from remark_lines(remark)
    yield ""
    for title, texts in (
        ("device", _device(one)),
        ("pinned", _pin(one)),
        ("header", _header(one)),
        ("keyslots", _keyslots(one.seen.header)),
        ("tokens", _tokens(one.seen.header)),
        ("keys", key_ages.lines(one)),
        ("vault", _login(one)),
        ("mapping", _mapping(one)),
        ("mount", _mount(one)),
        ("i/o", _io(one)),
        ("consumers", (f"{each.name} {_RUNS[each.runs]}" for each in one.consumers)),
        ("opened", _opened(one)),
        ("operations", _operations(one)),
    ):
        yield from _titled(title, texts)


def _login(one: SeenVolume) -> Iterator[str]:
    life = one.login
    if life is not None:
        ends = "has no end" if life.ends_at is None else f"ends {_moment(life.ends_at, _MINUTES)}"
        uses = f", {count(life.uses_left, 'use')} left" if life.uses_left else ""
        yield f"the login to {life.address} {ends}{uses} (seen {_moment(life.seen_at, _MINUTES)})"


def _moment(seconds: float, form: str = f"{_MINUTES}:%S") -> str:
    try:
        return time.strftime(form, time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # what a file or a server says is no reason not to show the rest
        return "at no time that there is"


def _titled(title: str, texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f"  {title if number == 0 else '':{_WIDTH}} {text}"


def _device(one: SeenVolume) -> Iterator[str]:
    device, spec = one.seen.device, one.spec
    if device is None:
        yield f"{spec.device}: {one.seen.device_presence}"
        return
    leads = f" is {device.node}" if device.node != spec.device else ""
    yield f"{spec.device}{leads}" + (f" ({device.number})" if device.number else "")
    yield _identity(device.identity)
    turns = {None: "unknown whether rotational", True: "rotational", False: "not rotational"}[device.rotational]
    sectors = f"sectors {device.physical_sector_bytes} physical, {device.logical_sector_bytes} logical"
    yield f"{sectors}, {turns}" + (", read-only" if device.read_only else "")


def _identity(identity: Identity) -> str:
    named = (
        ("serial", identity.serial),
        ("WWN", identity.wwn),
        ("partition", identity.partition),
        ("dm UUID", identity.dm_uuid),
        ("md UUID", identity.md_uuid),
        ("path", identity.path),
    )
    known = [f"{name} {value}" for name, value in named if value]
    if not identity.serial and not (identity.dm_uuid or identity.md_uuid or identity.path):
        known.append("no serial number")
    return ", ".join([str(identity.device_class), size(identity.size_bytes), *known])


def _pin(one: SeenVolume) -> Iterator[str]:
    pin, device = one.seen.pin, one.seen.device
    if pin is None:
        yield "unknown" if one.pin_error else "nothing"
        return
    yield _identity(pin.identity)
    name = "marker" if one.spec.store is StoreKind.SCRATCH else "LUKS UUID"
    yield f"{name} {pin.luks_uuid}"
    if device is None:
        yield "not compared: the device could not be looked at"
    else:
        yield "; ".join(device.identity.differences(pin.identity)) or "the device is the one pinned"


def _header(one: SeenVolume) -> Iterator[str]:
    header = one.seen.header
    if one.spec.store is StoreKind.SCRATCH:
        yield f"none by design; scratch marker {one.seen.scratch_uuid or 'absent'}"
        return
    if header is None:
        yield str(one.seen.header_presence if one.seen.header_presence is not Presence.PRESENT else "damaged")
        return
    yield f"LUKS2 {header.uuid}, label {header.label or 'none'}, subsystem {header.subsystem or 'none'}"
    yield f"primary copy {header.primary}, secondary copy {header.secondary}, sequence {header.sequence}"
    cipher = f"{header.cipher or 'unknown cipher'}, {header.key_bits}-bit key, {header.sector_size_bytes}-byte sectors"
    yield f"{cipher}, data at {size(header.data_offset_bytes)}"
    backup = one.header_backup
    if backup is not None:
        at = f" ({_moment(backup.created_at)})" if backup.created_at else ""
        yield f"backup {backup.freshness}{at}"
    if header.flags or header.requirements:
        yield f"flags {', '.join((*header.flags, *header.requirements))}"


def _keyslots(header: Header | None) -> Iterator[str]:
    if header is None:
        return
    for slot in header.keyslots:
        yield f"{slot.number}  {keyslots.describe(header, slot)}"
    if not any(token.confirmed_recovery and token.keyslots for token in header.tokens):
        yield "no confirmed recovery key"


def _tokens(header: Header | None) -> Iterator[str]:
    for token in header.tokens if header else ():
        slots = ", ".join(map(str, token.keyslots)) or "none"
        whose = " (not volward's)" if keyslots.is_foreign(token) else ""
        yield f"{token.number}  {token.type}{whose}: keyslots {slots}"


def _mapping(one: SeenVolume) -> Iterator[str]:
    mapped, table = one.seen.mapping, one.table
    if mapped.state is MappingState.ABSENT:
        yield "closed"
        return
    yield f"/dev/mapper/{mapped.name} is {mapped.node or 'unknown'} ({mapped.number or '?'}), {mapped.state}"
    yield f"{size(mapped.size_bytes)}, dm UUID {mapped.dm_uuid or 'none'}"
    if table is None:
        yield "cipher and flags unknown"
        return
    where = "in the kernel's keyring" if table.key_in_keyring else "in the table itself"
    yield f"{table.cipher}, {table.key_bits}-bit key {where}"
    yield f"active flags {', '.join(table.flags) or 'none'}"


def _mount(one: SeenVolume) -> Iterator[str]:
    seen, spec = one.seen, one.spec
    if spec.mount_point is None:
        yield f"swap, {'in use' if seen.swap_active else 'not in use'}"
        return
    if seen.mount is None:
        told = "could not be looked at" if seen.mount_point is MountPointState.UNKNOWN else str(seen.mount_point)
        yield f"{spec.mount_point}: not mounted ({told})"
    else:
        whose = "" if one.mounted_here else f" from {seen.mount.source}, not this volume"
        yield f"{spec.mount_point}: {seen.mount.file_system}{whose}"
        yield f"options {','.join(seen.mount.options)}"
    if one.space is not None:
        space = one.space
        inodes = f"{space.inodes_used} of {space.inodes_total} inodes" if space.inodes_total else "inodes as needed"
        free = f"{size(space.available_bytes)} free, {inodes}"
        yield f"{size(space.used_bytes)} of {size(space.total_bytes)} used ({space.used_percent} %), {free}"
    elif one.mounted_here:
        yield "space unknown"
    yield f"unit file {seen.mount_unit}"


def _io(one: SeenVolume) -> Iterator[str]:
    if one.seen.mapping.state is MappingState.ABSENT:
        return
    if one.io is None:
        yield "unknown"
        return
    io = one.io
    yield f"{count(io.reads, 'read')} ({size(io.read_bytes)}), {count(io.writes, 'write')} ({size(io.written_bytes)})"
    yield f"{io.in_flight} in flight, busy for {io.busy_milliseconds / 1000:.1f} s since it was opened"


def _opened(one: SeenVolume) -> Iterator[str]:
    opening = one.opening
    if opening is not None:
        how = f"by {opening.by}" if opening.by else f"not: {opening.code}"
        yield f"{_moment(opening.at)} {how}"
    elif one.seen.mapping.state is not MappingState.ABSENT:
        yield "unknown by what: not by volward in this boot"


def _operations(one: SeenVolume) -> Iterator[str]:
    if one.operations_error:
        yield "unknown"
        return
    for record in one.operations:
        yield f"{record.operation}, {count(len(record.steps_done), 'step')} done"
    if not one.operations:
        yield "none unfinished"
