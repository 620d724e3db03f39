"""Status as JSON, as docs/reference/status.schema.json publishes it. Pure.

A field is null when there is no such thing or it is not known; the "presence" or "state" beside it says which.
"""

import dataclasses
from collections.abc import Sequence

from volward.model import Device, Header, Keyslot, MappingState, Presence, StoreKind
from volward.report import key_ages, keyslots
from volward.report.condition import Condition
from volward.report.remark import Remark
from volward.report.status import Judged
from volward.report.volume import SeenVolume

SCHEMA_VERSION = 1  # rises when a field goes away or changes its meaning; new fields may come at any time


def as_json(volumes: Sequence[Judged]) -> dict[str, object]:
    """Return the whole document."""
    return {"schema_version": SCHEMA_VERSION, "volumes": [_volume(one, condition) for one, condition in volumes]}


def _volume(one: SeenVolume, condition: Condition) -> dict[str, object]:
    return {
        "name": one.spec.name,
        "state": str(condition.state),
        "problems": [_remark(remark) for remark in condition.problems],
        "notes": [_remark(remark) for remark in condition.notes],
        "store": str(one.spec.store),
        "open_at_boot": one.spec.open_at_boot,
        "device": _device(one),
        "pin": _pin(one),
        "header": _header(one),
        "rotation": key_ages.as_json(one),
        "vault_login": _login(one),
        "mapping": _mapping(one),
        "mount": _mount(one),
        "consumers": [{"name": each.name, "running": _yes_no_unknown(each.runs)} for each in one.consumers],
        "opening": _opening(one),
        "operations": _operations(one),
    }


def _login(one: SeenVolume) -> dict[str, object] | None:
    life = one.login
    if life is None:
        return None
    return {
        "address": life.address,
        "seen_at": life.seen_at,
        "ends_at": life.ends_at,
        "uses_left": life.uses_left or None,
    }


def _remark(remark: Remark) -> dict[str, object]:
    return {"what": remark.what, "resolution": remark.resolution}


def _device(one: SeenVolume) -> dict[str, object]:
    seen = one.seen
    return {
        "configured": str(one.spec.device),
        "is_file": one.spec.is_file,
        "presence": str(seen.device_presence),
        "error": seen.device_error or None,
        "found": _found(seen.device) if seen.device else None,
    }


def _found(device: Device) -> dict[str, object]:
    identity = device.identity
    return {
        "node": str(device.node),
        "number": device.number or None,
        "class": str(identity.device_class),
        "serial": identity.serial or None,
        "wwn": identity.wwn or None,
        "size_bytes": identity.size_bytes,
        "physical_sector_bytes": device.physical_sector_bytes,
        "logical_sector_bytes": device.logical_sector_bytes,
        "rotational": device.rotational,
        "read_only": device.read_only,
    }


def _pin(one: SeenVolume) -> dict[str, object]:
    pin, device = one.seen.pin, one.seen.device
    presence = Presence.UNKNOWN if one.pin_error else Presence.PRESENT if pin else Presence.ABSENT
    return {
        "presence": str(presence),
        "error": one.pin_error or None,
        "uuid": pin.luks_uuid if pin else None,
        "serial": (pin.identity.serial or None) if pin else None,
        "discrepancies": list(device.identity.differences(pin.identity)) if pin and device else None,
    }


def _header(one: SeenVolume) -> dict[str, object]:
    seen = one.seen
    return {
        "presence": str(Presence.ABSENT if one.spec.store is StoreKind.SCRATCH else seen.header_presence),
        "error": seen.header_error or None,
        "luks2": _luks2(seen.header, recovery_confirmed=seen.recovery_confirmed) if seen.header else None,
        "scratch_uuid": seen.scratch_uuid or None,
        "same_uuid_on": list(seen.same_uuid_elsewhere),
        "backup": _backup(one),
    }


def _backup(one: SeenVolume) -> dict[str, object] | None:
    backup = one.header_backup
    if backup is None:
        return None
    return {
        "state": str(backup.freshness),
        "file": str(backup.file) if backup.file else None,
        "created_at": backup.created_at or None,
        "error": backup.error or None,
    }


def _luks2(header: Header, *, recovery_confirmed: bool) -> dict[str, object]:
    return {
        "uuid": header.uuid,
        "label": header.label or None,
        "subsystem": header.subsystem or None,
        "sequence": header.sequence,
        "primary": str(header.primary),
        "secondary": str(header.secondary),
        "cipher": header.cipher or None,
        "key_bits": header.key_bits,
        "sector_size_bytes": header.sector_size_bytes,
        "data_offset_bytes": header.data_offset_bytes,
        "requirements": list(header.requirements),
        "flags": list(header.flags),
        "recovery_confirmed": recovery_confirmed,
        "keyslots": [_keyslot(header, slot) for slot in header.keyslots],
        "tokens": [
            {
                "number": token.number,
                "type": token.type,
                "provider": token.provider or None,
                "foreign": keyslots.is_foreign(token),
                "keyslots": list(token.keyslots),
            }
            for token in header.tokens
        ],
    }


def _keyslot(header: Header, slot: Keyslot) -> dict[str, object]:
    return {
        "number": slot.number,
        "kdf": slot.kdf,
        "kdf_hash": slot.kdf_hash or None,
        "iterations": slot.iterations,
        "memory_kib": slot.memory_kib,
        "lanes": slot.lanes,
        "key_bits": slot.key_bits,
        "priority": slot.priority,
        "opens_data": slot.opens_data,
        "opened_by": list(keyslots.openers(header, slot.number)),
    }


def _mapping(one: SeenVolume) -> dict[str, object]:
    mapped, table = one.seen.mapping, one.table
    return {
        "name": mapped.name,
        "state": str(mapped.state),
        "detail": mapped.detail or None,
        "node": str(mapped.node) if mapped.node else None,
        "number": mapped.number or None,
        "dm_uuid": mapped.dm_uuid or None,
        "backing_number": mapped.backing_number or None,
        "size_bytes": mapped.size_bytes if mapped.state is not MappingState.ABSENT else None,
        "table": {
            "cipher": table.cipher,
            "key_bits": table.key_bits,
            "key_in_keyring": table.key_in_keyring,
            "offset_bytes": table.offset_bytes,
            "flags": list(table.flags),
        }
        if table
        else None,
        "io": dataclasses.asdict(one.io) if one.io else None,
        "content": one.seen.mapping_file_system or None,
    }


def _mount(one: SeenVolume) -> dict[str, object]:
    seen, mount = one.seen, one.seen.mount
    return {
        "path": str(one.spec.mount_point) if one.spec.mount_point else None,
        "state": str(seen.mount_point) if one.spec.mount_point else None,
        "is_this_volume": one.mounted_here,
        "source": mount.source if mount else None,
        "file_system": mount.file_system if mount else None,
        "options": list(mount.options) if mount else None,
        "read_only": mount.read_only if mount else None,
        "space": dataclasses.asdict(one.space) if one.space else None,
        "unit": str(seen.mount_unit),
        "directories_differ": list(seen.directories_differ),
        "swap_active": seen.swap_active,
    }


def _opening(one: SeenVolume) -> dict[str, object] | None:
    opening = one.opening
    if opening is None:
        return None
    failure = {"code": opening.code, "what": opening.error, "resolution": opening.resolution} if opening.error else None
    return {"at": opening.at, "by": opening.by or None, "failed_before": list(opening.degraded), "error": failure}


def _operations(one: SeenVolume) -> dict[str, object]:
    return {
        "error": one.operations_error or None,
        "unfinished": [
            {
                "operation": record.operation,
                "verb": record.verb,
                "begun_at": record.begun_at,
                "steps_done": list(record.steps_done),
                "step_begun": record.step_begun,
            }
            for record in one.operations
        ],
    }


def _yes_no_unknown(presence: Presence) -> bool | None:
    return {Presence.PRESENT: True, Presence.ABSENT: False}.get(presence)
