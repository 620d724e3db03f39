"""A volume's own header, both copies whole: what a backup may be made of, and what older backups are measured by.

Needs no secret and changes nothing.
"""

from volward import pins
from volward.errors import DamagedHeaderError, ForeignHeaderError, NotProvisionedError
from volward.host import block, header, header_area
from volward.model import Device, Header, StoreKind, VolumeSpec


def read(spec: VolumeSpec) -> tuple[Device, Header, bytes]:
    """Return the device, its whole header, and the header area. Raises DamagedHeaderError and the like."""
    if spec.store is StoreKind.SCRATCH:
        raise NotProvisionedError(
            f"{spec.name} is a scratch volume: it has no header, and a new key each time.",
            resolution="There is nothing to back up.",
        )
    device = block.of_volume(spec)
    reading = header.read(device.node)
    if reading.header is None:
        raise DamagedHeaderError(
            f"{spec.device} has no LUKS2 header that can be read: {reading.error or 'there is none'}",
            resolution=f"Restore a backup: `volward header restore {spec.name}`.",
        )
    area = header_area.read(device.node, reading.header.area_bytes)
    found = header.parse(area, name=str(spec.device)).header
    if found is None or found.damaged:
        raise DamagedHeaderError(
            f"One copy of the header of {spec.name} is not whole, and a backup is to be of a whole one.",
            resolution=f"Mend it first: `volward header repair {spec.name}`.",
        )
    pin = pins.read(spec.name)
    if pin is None or pin.luks_uuid != found.uuid:
        raise ForeignHeaderError(
            f"{spec.device} carries LUKS UUID {found.uuid}, which is not pinned for {spec.name}.",
            resolution=f"`volward repin {spec.name}` settles it, if that is on purpose.",
        )
    return device, found, area
