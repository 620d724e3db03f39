"""The marker of a claimed scratch device: a UUID of its own in the first MiB, which the mapping leaves out.

One 4,096-byte block at offset 0: 16 bytes of magic, 32 bytes SHA-256 of the rest, then JSON padded with
zeros. Reading needs no secret and writes nothing. Calls no host commands.
"""

import hashlib
import json
import os
from pathlib import Path

from volward.model import MIB

MAGIC = b"VOLWARD-SCRATCH\x00"
BLOCK_BYTES = 4096
DATA_OFFSET_BYTES = MIB


def read(node: Path) -> str:
    """Return the marker's UUID; "" when there is no whole marker or the device cannot be read."""
    try:
        with node.open("rb") as device:
            content = device.read(BLOCK_BYTES)
    except OSError:
        return ""
    body = content[48:]
    if content[:16] != MAGIC or content[16:48] != hashlib.sha256(body).digest():
        return ""
    try:
        return str(json.loads(body.rstrip(b"\x00"))["uuid"])
    except (ValueError, KeyError, TypeError):
        return ""


def write(node: Path, *, uuid: str, volume: str) -> None:
    """Write the marker and sync it; exclusively, so that a device in use is refused. Raises OSError."""
    body = json.dumps({"uuid": uuid, "volume": volume, "version": 1}).encode().ljust(BLOCK_BYTES - 48, b"\x00")
    flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_EXCL if node.is_block_device() else 0)
    descriptor = os.open(node, flags)
    try:
        os.pwrite(descriptor, MAGIC + hashlib.sha256(body).digest() + body, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
