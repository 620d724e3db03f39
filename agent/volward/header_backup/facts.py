"""What a header backup says of itself in the clear: the prologue of its file. Public facts, never a secret.

Pure. The prologue is one line of JSON, authenticated together with the sealed header area; readers ignore fields
that they do not know, and a field of the wrong type is damage, never a guess.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from volward.errors import HeaderBackupError
from volward.keys import header_token, recovery_pair
from volward.keys.source import KeyRef
from volward.model import DeviceClass, Header, Identity, ProviderKind

FORMAT = 1
LATEST = 253402300799  # the end of the year 9999: a file's name has four digits for it
LARGEST_AREA_BYTES = 256 * 1024 * 1024  # a LUKS2 header area is at most 8 MiB of headers and 128 MiB of keyslots


class Kind(StrEnum):
    """BACKUP: proven to open; restored by name. KEPT: what was on the device before a restore or a repair."""

    BACKUP = "backup"
    KEPT = "kept"


@dataclass(frozen=True)
class KeyslotFacts:
    """A keyslot of the backed-up header, and whose key opens it; the key's fields are empty when nobody says."""

    number: int
    kdf: str
    provider: str = ""
    key: str = ""  # name in the provider's store
    version: int = 0
    fingerprint: str = ""  # of a random key, as the header token has it


@dataclass(frozen=True)
class Recipient:
    """Who can open the backup: a key of its own in a provider's store, or the recovery key of a keyslot."""

    ref: KeyRef  # of a recovery key: its details hold the pair (keys/recovery_pair.py)
    sealed: str  # the data key, sealed for this recipient

    @property
    def is_recovery(self) -> bool:
        return self.ref.provider is ProviderKind.RECOVERY


@dataclass(frozen=True)
class Facts:
    """The prologue. Of a kept area whose header could not be read, ``sequence`` is 0 and there are no keyslots."""

    kind: Kind
    volume: str
    identity: Identity
    luks_uuid: str
    sequence: int
    checksums: tuple[str, ...]  # of the header's copies, in hex: by them a header is known without reading its keyslots
    area_bytes: int
    digest: str  # SHA-256 of the header area, in hex
    created_at: int  # seconds since the epoch, up to LATEST
    made_by: str
    keyslots: tuple[KeyslotFacts, ...]
    recipients: tuple[Recipient, ...]

    def is_of(self, header: Header) -> bool:
        """Whether that header, as it is now, is the one in the backup."""
        same = (self.luks_uuid, self.sequence) == (header.uuid, header.sequence)
        return same and not set(header.checksums).isdisjoint(self.checksums)

    @property
    def marks(self) -> frozenset[str]:
        """Return the marks of the keys that open a keyslot in the backup, or the file itself; see mark_of."""
        pairs = {one.ref.details.get(recovery_pair.PUBLIC, "") for one in self.recipients if one.is_recovery}
        return frozenset({slot.fingerprint for slot in self.keyslots} | pairs) - {""}

    def has_key(self, mark: str) -> bool:
        """Whether the key of that mark opens a keyslot in the backup, or the file itself."""
        return mark in self.marks


def mark_of(content: header_token.HeaderToken) -> str:
    """Return by what a token's key is known in a backup: its fingerprint, or the public half of its pair; "" if none.

    A random key has a fingerprint; a recovery key has a pair, by which it opens the file. Passphrases, and recovery
    keys of older volwards, have neither.
    """
    return content.fingerprint or content.ref.details.get(recovery_pair.PUBLIC, "")


def keyslots_of(header: Header) -> tuple[KeyslotFacts, ...]:
    """Return what a header says of its keyslots' keys, made printable: a prologue may have nothing else."""
    found = []
    for slot in header.keyslots:
        if not slot.opens_data:
            continue
        own = next((content for token, content in header_token.all_of(header) if slot.number in token.keyslots), None)
        if own is not None:
            key = (str(own.ref.provider), printable(own.ref.name), own.ref.version, printable(own.fingerprint))
            found.append(KeyslotFacts(slot.number, printable(slot.kdf), *key))
        else:
            tpm = header.token_of(slot.number, "systemd-tpm2") is not None
            found.append(KeyslotFacts(slot.number, printable(slot.kdf), str(ProviderKind.TPM2) if tpm else ""))
    return tuple(found)


def printable(text: str) -> str:
    """Return a text from a header as a prologue may have it: U+FFFD in place of what is not printable."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def to_json(facts: Facts) -> str:
    """Return the prologue's line, without its end."""
    body = dataclasses.asdict(dataclasses.replace(facts, recipients=()))
    body["recipients"] = [
        {
            "provider": str(one.ref.provider),
            "key": one.ref.name,
            "version": one.ref.version,
            "details": dict(one.ref.details),
            "sealed": one.sealed,
        }
        for one in facts.recipients
    ]
    return json.dumps({"format": FORMAT, **body}, sort_keys=True, separators=(",", ":"), default=str)


def from_json(line: str, *, name: str) -> Facts:
    """Read a prologue. Raises HeaderBackupError for damage and for a format to come; ``name`` is the file's."""
    try:
        body = json.loads(line)
        number = _number(body, "format")
        if number != FORMAT:
            raise HeaderBackupError(
                f"{name} has the format {number}, which this volward does not know.",
                resolution="Use the volward that made it, or a newer one.",
            )
        facts = Facts(
            kind=Kind(_text(body, "kind")),
            volume=_text(body, "volume"),
            identity=_identity(body["identity"]),
            luks_uuid=_text(body, "luks_uuid"),
            sequence=_number(body, "sequence"),
            checksums=tuple(_is_text(one) for one in body["checksums"]),
            area_bytes=_number(body, "area_bytes"),
            digest=_text(body, "digest"),
            created_at=_number(body, "created_at"),
            made_by=_text(body, "made_by"),
            keyslots=tuple(_keyslot(one) for one in body["keyslots"]),
            recipients=tuple(_recipient(one) for one in body["recipients"]),
        )
        if not 0 < facts.area_bytes <= LARGEST_AREA_BYTES:
            raise ValueError("its size is impossible")
        if facts.created_at > LATEST:
            raise ValueError("its time is impossible")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(name, f"its prologue is not as specified ({type(error).__name__}: {error})") from error
    return facts


def damaged(name: str, why: str) -> HeaderBackupError:
    """Return the error for a file that is not what it was written as."""
    return HeaderBackupError(
        f"The header backup {name} is damaged: {why}.",
        resolution="Use another one (`volward header list`), or another copy of this file.",
    )


def _identity(body: Mapping[str, Any]) -> Identity:
    fields = {key: _is_text(value) for key, value in body.items() if key not in ("device_class", "size_bytes")}
    return Identity(DeviceClass(_text(body, "device_class")), _number(body, "size_bytes"), **fields)


def _keyslot(body: Mapping[str, Any]) -> KeyslotFacts:
    texts = {key: _text(body, key) for key in ("kdf", "provider", "key", "fingerprint")}
    return KeyslotFacts(number=_number(body, "number"), version=_number(body, "version"), **texts)


def _recipient(body: Mapping[str, Any]) -> Recipient:
    details = {_is_text(key): _is_text(value) for key, value in body["details"].items()}
    ref = KeyRef(ProviderKind(_text(body, "provider")), _text(body, "key"), _number(body, "version"), details)
    return Recipient(ref, _text(body, "sealed"))


def _text(body: Mapping[str, Any], key: str) -> str:
    return _is_text(body[key])


def _is_text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError("not a text")
    return value


def _number(body: Mapping[str, Any], key: str) -> int:
    value = body[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("not a number")
    return value
