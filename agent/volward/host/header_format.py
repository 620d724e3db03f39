"""What a copy of a LUKS2 header is made of: the binary header, the JSON area, the checksum over both.

Follows the LUKS2 On-Disk Format Specification 1.1.x (sections 2 and 3). Pure: works on bytes alone.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import NamedTuple

MAGIC_PRIMARY = b"LUKS\xba\xbe"
MAGIC_SECONDARY = b"SKUL\xba\xbe"
SECONDARY_OFFSETS = tuple(0x4000 << shift for shift in range(9))  # 16 KiB to 4 MiB, the only legal sizes
BINARY_BYTES = 4096

_BINARY = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
_CHECKSUM_OFFSET = 448
_CHECKSUM_BYTES = 64
_CHECKSUMS = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})


class Binary(NamedTuple):
    """The binary header, field by field (section 2.1)."""

    magic: bytes
    version: int
    size_bytes: int  # of the whole copy, JSON area included
    sequence: int
    label: bytes
    algorithm: bytes
    salt: bytes
    uuid: bytes
    subsystem: bytes
    offset_bytes: int
    padding: bytes
    checksum: bytes


class DamageError(Exception):
    """Why a copy cannot be used, in a few words."""


def binary_of(content: bytes) -> Binary:
    """Return the fields of a copy's first BINARY_BYTES."""
    return Binary._make(_BINARY.unpack_from(content))


def check_sum(binary: bytes, area: bytes, fields: Binary) -> None:
    """Compare the checksum of a copy. Raises DamageError."""
    digest = _digest(binary, area, fields)
    if digest != fields.checksum[: len(digest)]:
        raise DamageError("its checksum is wrong")


def document(area: bytes, size_bytes: int) -> dict[str, object]:
    """Parse the JSON area: an object, a NUL, and nothing but zeroes behind it. Raises DamageError, ValueError."""
    text, nul, rest = area.partition(b"\0")
    if not nul or rest.strip(b"\0"):
        raise DamageError("its JSON area does not end in zeroes")
    found = object_of(json.loads(text))
    if integer_of(object_of(found["config"])["json_size"]) != size_bytes - BINARY_BYTES:
        raise DamageError("its JSON size is impossible")
    return found


def copy_of(fields: Binary, content: Mapping[str, object]) -> bytes:
    """Return a copy with these fields, its JSON and a checksum of its own. Raises DamageError for too much JSON."""
    text = json.dumps(content, separators=(",", ":")).encode()
    room = fields.size_bytes - BINARY_BYTES
    if len(text) >= room:
        raise DamageError("its JSON does not fit")
    area = text.ljust(room, b"\0")
    binary = _BINARY.pack(*fields).ljust(BINARY_BYTES, b"\0")
    digest = _digest(binary, area, fields)
    checksum = digest.ljust(_CHECKSUM_BYTES, b"\0")
    return binary[:_CHECKSUM_OFFSET] + checksum + binary[_CHECKSUM_OFFSET + _CHECKSUM_BYTES :] + area


def _digest(binary: bytes, area: bytes, fields: Binary) -> bytes:
    """Return the checksum: over the binary header with the checksum zeroed, then the JSON area (2.4)."""
    algorithm = string_of(fields.algorithm)
    if algorithm not in _CHECKSUMS:
        raise DamageError("its checksum is of an unknown kind")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    digest.update(binary[:_CHECKSUM_OFFSET])
    digest.update(bytes(_CHECKSUM_BYTES))
    digest.update(binary[_CHECKSUM_OFFSET + _CHECKSUM_BYTES :])
    digest.update(area)
    return digest.digest()


def string_of(field: bytes) -> str:
    """Decode a NUL-terminated field of the binary header."""
    return printable(field.partition(b"\0")[0].decode("utf-8", errors="replace"))


def printable(text: object) -> str:
    """Return a text without what could steer the terminal of the one who reads it. Raises TypeError."""
    if not isinstance(text, str):
        raise TypeError("not a string")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def object_of(value: object) -> dict[str, object]:
    """Return a JSON object. Raises TypeError."""
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def strings_of(value: object) -> tuple[str, ...]:
    """Return a JSON list of strings, printable. Raises TypeError."""
    if not isinstance(value, list):
        raise TypeError("not a list of strings")
    return tuple(printable(one) for one in value)


def integer_of(value: object) -> int:
    """Return a JSON integer, or a 64-bit one, which LUKS2 writes as a decimal string (3.1).

    Raises ValueError, TypeError.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("not an integer")
    number = int(value)
    if number < 0:
        raise ValueError("negative")
    return number
