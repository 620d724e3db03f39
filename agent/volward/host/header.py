"""The LUKS2 header, read by volward itself: no key, no lock, no child process.

Follows the LUKS2 On-Disk Format Specification 1.1.x (sections 2 and 3): two copies, each a 4096-byte binary
header and a JSON area behind it, with a checksum over both and a sequence number. cryptsetup silently serves
a wrecked primary from the secondary copy; this parser says so. Owns no host commands: it opens the device
read-only and reads the header areas alone.
"""

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from volward.model import CopyState, Header, Keyslot, Presence, Token

MAGIC_PRIMARY = b"LUKS\xba\xbe"
MAGIC_SECONDARY = b"SKUL\xba\xbe"
SECONDARY_OFFSETS = tuple(0x4000 << shift for shift in range(9))  # 16 KiB to 4 MiB, the only legal sizes

_BINARY_BYTES = 4096
_BINARY = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
_CHECKSUM_OFFSET = 448
_CHECKSUM_BYTES = 64
_CHECKSUMS = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
_RACE_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class HeaderReading:
    """What stands where a LUKS header would: PRESENT with ``header`` None means LUKS1 or damage; see ``error``."""

    presence: Presence
    header: Header | None = None
    error: str = ""  # a sentence; "" when there is nothing to say


@dataclass(frozen=True)
class _Copy:
    """One copy; ``header`` is set only when the state is VALID."""

    state: CopyState
    size_bytes: int = 0  # 0: not known
    header: Header | None = None
    why: str = ""


class _Binary(NamedTuple):
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


ReadAt = Callable[[int, int], bytes]
"""Reads so many bytes at an offset, fewer only at the end. Raises OSError."""


class _DamageError(Exception):
    """Why a copy cannot be used, in a few words."""


class _Luks1Error(Exception):
    pass


def read(path: Path) -> HeaderReading:
    """Read both copies of the LUKS2 header of a device or backing file; never raises for what it finds there.

    Of two valid copies the one with the higher sequence counts and the other is STALE. A copy that is not
    valid is looked at a second time, since another process may have been writing it.
    """
    reading = _read_once(path)
    if reading.presence is Presence.PRESENT and (reading.header is None or reading.header.damaged):
        time.sleep(_RACE_PAUSE_SECONDS)
        reading = _read_once(path)
    return reading


def _read_once(path: Path) -> HeaderReading:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return HeaderReading(Presence.UNKNOWN, None, f"{path} cannot be opened: {error.strerror}.")
    try:
        return _both(str(path), lambda length, offset: _read_at(descriptor, length, offset))
    finally:
        os.close(descriptor)


def parse(area: bytes | bytearray | memoryview, *, name: str) -> HeaderReading:
    """Read both copies from the content of a header area, such as a backup's; ``name`` is for the sentences."""
    return _both(name, lambda length, offset: bytes(area[offset : offset + length]))


def _both(name: str, read_at: ReadAt) -> HeaderReading:
    try:
        primary = _copy(read_at, 0, MAGIC_PRIMARY)
        offsets = (primary.size_bytes,) if primary.size_bytes else SECONDARY_OFFSETS
        secondary = _best(_copy(read_at, offset, MAGIC_SECONDARY) for offset in offsets)
    except _Luks1Error:
        return HeaderReading(Presence.PRESENT, None, f"{name} has a LUKS1 header; volward works with LUKS2 alone.")
    return _judge(name, primary, secondary)


def _best(copies: Iterable[_Copy]) -> _Copy:
    """Return the first valid copy, else the one that tells most: damaged, then unreadable, then absent."""
    order = (CopyState.DAMAGED, CopyState.UNKNOWN, CopyState.ABSENT)
    best = _Copy(CopyState.ABSENT)
    for copy in copies:
        if copy.state is CopyState.VALID:
            return copy
        best = min(best, copy, key=lambda one: order.index(one.state))
    return best


def _judge(name: str, primary: _Copy, secondary: _Copy) -> HeaderReading:
    found = [copy.header for copy in (primary, secondary) if copy.header is not None]
    reasons = "; ".join(
        f"{which} copy {copy.state}" + (f" ({copy.why})" if copy.why else "")
        for which, copy in (("primary", primary), ("secondary", secondary))
    )
    if not found:
        states = {primary.state, secondary.state}
        if states == {CopyState.ABSENT}:
            return HeaderReading(Presence.ABSENT)
        if CopyState.UNKNOWN in states:
            return HeaderReading(Presence.UNKNOWN, None, f"The LUKS header of {name} cannot be read: {reasons}.")
        return HeaderReading(Presence.PRESENT, None, f"The LUKS2 header of {name} is damaged: {reasons}.")
    newest = max(found, key=lambda header: header.sequence)  # the first of two equals: the primary
    alike = [one for one in found if (one.sequence, one.uuid) == (newest.sequence, newest.uuid)]
    header = replace(
        newest,
        primary=_stale(primary, newest),
        secondary=_stale(secondary, newest),
        checksums=tuple(checksum for one in alike for checksum in one.checksums),
    )
    return HeaderReading(
        Presence.PRESENT,
        header,
        f"One copy of the LUKS2 header of {name} is not whole: {reasons}." if header.damaged else "",
    )


def _stale(copy: _Copy, newest: Header) -> CopyState:
    """Two copies of different sequence or of different headers do not back each other up."""
    header = copy.header
    if header is not None and (header.sequence, header.uuid) != (newest.sequence, newest.uuid):
        return CopyState.STALE
    return copy.state


def _copy(read_at: ReadAt, offset: int, magic: bytes) -> _Copy:
    """Read one copy at its place. Raises _Luks1Error when the primary magic has version 1."""
    size_bytes = 0
    try:
        binary = read_at(_BINARY_BYTES, offset)
        if binary[:6] != magic:
            return _Copy(CopyState.ABSENT)
        if len(binary) < _BINARY_BYTES:
            raise _DamageError("cut off")
        fields = _Binary._make(_BINARY.unpack_from(binary))
        if offset == 0 and fields.version == 1:
            raise _Luks1Error
        if fields.version != 2:
            raise _DamageError(f"version {fields.version}")
        if (
            fields.size_bytes not in SECONDARY_OFFSETS
            or (offset and fields.size_bytes != offset)
            or fields.offset_bytes != offset
        ):
            raise _DamageError("its size or offset is impossible")
        area = read_at(fields.size_bytes - _BINARY_BYTES, offset + _BINARY_BYTES)
        _check_sum(binary, area, fields)
        header = _header(fields, _document(area, fields.size_bytes))
        size_bytes = fields.size_bytes  # believed from here on: the checksum covers it
    except OSError as error:
        return _Copy(CopyState.UNKNOWN, why=error.strerror or "read error")
    except _DamageError as error:
        return _Copy(CopyState.DAMAGED, why=str(error))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        # The checksum fits and the content does not: a hostile or a future header. Never a crash.
        return _Copy(CopyState.DAMAGED, why=f"its JSON is not as specified, {type(error).__name__}")
    return _Copy(CopyState.VALID, size_bytes, header)


def _read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Read ``length`` bytes, fewer only at the end of the device. Raises OSError."""
    parts = bytearray()
    while len(parts) < length:
        part = os.pread(descriptor, length - len(parts), offset + len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)


def _check_sum(binary: bytes, area: bytes, fields: _Binary) -> None:
    """Compare the checksum: over the binary header with the checksum zeroed, then the JSON area (2.4)."""
    algorithm = _string(fields.algorithm)
    if algorithm not in _CHECKSUMS:
        raise _DamageError("its checksum is of an unknown kind")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    digest.update(binary[:_CHECKSUM_OFFSET])
    digest.update(bytes(_CHECKSUM_BYTES))
    digest.update(binary[_CHECKSUM_OFFSET + _CHECKSUM_BYTES :])
    digest.update(area)
    if digest.digest() != fields.checksum[: digest.digest_size]:
        raise _DamageError("its checksum is wrong")


def _document(area: bytes, size_bytes: int) -> dict[str, object]:
    """Parse the JSON area: an object, a NUL, and nothing but zeroes behind it."""
    text, nul, rest = area.partition(b"\0")
    if not nul or rest.strip(b"\0"):
        raise _DamageError("its JSON area does not end in zeroes")
    document = _object(json.loads(text))
    if _integer(_object(document["config"])["json_size"]) != size_bytes - _BINARY_BYTES:
        raise _DamageError("its JSON size is impossible")
    return document


def _header(fields: _Binary, document: dict[str, object]) -> Header:
    """Build the record. Raises ValueError, TypeError or KeyError for anything not as specified (section 3)."""
    config = _object(document["config"])
    segments = _numbered(document["segments"])
    digests = _numbered(document["digests"])
    # During a re-encryption "backup-*" segments describe what was and what will be, not what is.
    live = {
        number: segment
        for number, segment in segments.items()
        if not any(flag.startswith("backup-") for flag in _strings(segment.get("flags", [])))
    }
    crypt = next((one for _, one in sorted(live.items()) if one.get("type") == "crypt"), None)
    opening = {
        int(keyslot)
        for digest in digests.values()
        if {int(segment) for segment in _strings(digest["segments"])} & set(live)
        for keyslot in _strings(digest["keyslots"])
    }
    keyslots = tuple(
        _keyslot(number, one, opening=number in opening)
        for number, one in sorted(_numbered(document["keyslots"]).items())
    )
    requirements = _object(config.get("requirements") or {})
    mandatory = _strings(requirements.get("mandatory", []))
    return Header(
        uuid=_string(fields.uuid),
        label=_string(fields.label),
        subsystem=_string(fields.subsystem),
        sequence=fields.sequence,
        primary=CopyState.VALID,
        secondary=CopyState.VALID,
        cipher=_printable(crypt["encryption"]) if crypt else "",
        key_bits=next((one.key_bits for one in keyslots if one.opens_data), 0),
        sector_size_bytes=_integer(crypt["sector_size"]) if crypt else 0,
        data_offset_bytes=min((_integer(one["offset"]) for one in live.values()), default=0),
        keyslots=keyslots,
        tokens=tuple(_token(number, one) for number, one in sorted(_numbered(document["tokens"]).items())),
        requirements=mandatory,
        flags=_strings(config.get("flags", [])),
        digests=len(digests),
        volume_key_digest=_volume_key_digest(digests, live),
        checksums=(fields.checksum.hex(),),
        area_bytes=2 * fields.size_bytes + _integer(config["keyslots_size"]),
        # cryptsetup's own sign of it (CRYPT_REENCRYPT_CRASH); an orderly stop takes the flag away.
        # cryptsetup opens nothing while the digest of any segment, one to come back to as well, has no keyslot.
        cut_at_the_end=any("reencrypt" in one for one in mandatory)
        and any(_strings(one["segments"]) and not one["keyslots"] for one in digests.values()),
        cut_in_hot_zone=any("in-reencryption" in _strings(one.get("flags", [])) for one in live.values()),
    )


def _volume_key_digest(digests: dict[int, dict[str, object]], live: dict[int, dict[str, object]]) -> str:
    """Return the digest of the one volume key that all the data are under; "" in the middle of a re-encryption."""
    found = [one for one in digests.values() if {int(each) for each in _strings(one["segments"])} & set(live)]
    return _printable(found[0].get("digest", "")) if len(found) == 1 and len(live) == 1 else ""


def _keyslot(number: int, one: dict[str, object], *, opening: bool) -> Keyslot:
    if one["type"] != "luks2":  # "reencrypt": the working area of a re-encryption, it holds no key
        return Keyslot(number, _printable(one["type"]), 0, 0, 0, 0, 0, opens_data=False)
    kdf = _object(one["kdf"])
    kind = _printable(kdf["type"])
    argon2 = kind.startswith("argon2")
    return Keyslot(
        number=number,
        kdf=kind,
        iterations=_integer(kdf["time" if argon2 else "iterations"]),
        memory_kib=_integer(kdf["memory"]) if argon2 else 0,
        lanes=_integer(kdf["cpus"]) if argon2 else 0,
        key_bits=_integer(one["key_size"]) * 8,
        priority=_integer(one.get("priority", 1)),
        opens_data=opening,
        kdf_hash="" if argon2 else _printable(kdf["hash"]),
    )


def _token(number: int, one: dict[str, object]) -> Token:
    return Token(
        number=number,
        type=_printable(one["type"]),
        keyslots=tuple(int(keyslot) for keyslot in _strings(one["keyslots"])),
        fields=MappingProxyType(one),
    )


def _string(field: bytes) -> str:
    """Decode a NUL-terminated field of the binary header."""
    return _printable(field.partition(b"\0")[0].decode("utf-8", errors="replace"))


def _printable(text: object) -> str:
    """Whoever writes a header must not steer the terminal of the one who reads it."""
    if not isinstance(text, str):
        raise TypeError("not a string")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _numbered(value: object) -> dict[int, dict[str, object]]:
    return {int(key): _object(one) for key, one in _object(value).items()}


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list of strings")
    return tuple(_printable(one) for one in value)


def _integer(value: object) -> int:
    """Take a JSON integer, or a 64-bit one, which LUKS2 writes as a decimal string (3.1)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("not an integer")
    number = int(value)
    if number < 0:
        raise ValueError("negative")
    return number
