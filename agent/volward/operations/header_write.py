"""A header area over the one of a device: shown to be the one of the data before, compared and tried afterwards.

What is there must have been kept before (header_keep.py). Each function can be done again after a cut.
"""

from pathlib import Path

from volward.errors import IdentityError, VerificationError
from volward.header_backup.scratch import Scratch
from volward.host import block, cryptsetup, header, header_area, superblock
from volward.model import Device, VolumeSpec
from volward.operations.header_keep import sync
from volward.secret import SecretBytes


def misfit(one: Scratch, spec: VolumeSpec, node: Path, key: SecretBytes, keyslot: int, *, is_open: bool) -> str | None:
    """Return what the header's volume key finds in the data in place of the volume's file system; None when it fits.

    "" or "unknown": nothing that volward knows. ``is_open``: it has to be the very file system of the open mapping.
    """
    kind, uuid = one.file_system(node, spec.name, key, keyslot)
    there = superblock.read(spec.mapping_path)[1] if is_open else uuid
    return None if kind == spec.file_system and uuid == there else kind


def write(spec: VolumeSpec, device: Device, image: Path, area: bytes) -> None:
    """Write the area, which is in the file ``image`` too, by `cryptsetup luksHeaderRestore`.

    Raises IdentityError when the link leads to another device by now, VerificationError, ToolFailedError, OSError.
    """
    now = block.of_volume(spec)
    if now.identity != device.identity:
        raise IdentityError(
            f"{spec.device} leads to another device than a moment ago.",
            resolution="Nothing was written to it. Find out why the link changed, then run the same command again.",
        )
    cryptsetup.restore_header(now.node, image)
    if header_area.read(now.node, len(area)) != area:
        raise VerificationError(
            f"The header area of {now.node} is not what was written to it.",
            resolution="Look at `dmesg`: the disk may be failing. What was to be written is whole; run the same "
            "command again.",
        )
    sync(now.node)


def check(node: Path, area: bytes, key: SecretBytes, keyslot: int) -> None:
    """Raise VerificationError unless the area is there, whole, and the key opens its keyslot."""
    found = header.read(node)
    if found.header is None or found.header.damaged or header_area.read(node, len(area)) != area:
        raise VerificationError(
            f"The header of {node} is not whole after it was written: {found.error or 'it was changed since'}",
            resolution="Look at `dmesg`, then run the same command again.",
        )
    if not cryptsetup.test_key(node, key, keyslot=keyslot):
        raise VerificationError(
            f"Keyslot {keyslot} of {node} does not open, though it opened in the scratch file.",
            resolution="Look at `dmesg`: the disk may be failing. Copy it to another one.",
        )
