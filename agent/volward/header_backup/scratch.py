"""A scratch file that a header area is restored into, so that a backup is proven by stock cryptsetup's own restore.

It lives in a private directory on /run (a tmpfs: nothing reaches the disk), goes when its user is done, and what a
killed run left goes with the next one. The proof of the data reads the beginning of the encrypted data from the device
into a scratch file too: the device itself is only read, whoever has it open. Uses cryptsetup(8) through
host.cryptsetup.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from volward import durable
from volward.header_backup import facts as prologue
from volward.host import cryptsetup, header, header_area, superblock
from volward.model import Header
from volward.secret import SecretBytes

DIRECTORY = Path("/run/volward/header")
_DATA_BYTES = 1024 * 1024  # the superblocks of ext4 and xfs are in the first few KiB


class Scratch:
    """A header area as a file, and restored into another one."""

    def __init__(self, directory: Path, name: str, area: bytes) -> None:
        """Restore the area. Raises HeaderBackupError when it holds no whole LUKS2 header, ToolFailedError, OSError."""
        reading = header.parse(area, name=name)
        if reading.header is None or reading.header.damaged:
            raise prologue.damaged(name, reading.error.rstrip(".") or "it holds no LUKS2 header")
        self.header: Header = reading.header
        self.image = directory / "image"  # what luksHeaderRestore takes
        self.restored = directory / "restored"
        self.image.write_bytes(area)
        with self.restored.open("wb") as file:
            file.truncate(len(area))
        cryptsetup.restore_header(self.restored, self.image)
        if header_area.read(self.restored, len(area)) != area:
            raise prologue.damaged(name, "cryptsetup restores something else from it")

    def opens(self, key: SecretBytes, keyslot: int) -> bool:
        """Whether the key opens that very keyslot of the restored header."""
        return cryptsetup.test_key(self.restored, key, keyslot=keyslot)

    def file_system(self, device: Path, volume: str, key: SecretBytes, keyslot: int) -> tuple[str, str]:
        """Return type and UUID of the file system that this header's volume key finds on ``device``.

        ("", "") when it finds nothing that volward knows: then it is the header of other data. The device is read
        and not opened, so it may be in use. Raises what opening a mapping raises, OSError.
        """
        name = f"volward.proof.{volume}"  # a volume's own mapping has no dot
        beginning = header_area.read_data(device, self.header.data_offset_bytes, _DATA_BYTES)
        data = self.image.with_name("data")
        with data.open("wb") as file:
            file.truncate(self.header.data_offset_bytes)
            file.seek(self.header.data_offset_bytes)
            file.write(beginning)
        cryptsetup.close(name)  # of a run that was killed
        cryptsetup.open(
            data, name, key=key, keyslot=keyslot, discard=False, read_only=True, detached_header=self.restored
        )
        try:
            return superblock.read(Path("/dev/mapper") / name)
        finally:
            cryptsetup.close(name)


@contextlib.contextmanager
def restored(name: str, area: bytes, *, directory: Path = DIRECTORY) -> Iterator[Scratch]:
    """Yield the scratch of a header area; ``name`` is for messages. The caller holds the volume's lock."""
    durable.make_directory(directory, mode=0o700)
    _sweep(directory)
    place = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}.", dir=directory))
    try:
        yield Scratch(place, name, area)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Remove what runs left that live no more; their process number is in the name."""
    for path in directory.iterdir():
        process = path.name.partition(".")[0]
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(path, ignore_errors=True)
