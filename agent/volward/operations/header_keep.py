"""Keeping aside what is on a device before its header is overwritten: sealed and proven as a backup is."""

import os
from collections.abc import Sequence
from pathlib import Path

from volward.header_backup import recipients
from volward.header_backup.facts import Kind
from volward.header_backup.recipients import SealingKeys
from volward.host import header, header_area
from volward.keys import recovery_pair
from volward.keys.source import KeyRef
from volward.model import Device, VolumeSpec
from volward.operations.header_backup import facts_of, prove_sealing, write


def keep(
    spec: VolumeSpec,
    device: Device,
    keys: SealingKeys,
    recovery: Sequence[KeyRef] = (),
    *,
    length: int,
    luks_uuid: str,
) -> str:
    """Save the present header area, readable or not, sealed like a backup; return the file's name.

    ``length`` in bytes is what is going to be overwritten; more is kept where the header says that it is larger.
    ``recovery`` are recovery keys to seal it to, beside those of the present header; ``luks_uuid`` is the volume's.
    Raises what writing a backup raises.
    """
    found = header.read(device.node).header
    area = header_area.read(device.node, max(length, found.area_bytes if found else 0))
    facts = facts_of(spec, device, found, area, Kind.KEPT, luks_uuid=luks_uuid)
    known = {ref.details[recovery_pair.PUBLIC] for ref in recovery}
    own = [ref for ref in recipients.recovery_refs(found) if ref.details[recovery_pair.PUBLIC] not in known]
    path, _ = write(
        spec, facts, area, keys, [*recovery, *own], prove=lambda written: prove_sealing(written, area, keys)
    )
    return path.name


def sync(node: Path) -> None:
    """Have the device write its cache. Raises OSError."""
    descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
