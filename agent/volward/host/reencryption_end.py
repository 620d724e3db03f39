"""The header that ends a re-encryption which was killed when all data were done, and the old keyslots were going.

cryptsetup (tried with 2.6.1) wipes the old keyslots, one by one, each before the header says so, and in one more update
of the header it ends. Killed in between it is stuck: it opens nothing while a segment, one to come back to as well, has
a digest without a keyslot, and it resumes only by a key whose old keyslot is whole. That last update is made here: the
header is left with the segment of the data, its digest and that digest's keyslots, as cryptsetup itself leaves it.
LUKS2 On-Disk Format Specification 1.1.x, sections 2 and 3. Pure: works on bytes alone.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from volward.host import header_format
from volward.host.header_format import (
    BINARY_BYTES,
    MAGIC_PRIMARY,
    MAGIC_SECONDARY,
    SECONDARY_OFFSETS,
    Binary,
    DamageError,
    integer_of,
    object_of,
    strings_of,
)

_PREVIOUS, _FINAL = "backup-previous", "backup-final"


def was_cut(document: Mapping[str, object]) -> bool:
    """Whether a header's JSON is of that state: under a re-encryption that has no data left to do."""
    return _found(document) is not None


def ended(area: bytes) -> bytes:
    """Return the header area (both copies and the keyslots) as the end of the re-encryption would have left it.

    Of two copies the whole one counts, and of two whole ones the newer. Keyslots that open the data, their tokens and
    all else stay; what the removed ones had in the area is zeroed. Raises DamageError when no copy is whole, when the
    header is not of that state, or has a requirement beside the re-encryption.
    """
    fields, present = _newest(area)
    found = _found(present)
    if found is None:
        raise DamageError("it is not at the end of a re-encryption")
    slots, digest = object_of(present["keyslots"]), object_of(object_of(present["digests"])[found.digest])
    document = {
        **present,
        "keyslots": {number: slot for number, slot in slots.items() if number in found.keyslots},
        "tokens": {number: _of(token, found.keyslots) for number, token in object_of(present["tokens"]).items()},
        "segments": {found.segment: object_of(present["segments"])[found.segment]},
        "digests": {found.digest: {**digest, "segments": [found.segment]}},
        "config": {name: value for name, value in object_of(present["config"]).items() if name != "requirements"},
    }
    content = bytearray(area)
    for magic, offset, salt in (
        (MAGIC_PRIMARY, 0, fields.salt),
        (MAGIC_SECONDARY, fields.size_bytes, hashlib.sha512(fields.salt).digest()),
    ):
        own = fields._replace(magic=magic, offset_bytes=offset, salt=salt, sequence=fields.sequence + 1)
        content[offset : offset + fields.size_bytes] = header_format.copy_of(own, document)
    for number in set(slots) - set(found.keyslots):
        place = object_of(object_of(slots[number])["area"])
        start, size = integer_of(place["offset"]), integer_of(place["size"])
        if not 2 * fields.size_bytes <= start <= start + size <= len(area):
            raise DamageError("a keyslot lies outside of the header")
        content[start : start + size] = bytes(size)
    return bytes(content)


def _newest(area: bytes) -> tuple[Binary, dict[str, object]]:
    """Return the fields and the JSON of the whole copy with the highest sequence. Raises DamageError without one."""
    whole = []
    for magic, offset in ((MAGIC_PRIMARY, 0), *((MAGIC_SECONDARY, offset) for offset in SECONDARY_OFFSETS)):
        binary = area[offset : offset + BINARY_BYTES]
        if binary.startswith(magic) and len(binary) == BINARY_BYTES:
            fields = header_format.binary_of(binary)
            json_area = area[offset + BINARY_BYTES : offset + fields.size_bytes]
            with contextlib.suppress(DamageError):
                header_format.check_sum(binary, json_area, fields)
                whole.append((fields, header_format.document(json_area, fields.size_bytes)))
    if not whole:
        raise DamageError("no copy is whole")
    return max(whole, key=lambda one: one[0].sequence)


@dataclass(frozen=True)
class _End:
    """The one segment that the data are in, its digest, and the keyslots that open it."""

    segment: str
    digest: str
    keyslots: tuple[str, ...]


def _found(document: Mapping[str, object]) -> _End | None:
    """Return the state of the end; None for any other, also one of another tool or purpose than a new volume key."""
    requirements = object_of(object_of(document["config"]).get("requirements") or {})
    mandatory = strings_of(requirements.get("mandatory", []))
    if len(mandatory) != 1 or "reencrypt" not in mandatory[0]:
        return None
    working = [one for one in map(object_of, object_of(document["keyslots"]).values()) if one["type"] == "reencrypt"]
    if [one.get("mode") for one in working] != ["reencrypt"]:
        return None  # data that are encrypted for the first time, or decrypted
    segments = {number: object_of(one) for number, one in object_of(document["segments"]).items()}
    flags = {number: strings_of(one.get("flags", [])) for number, one in segments.items()}
    live = [number for number, own in flags.items() if not own]
    previous = [number for number, own in flags.items() if own == (_PREVIOUS,)]
    final = [number for number, own in flags.items() if own == (_FINAL,)]
    if not len(live) == len(previous) == len(final) == 1 or len(segments) != 3:
        return None
    if segments[live[0]].get("type") != "crypt" or _place(segments[live[0]]) != _place(segments[final[0]]):
        return None
    new = [(number, one) for number, one in _digests(document) if {live[0], final[0]} == set(one["segments"])]
    old = [one for _, one in _digests(document) if previous == list(one["segments"])]
    if not len(new) == len(old) == 1 or not new[0][1]["keyslots"]:
        return None
    return _End(live[0], new[0][0], new[0][1]["keyslots"])


def _digests(document: Mapping[str, object]) -> list[tuple[str, dict[str, tuple[str, ...]]]]:
    return [
        (number, {name: strings_of(object_of(one)[name]) for name in ("segments", "keyslots")})
        for number, one in object_of(document["digests"]).items()
    ]


def _place(segment: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in segment.items() if name != "flags"}


def _of(token: object, keyslots: tuple[str, ...]) -> dict[str, object]:
    """Return a token with those of its keyslots that are left."""
    own = object_of(token)
    return {**own, "keyslots": [number for number in strings_of(own["keyslots"]) if number in keyslots]}
