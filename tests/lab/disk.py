"""A data disk of a virtual host: a sparse raw file outside, a disk with a serial number inside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.lab.errors import LabError

if TYPE_CHECKING:
    from tests.lab.host import Host

CHUNK_BYTES = 4 * 1024 * 1024
# virtio-blk has no room for more.
LONGEST_SERIAL = 20


class Bus(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"


class Disk:
    """Made by `Host.disk`. Attached until `unplug`; its image outlives power cuts and restores."""

    def __init__(
        self, host: Host, *, serial: str, size_bytes: int, bus: Bus, physical_block_bytes: int, slot: int
    ) -> None:
        if not serial or len(serial) > LONGEST_SERIAL:
            raise LabError(f"a serial number has 1 to {LONGEST_SERIAL} characters, not {serial!r}")
        self._host = host
        self.slot = slot
        self._physical_block_bytes = physical_block_bytes
        self.serial = serial
        self.bus = bus
        self.size_bytes = size_bytes
        self.plugged = False
        self.image = host.machine.directory / f"disk{slot}.raw"
        with self.image.open("xb") as file:
            file.truncate(size_bytes)

    @property
    def link(self) -> str:
        """The stable link in the guest."""
        prefix = "virtio-" if self.bus is Bus.VIRTIO else "scsi-0QEMU_QEMU_HARDDISK_"
        return f"/dev/disk/by-id/{prefix}{self.serial}"

    @property
    def path_in_guest(self) -> str:
        """The kernel's name for it at this moment, such as /dev/vdb."""
        return self._host.run("readlink", "-e", self.link).stdout.strip()

    def plug(self) -> None:
        """Attach the disk to the running host and wait until its link is there."""
        if self.plugged:
            raise LabError(f"disk {self.serial} is plugged in already")
        qmp = self._host.machine.qmp
        qmp.execute("blockdev-add", self._node())
        qmp.execute("device_add", self._device())
        self.plugged = True
        self.wait_for_link()

    def unplug(self) -> None:
        """Pull the disk out, mounted or not, and wait until the guest has noticed."""
        if not self.plugged:
            raise LabError(f"disk {self.serial} is not plugged in")
        qmp = self._host.machine.qmp
        qmp.forget("DEVICE_DELETED")
        qmp.execute("device_del", {"id": self._id})
        qmp.wait_for("DEVICE_DELETED", device=self._id)
        qmp.execute("blockdev-del", {"node-name": self._id})
        self.plugged = False
        self._host.sh('udevadm settle; while [ -e "$1" ]; do sleep 0.05; done', self.link, timeout=30)

    def replug(self, *, serial: str | None = None) -> None:
        """Pull the disk out (if it is in) and put it back, as a disk of another serial number if one is given."""
        if self.plugged:
            self.unplug()
        if serial is not None:
            self.serial = serial
        self.plug()

    def remove(self) -> None:
        """Pull the disk out for good; its place is free for another, and its content is gone."""
        if self.plugged:
            self.unplug()
        self.image.unlink()
        self._host.forget(self)

    def wait_for_link(self) -> None:
        """Wait until udev has made the link."""
        script = 'until [ -b "$1" ]; do sleep 0.03; done'
        self._host.sh(script, self.link, timeout=60)

    def grow(self, size_bytes: int) -> None:
        """Make the disk larger while it is in use; the guest sees the new size at once."""
        if self.plugged:
            self._host.machine.qmp.execute("block_resize", {"node-name": self._id, "size": size_bytes})
        else:
            os.truncate(self.image, size_bytes)
        self.size_bytes = size_bytes

    def sha256(self) -> str:
        """The hash of the whole disk, after the guest has written out what it holds in memory.

        QEMU writes into this machine's page cache, which is what we read: no flush is needed here.
        """
        self._flush_guest()
        digest = hashlib.sha256()
        with self.image.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def find(self, needle: bytes) -> int | None:
        """The offset of the first place on the raw disk that holds these bytes, or None.

        `needle` must not begin or end with a zero byte: holes in the image are skipped.
        """
        self._flush_guest()
        return next((at for at in self._occurrences(needle)), None)

    def contains(self, needle: bytes) -> bool:
        """Whether these bytes are anywhere on the raw disk."""
        return self.find(needle) is not None

    def peek(self, offset: int, length: int) -> bytes:
        """Read the raw disk from outside."""
        self._flush_guest()
        with self.image.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def poke(self, offset: int, data: bytes) -> None:
        """Change the raw disk from outside. The guest may hold older contents in its page cache."""
        with self.image.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    @property
    def boot_arguments(self) -> list[str]:
        """QEMU's words for having this disk from the start."""
        return ["-blockdev", json.dumps(self._node()), "-device", json.dumps(self._device())]

    @property
    def _id(self) -> str:
        return f"disk{self.slot}"

    def _node(self) -> dict[str, object]:
        return {
            "driver": "raw",
            "node-name": self._id,
            "discard": "unmap",
            # Cuts are cuts of QEMU: what it has submitted is in this machine's page cache and stays.
            "cache": {"no-flush": True, "direct": False},
            "file": {"driver": "file", "filename": str(self.image)},
        }

    def _device(self) -> dict[str, object]:
        common: dict[str, object] = {
            "id": self._id,
            "drive": self._id,
            "serial": self.serial,
            "physical_block_size": self._physical_block_bytes,
        }
        if self.bus is Bus.VIRTIO:
            return {"driver": "virtio-blk-pci", "bus": f"port{self.slot}", **common}
        return {"driver": "scsi-hd", "bus": "scsi.0", "scsi-id": self.slot, **common}

    def _flush_guest(self) -> None:
        if self.plugged and self._host.machine.is_on:
            self._host.sh('sync; blockdev --flushbufs "$1"', self.link)

    def _occurrences(self, needle: bytes) -> Iterator[int]:
        if len(needle) < 4 or 0 in (needle[0], needle[-1]):
            raise LabError("look for at least four bytes, without a zero at either end")
        overlap = len(needle) - 1
        with self.image.open("rb", buffering=0) as file:
            for start, end in _extents(file.fileno()):
                tail = b""
                position = start
                while position < end:
                    chunk = os.pread(file.fileno(), min(CHUNK_BYTES, end - position), position)
                    if not chunk:
                        break
                    window = tail + chunk
                    at = window.find(needle)
                    if at >= 0:
                        yield position - len(tail) + at
                    tail = window[-overlap:]
                    position += len(chunk)


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that were ever written (lseek(2), SEEK_DATA)."""
    size = os.fstat(descriptor).st_size
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            # ENXIO: nothing but a hole up to the end.
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
