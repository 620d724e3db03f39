"""What an action works on: the volume's device as its link leads to it now, and the header on it."""

from pathlib import Path

from volward.apply.work import Work
from volward.errors import DamagedHeaderError
from volward.host import block, header
from volward.model import Device, Header, Presence


def resolved(work: Work) -> Device:
    """Return the volume's device as its link leads to it now. Raises DeviceNotFoundError, DeviceUnknownError."""
    return block.of_volume(work.spec)


def read_header(node: Path) -> Header:
    """Return the header. Raises DamagedHeaderError."""
    found = header.read(node)
    if found.header is None or found.presence is not Presence.PRESENT:
        raise DamagedHeaderError(
            f"The LUKS2 header of {node} cannot be read: {found.error or 'there is none'}",
            resolution="Do not format. `volward header restore VOLUME` brings it back from a backup.",
        )
    return found.header
