"""The file of a header backup: a magic line, the prologue's line, and the header area under a data key.

The data key is random, of this file alone, and sealed for each recipient; so AES-256-GCM's nonce is zero. Both
lines are authenticated with the area: nothing in the file can be changed or exchanged without notice. The header
area is what `cryptsetup luksHeaderBackup` writes, byte for byte, so that stock cryptsetup restores it. Its
keyslots are encrypted and any root can read them on the device; it is sealed because an old header together with
an old key opens the data for ever. Calls no host commands.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from volward.header_backup import facts as prologue
from volward.header_backup.facts import Facts, Recipient
from volward.keys import recovery_pair, wrapping
from volward.keys.source import KeyRef
from volward.secret import SecretBytes

MAGIC = b"volward header backup\n"
DATA_KEY_BYTES = 32
_LONGEST_PROLOGUE_BYTES = 1024 * 1024
_TAG_BYTES = 16


@dataclass(frozen=True)
class Sealed:
    """A file as it was read: what it says, and what is sealed in it."""

    name: str
    facts: Facts
    head: bytes  # both lines; authenticated with the body
    body: bytes


def digest(area: bytes) -> str:
    """Return the SHA-256 of a header area, in hex."""
    return hashlib.sha256(area).hexdigest()


def seal(area: bytes, facts: Facts, data_key: SecretBytes) -> bytes:
    """Return the content of the file. ``facts`` names the recipients, for whom the data key was sealed."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = MAGIC + prologue.to_json(facts).encode() + b"\n"
    with data_key.view() as key:
        return head + AESGCM(key).encrypt(wrapping.NONCE, area, head)


def unseal(sealed: Sealed, data_key: SecretBytes) -> bytes:
    """Return the header area. Raises HeaderBackupError: the file was changed, or the key is another file's."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        with data_key.view() as key:
            area = AESGCM(key).decrypt(wrapping.NONCE, sealed.body, sealed.head)
    except (InvalidTag, ValueError) as error:
        raise prologue.damaged(sealed.name, "its content is not what was sealed") from error
    if digest(area) != sealed.facts.digest:
        raise prologue.damaged(sealed.name, "its digest is not the one of its header")
    return area


def read_facts(path: Path) -> Facts:
    """Read the prologue of a file that is as long as it says; only opening the file shows it to be authentic.

    Raises HeaderBackupError, OSError.
    """
    with path.open("rb") as file:
        head, facts = _head(path.name, file)
        _refuse_other_length(path.name, facts, file.seek(0, os.SEEK_END) - len(head))
    return facts


def read(path: Path) -> Sealed:
    """Read the whole file. Raises HeaderBackupError for damage, OSError."""
    with path.open("rb") as file:
        head, facts = _head(path.name, file)
        body = file.read(facts.area_bytes + _TAG_BYTES + 1)
    _refuse_other_length(path.name, facts, len(body))
    return Sealed(path.name, facts, head, body)


def for_source(data_key: SecretBytes, ref: KeyRef, key: SecretBytes, *, luks_uuid: str) -> Recipient:
    """Seal the data key under a key of a provider's store."""
    return Recipient(ref, wrapping.wrap(data_key, key, purpose=_purpose(luks_uuid)))


def for_recovery(data_key: SecretBytes, ref: KeyRef, *, luks_uuid: str) -> Recipient:
    """Seal the data key to the pair in ``ref.details``; needs no secret. Raises KeyRejectedError without a pair."""
    pair = {name: ref.details.get(name, "") for name in recovery_pair.FIELDS}
    sealed = wrapping.seal_to(data_key, pair[recovery_pair.PUBLIC], purpose=_purpose(luks_uuid))
    return Recipient(KeyRef(ref.provider, prologue.printable(ref.name), ref.version, pair), sealed)


def data_key(recipient: Recipient, key: SecretBytes, *, luks_uuid: str) -> SecretBytes:
    """Return the data key, by the provider's key or the typed recovery key. Raises KeyRejectedError."""
    if not recipient.is_recovery:
        return wrapping.unwrap(recipient.sealed, key, purpose=_purpose(luks_uuid))
    with recovery_pair.private_key(recipient.ref.details, key) as private:
        return wrapping.unseal(recipient.sealed, private, purpose=_purpose(luks_uuid))


def _purpose(luks_uuid: str) -> str:
    """What is sealed for one volume's backups opens none of another's."""
    return f"header backup {luks_uuid}"


def _refuse_other_length(name: str, facts: Facts, body_bytes: int) -> None:
    if body_bytes != facts.area_bytes + _TAG_BYTES:
        raise prologue.damaged(name, "it is cut off, or something follows it")


def _head(name: str, file: IO[bytes]) -> tuple[bytes, Facts]:
    magic = file.readline(len(MAGIC))
    if magic != MAGIC:
        raise prologue.damaged(name, "it does not begin as a header backup does")
    line = file.readline(_LONGEST_PROLOGUE_BYTES)
    if not line.endswith(b"\n"):
        raise prologue.damaged(name, "its prologue has no end")
    return magic + line, prologue.from_json(line.decode(errors="replace"), name=name)
