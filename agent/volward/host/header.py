"""The LUKS2 header, read by volward itself: no key, no lock, no child process.

Follows the LUKS2 On-Disk Format Specification 1.1.x (sections 2 and 3): two copies, each a 4096-byte binary
header and a JSON area behind it, with a checksum over both and a sequence number. cryptsetup silently serves
a wrecked primary from the secondary copy; this parser says so. Owns no host commands: it opens the device
read-only and reads the header areas alone.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from volward.host import header_format, reencryption_end
from volward.host.header_format import (
    BINARY_BYTES,
    MAGIC_PRIMARY,
    MAGIC_SECONDARY,
    SECONDARY_OFFSETS,
    Binary,
    DamageError,
    integer_of,
    object_of,
    printable,
    string_of,
    strings_of,
)
from volward.model import CopyState, Header, Keyslot, Presence, Token

_RACE_PAUSE_SECONDS = 0.02
_USUAL_BYTES = 32 * 1024  # two copies of 16 KiB, as cryptsetup makes them


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


ReadAt = Callable[[int, int], bytes]
"""Reads so many bytes at an offset, fewer only at the end. Raises OSError."""


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
        return _both(str(path), _reader(descriptor))
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
        binary = read_at(BINARY_BYTES, offset)
        if binary[:6] != magic:
            return _Copy(CopyState.ABSENT)
        if len(binary) < BINARY_BYTES:
            raise DamageError("cut off")
        fields = header_format.binary_of(binary)
        if offset == 0 and fields.version == 1:
            raise _Luks1Error
        if fields.version != 2:
            raise DamageError(f"version {fields.version}")
        if (
            fields.size_bytes not in SECONDARY_OFFSETS
            or (offset and fields.size_bytes != offset)
            or fields.offset_bytes != offset
        ):
            raise DamageError("its size or offset is impossible")
        area = read_at(fields.size_bytes - BINARY_BYTES, offset + BINARY_BYTES)
        header_format.check_sum(binary, area, fields)
        header = _header(fields, header_format.document(area, fields.size_bytes))
        size_bytes = fields.size_bytes  # believed from here on: the checksum covers it
    except OSError as error:
        return _Copy(CopyState.UNKNOWN, why=error.strerror or "read error")
    except DamageError as error:
        return _Copy(CopyState.DAMAGED, why=str(error))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        # The checksum fits and the content does not: a hostile or a future header. Never a crash.
        return _Copy(CopyState.DAMAGED, why=f"its JSON is not as specified, {type(error).__name__}")
    return _Copy(CopyState.VALID, size_bytes, header)


def _reader(descriptor: int) -> ReadAt:
    """Read both copies at once where they usually are; each part by itself where that fails, or elsewhere."""
    try:
        ahead = _read_at(descriptor, _USUAL_BYTES, 0)
    except OSError:
        ahead = b""

    def read_at(length: int, offset: int) -> bytes:
        if offset + length <= len(ahead):
            return ahead[offset : offset + length]
        return _read_at(descriptor, length, offset)

    return read_at


def _read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Read ``length`` bytes, fewer only at the end of the device. Raises OSError."""
    parts = bytearray()
    while len(parts) < length:
        part = os.pread(descriptor, length - len(parts), offset + len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)


def _header(fields: Binary, document: dict[str, object]) -> Header:
    """Build the record. Raises ValueError, TypeError or KeyError for anything not as specified (section 3)."""
    config = object_of(document["config"])
    segments = _numbered(document["segments"])
    digests = _numbered(document["digests"])
    # During a re-encryption "backup-*" segments describe what was and what will be, not what is.
    live = {
        number: segment
        for number, segment in segments.items()
        if not any(flag.startswith("backup-") for flag in strings_of(segment.get("flags", [])))
    }
    crypt = next((one for _, one in sorted(live.items()) if one.get("type") == "crypt"), None)
    opening = {
        int(keyslot)
        for digest in digests.values()
        if {int(segment) for segment in strings_of(digest["segments"])} & set(live)
        for keyslot in strings_of(digest["keyslots"])
    }
    keyslots = tuple(
        _keyslot(number, one, opening=number in opening)
        for number, one in sorted(_numbered(document["keyslots"]).items())
    )
    requirements = object_of(config.get("requirements") or {})
    mandatory = strings_of(requirements.get("mandatory", []))
    return Header(
        uuid=string_of(fields.uuid),
        label=string_of(fields.label),
        subsystem=string_of(fields.subsystem),
        sequence=fields.sequence,
        primary=CopyState.VALID,
        secondary=CopyState.VALID,
        cipher=printable(crypt["encryption"]) if crypt else "",
        key_bits=next((one.key_bits for one in keyslots if one.opens_data), 0),
        sector_size_bytes=integer_of(crypt["sector_size"]) if crypt else 0,
        data_offset_bytes=min((integer_of(one["offset"]) for one in live.values()), default=0),
        keyslots=keyslots,
        tokens=tuple(_token(number, one) for number, one in sorted(_numbered(document["tokens"]).items())),
        requirements=mandatory,
        flags=strings_of(config.get("flags", [])),
        digests=len(digests),
        volume_key_digest=_volume_key_digest(digests, live),
        checksums=(fields.checksum.hex(),),
        area_bytes=2 * fields.size_bytes + integer_of(config["keyslots_size"]),
        # cryptsetup's own sign of it (CRYPT_REENCRYPT_CRASH); an orderly stop takes the flag away.
        cut_at_the_end=reencryption_end.was_cut(document),
        cut_in_hot_zone=any("in-reencryption" in strings_of(one.get("flags", [])) for one in live.values()),
    )


def _volume_key_digest(digests: dict[int, dict[str, object]], live: dict[int, dict[str, object]]) -> str:
    """Return the digest of the one volume key that all the data are under; "" in the middle of a re-encryption."""
    found = [one for one in digests.values() if {int(each) for each in strings_of(one["segments"])} & set(live)]
    return printable(found[0].get("digest", "")) if len(found) == 1 and len(live) == 1 else ""


def _keyslot(number: int, one: dict[str, object], *, opening: bool) -> Keyslot:
    if one["type"] != "luks2":  # "reencrypt": the working area of a re-encryption, it holds no key
        return Keyslot(number, printable(one["type"]), 0, 0, 0, 0, 0, opens_data=False)
    kdf = object_of(one["kdf"])
    kind = printable(kdf["type"])
    argon2 = kind.startswith("argon2")
    return Keyslot(
        number=number,
        kdf=kind,
        iterations=integer_of(kdf["time" if argon2 else "iterations"]),
        memory_kib=integer_of(kdf["memory"]) if argon2 else 0,
        lanes=integer_of(kdf["cpus"]) if argon2 else 0,
        key_bits=integer_of(one["key_size"]) * 8,
        priority=integer_of(one.get("priority", 1)),
        opens_data=opening,
        kdf_hash="" if argon2 else printable(kdf["hash"]),
    )


def _token(number: int, one: dict[str, object]) -> Token:
    return Token(
        number=number,
        type=printable(one["type"]),
        keyslots=tuple(int(keyslot) for keyslot in strings_of(one["keyslots"])),
        fields=MappingProxyType(one),
    )


def _numbered(value: object) -> dict[int, dict[str, object]]:
    return {int(key): object_of(one) for key, one in object_of(value).items()}
