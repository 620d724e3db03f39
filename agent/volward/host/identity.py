"""Which device this is: serial number, WWN, UUID and size of a block device, from sysfs alone.

Never from the link's name and never from the udev database, which both may be of yesterday. Follows
Documentation/ABI in the Linux source: stable/sysfs-block, testing/sysfs-block-dm, sysfs-block-device,
sysfs-nvme; and SPC-4 7.8.4 for the SCSI serial number page. Owns no host commands.
"""

import contextlib
import os
from pathlib import Path

from volward.model import DeviceClass, Identity

SECTOR_BYTES = 512  # sysfs counts in these, whatever the device's own sector is
_VPD_HEADER_BYTES = 4
_PAGE_BYTES = 4096  # an attribute is no longer than a page (Documentation/filesystems/sysfs.rst)


def attribute(path: Path) -> str:
    """Return an attribute without surrounding blanks and NULs. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # by hand: asked very often, and half the system calls
    try:
        return os.read(descriptor, _PAGE_BYTES).decode(errors="replace").strip(" \t\r\n\0")
    finally:
        os.close(descriptor)


def text(path: Path) -> str:
    """Return an attribute; "" when there is none or it cannot be read."""
    with contextlib.suppress(OSError):
        return attribute(path)
    return ""


def number(path: Path) -> int:
    """Return a decimal attribute; 0 when there is none."""
    digits = text(path)
    return int(digits) if digits.isdecimal() else 0


def of(directory: Path, *, dev: Path) -> Identity:
    """Return the identity of the block device of a (resolved) sysfs directory. Raises OSError without a size."""
    size_bytes = int(attribute(directory / "size")) * SECTOR_BYTES
    there = os.listdir(directory)  # noqa: PTH208 (names alone)
    if "partition" in there:
        disk = of(directory.parent, dev=dev)
        return Identity(
            device_class=DeviceClass.PARTITION,
            size_bytes=size_bytes,
            serial=disk.serial,
            wwn=disk.wwn,
            partition=f"{text(directory / 'partition')}@{text(directory / 'start')}",
            dm_uuid=disk.dm_uuid,
            md_uuid=disk.md_uuid,
            path=disk.path,
        )
    if "dm" in there:
        dm_uuid = text(directory / "dm/uuid")
        return Identity(_dm_class(dm_uuid), size_bytes, dm_uuid=dm_uuid)
    if "md" in there:
        return Identity(DeviceClass.MD, size_bytes, md_uuid=_md_uuid(directory, dev))
    if directory.name.startswith("loop"):
        return Identity(DeviceClass.LOOP, size_bytes, path=text(directory / "loop/backing_file"))
    return Identity(DeviceClass.DISK, size_bytes, serial=_serial(directory), wwn=_wwn(directory))


def _dm_class(dm_uuid: str) -> DeviceClass:
    if dm_uuid.startswith("LVM-"):
        return DeviceClass.LOGICAL_VOLUME
    return DeviceClass.MULTIPATH if dm_uuid.startswith("mpath-") else DeviceClass.MAPPING


def _md_uuid(directory: Path, dev: Path) -> str:
    """Return 32 hexadecimal digits; kernels whose sysfs lacks md/uuid leave only udev's md-uuid link."""
    uuid = text(directory / "md/uuid")
    if not uuid:
        for link in sorted((dev / "disk/by-id").glob("md-uuid-*")):
            if link.resolve().name == directory.name:
                uuid = link.name.removeprefix("md-uuid-")
                break
    return "".join(letter for letter in uuid.lower() if letter in "0123456789abcdef")


def _serial(directory: Path) -> str:
    """virtio: serial; NVMe and MMC: device/serial; SCSI: VPD page 0x80; USB: the USB device's serial."""
    for attribute in ("serial", "device/serial"):
        if found := text(directory / attribute):
            return found
    with contextlib.suppress(OSError):
        page = (directory / "device/vpd_pg80").read_bytes()
        length = int.from_bytes(page[2:_VPD_HEADER_BYTES], "big")
        if found := page[_VPD_HEADER_BYTES : _VPD_HEADER_BYTES + length].decode(errors="replace").strip(" \0"):
            return found
    return next((text(up / "serial") for up in directory.parents if (up / "idVendor").exists()), "")


def _wwn(directory: Path) -> str:
    """NVMe: wwid of the name space (one controller serves several); SCSI: device/wwid; MMC: the card's cid."""
    return next((found for name in ("wwid", "device/wwid", "device/cid") if (found := text(directory / name))), "")
