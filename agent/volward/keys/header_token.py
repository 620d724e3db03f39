"""volward's own LUKS2 token: the header says by itself which key opens which keyslot. Never a secret.

Format (a JSON object as the LUKS2 specification 1.1 wants it; stock cryptsetup lists and keeps it)::

    {"type": "volward",
     "keyslots": ["0"],                      decimal numbers as strings, the keyslots that the key opens
     "volward": {
       "version": 1,                         of this format; readers ignore what they do not know
       "volume": "pgdata",
       "provider": "credential",             credential | prompt | recovery | ...
       "key_ref": "volward.pgdata.v1",       the full name of the key in its store
       "key_name": "volward.pgdata",         the same without its version
       "key_version": 1,
       "fingerprint": "0123...",             32 hex digits, only for random 64-byte keys; see fingerprint()
       "confirmed": true,                    only for recovery keys: typed back by their owner
       "created": 1767225600,                when the key was made, seconds since the epoch; without it: not known
       "retired": 1775001600,                when a successor took over; only of keys that have one
       "details": {"mount": "kv"}}}          only where the provider needs more to find the key

A recovery keyslot has this token and not ``systemd-recovery``: that one carries nothing beyond its type, and
two tokens for one keyslot would be two writes that a power cut can part. Keyslots with a systemd-recovery
token, enrolled by others, count as recovery keyslots all the same. TPM keyslots have systemd's token alone.

A token is changed in place: `cryptsetup token import --token-id N --token-replace` (cryptsetup 2.6.1 and 2.7.5) is one
update of the header, whose two copies carry a sequence number. A cut leaves the old token or the new one, never
none and never both.

While the TPM is enrolled anew its old token is *parked*: in its place stands the same object inside a token of type
"volward-parked", since systemd-cryptenroll adds nothing while a token with the same policy is there::

    {"type": "volward-parked", "keyslots": ["1"], "volward": {"version": 1, "token": {"type": "systemd-tpm2", ...}}}
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from volward.errors import DamagedHeaderError
from volward.keys.source import KEY_BYTES, KeyRef
from volward.model import Header, ProviderKind, Token
from volward.secret import SecretBytes

TYPE = "volward"
FORMAT_VERSION = 1
PARKED = "volward-parked"
SYSTEMD_RECOVERY = "systemd-recovery"
_FINGERPRINT_DOMAIN = b"volward key fingerprint 1\0"
_FINGERPRINT_BYTES = 16


@dataclass(frozen=True)
class HeaderToken:
    """One token of volward, without its number."""

    volume: str
    ref: KeyRef
    keyslots: tuple[int, ...]
    fingerprint: str = ""
    confirmed: bool | None = None  # None: says nothing about it
    created: int | None = None  # seconds since the epoch; None: not known
    retired: int | None = None  # seconds since the epoch; None: it has no successor


def fingerprint(key: SecretBytes) -> str:
    """Return 32 hex digits that tell keys apart: SHA-256 with a domain of its own, cut to 16 bytes.

    Only for random keys of 64 bytes, whose entropy no search can exhaust; of anything that a person chose it
    would be a way around Argon2id. Raises ValueError for other lengths.
    """
    if len(key) != KEY_BYTES:
        raise ValueError("only random keys of 64 bytes have a fingerprint")
    with key.view() as view:
        digest = hashlib.sha256(_FINGERPRINT_DOMAIN)
        digest.update(view)
    return digest.digest()[:_FINGERPRINT_BYTES].hex()


def build(token: HeaderToken) -> str:
    """Return the JSON that `cryptsetup token import` takes."""
    ref = token.ref
    body: dict[str, object] = {
        "version": FORMAT_VERSION,
        "volume": token.volume,
        "provider": str(ref.provider),
        "key_ref": f"{ref.name}.v{ref.version}",
        "key_name": ref.name,
        "key_version": ref.version,
    }
    if token.fingerprint:
        body["fingerprint"] = token.fingerprint
    if token.confirmed is not None:
        body["confirmed"] = token.confirmed
    if token.created is not None:
        body["created"] = token.created
    if token.retired is not None:
        body["retired"] = token.retired
    if ref.details:
        body["details"] = dict(ref.details)
    return json.dumps({"type": TYPE, "keyslots": [str(slot) for slot in token.keyslots], TYPE: body})


def parse(token: Token) -> HeaderToken:
    """Return what a token of type "volward" says.

    Unknown fields, and format versions to come, are read as far as they are known; a field of the wrong type
    is an error, never a guess. Raises DamagedHeaderError.
    """
    body = token.fields.get(TYPE)
    if token.type != TYPE or not isinstance(body, Mapping):
        raise _damaged(token, f"its type is {token.type!r} and it has no object '{TYPE}'")
    version = body.get("version")
    if not _is_number(version) or version < 1:
        raise _damaged(token, "'version' is not a number of 1 or more")
    provider = _text(token, body, "provider")
    if provider not in set(ProviderKind):
        raise _damaged(token, f"this volward does not know the provider {provider!r}")
    number = body.get("key_version")
    if not _is_number(number) or number < 0:
        raise _damaged(token, "'key_version' is not a number")
    confirmed = body.get("confirmed")
    if confirmed is not None and not isinstance(confirmed, bool):
        raise _damaged(token, "'confirmed' is neither true nor false")
    return HeaderToken(
        volume=_text(token, body, "volume"),
        ref=KeyRef(ProviderKind(provider), _name(token, body, number), number, _details(token, body)),
        keyslots=token.keyslots,
        fingerprint=_text(token, body, "fingerprint", default=""),
        confirmed=confirmed,
        created=_moment(token, body, "created"),
        retired=_moment(token, body, "retired"),
    )


def all_of(header: Header) -> tuple[tuple[Token, HeaderToken], ...]:
    """Return volward's tokens of a header with their content, leaving out those that it cannot read.

    A token that cannot be read must not keep its volume closed: its keyslot is tried without it.
    """
    found = []
    for token in header.tokens:
        if token.type == TYPE:
            try:
                found.append((token, parse(token)))
            except DamagedHeaderError:
                continue
    return tuple(found)


def of_provider(header: Header, provider: ProviderKind) -> tuple[HeaderToken, ...]:
    """Return what the tokens of one provider say: keys that are not retired first, then the newest first."""
    found = [content for _, content in all_of(header) if content.ref.provider is provider]
    return tuple(sorted(found, key=_order))


def _order(content: HeaderToken) -> tuple[bool, int, int]:
    """Recovery keys have all the same version; there the moment tells which is the newest."""
    return content.retired is not None, -content.ref.version, -(content.created or 0)


def dated(token: Token, *, retired: int | None, details: Mapping[str, str] | None = None) -> str:
    """Return the JSON of a token of volward's with another ``retired``, and other ``details`` where they are given.

    What this volward does not know stays.
    """
    own = token.fields[TYPE]
    body = {name: value for name, value in own.items() if name != "retired"} if isinstance(own, Mapping) else {}
    if retired is not None:
        body["retired"] = retired
    if details:
        body["details"] = dict(details)
    return json.dumps({**token.fields, "keyslots": [str(slot) for slot in token.keyslots], TYPE: body})


def park(token: Token) -> str:
    """Return the JSON that takes the place of another's token, with that token inside it."""
    body = {"version": FORMAT_VERSION, "token": dict(token.fields)}
    return json.dumps({"type": PARKED, "keyslots": [str(slot) for slot in token.keyslots], TYPE: body})


def unpark(token: Token) -> str:
    """Return the JSON of the token that was parked. Raises DamagedHeaderError when there is none in it."""
    body = token.fields.get(TYPE)
    inside = body.get("token") if token.type == PARKED and isinstance(body, Mapping) else None
    if not isinstance(inside, Mapping) or not isinstance(inside.get("type"), str):
        raise _damaged(token, "it has no token parked in it")
    return json.dumps({**inside, "keyslots": [str(slot) for slot in token.keyslots]})


def recovery_keyslots(header: Header, *, confirmed: bool = False) -> tuple[int, ...]:
    """Return the keyslots that a recovery key opens; with ``confirmed`` only those typed back by their owner.

    systemd-recovery keyslots of others count as confirmed: systemd-cryptenroll shows its key once and enrols it.
    """
    slots = {
        slot
        for content in of_provider(header, ProviderKind.RECOVERY)
        if content.confirmed or not confirmed
        for slot in content.keyslots
    }
    slots |= {slot for token in header.tokens if token.type == SYSTEMD_RECOVERY for slot in token.keyslots}
    return tuple(sorted(slots & {keyslot.number for keyslot in header.keyslots}))


def _name(token: Token, body: Mapping[str, object], number: int) -> str:
    """Take 'key_name'; without it the full name in 'key_ref', whose version must then be the same."""
    if "key_name" in body:
        return _text(token, body, "key_name")
    name, separator, version = _text(token, body, "key_ref").rpartition(".v")
    if not separator or version != str(number):
        raise _damaged(token, "'key_ref' does not end in its 'key_version'")
    return name


def _details(token: Token, body: Mapping[str, object]) -> Mapping[str, str]:
    details = body.get("details", {})
    if not isinstance(details, Mapping) or not all(isinstance(value, str) for value in details.values()):
        raise _damaged(token, "'details' is not an object of texts")
    return MappingProxyType(dict(details))


def _text(token: Token, body: Mapping[str, object], name: str, *, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or (default is None and not value):
        raise _damaged(token, f"'{name}' is not a text")
    return value


def _moment(token: Token, body: Mapping[str, object], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not _is_number(value) or value < 0:
        raise _damaged(token, f"'{name}' is not a number of seconds since the epoch")
    return value


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _damaged(token: Token, why: str) -> DamagedHeaderError:
    return DamagedHeaderError(
        f"Token {token.number} of the header is not one that volward can read: {why}.",
        resolution="The keyslot itself is untouched; a newer volward may know this token. Other keys still open "
        "the volume.",
    )
