"""Secrets under keys: each is sealed by AES-256-GCM with a key that is derived for it alone.

The derived key is HKDF-SHA256 (RFC 5869) of the wrapping key, a random salt and the purpose; since it is used
once, its nonce is zero. To a public key: X25519 (RFC 7748) with a key pair for this one time gives the
wrapping key. What is stored is text (base64). The package cryptography holds derived keys and shared secrets in
`bytes` objects, and its version 38 (Debian 12) takes what it encrypts as `bytes` alone: those cannot be wiped, they
live until Python uses their memory again. Calls no host commands.
"""

import base64
import binascii
import os
from typing import TYPE_CHECKING

from volward.errors import KeyRejectedError
from volward.secret import SecretBytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT_BYTES = 32
PUBLIC_BYTES = 32
NONCE = bytes(12)  # of a key that is used once


def wrap(secret: SecretBytes, under: SecretBytes, *, purpose: str) -> str:
    """Return ``secret`` sealed under a key of at least 128 bits of entropy; only the same purpose opens it."""
    salt = os.urandom(SALT_BYTES)
    with under.view() as key, secret.view() as content:
        return encoded(salt + _cipher(key, salt, purpose).encrypt(NONCE, bytes(content), None))


def unwrap(text: str, under: SecretBytes, *, purpose: str) -> SecretBytes:
    """Return the secret. Raises KeyRejectedError: another key, another purpose, or a changed text."""
    content = decoded(text)
    with under.view() as key:
        return _opened(key, content, purpose)


def key_pair() -> tuple[str, SecretBytes]:
    """Return a new X25519 public key as text, and its private key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    private = X25519PrivateKey.generate()
    raw = private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    return encoded(_public(private)), SecretBytes(raw)


def seal_to(secret: SecretBytes, public: str, *, purpose: str) -> str:
    """Return ``secret`` sealed to a public key; needs no secret. Raises KeyRejectedError for a text that is none."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    recipient = decoded(public)
    once = X25519PrivateKey.generate()
    try:
        shared = once.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError as error:
        raise _rejected("The public key of the recovery key is none.") from error
    ours, salt = _public(once), os.urandom(SALT_BYTES)
    with secret.view() as content:
        sealed = _cipher(shared, salt + ours + recipient, purpose).encrypt(NONCE, bytes(content), None)
    return encoded(ours + salt + sealed)


def unseal(text: str, private: SecretBytes, *, purpose: str) -> SecretBytes:
    """Return what was sealed to the private key's public key. Raises KeyRejectedError."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    content = decoded(text)
    theirs, salt = content[:PUBLIC_BYTES], content[PUBLIC_BYTES : PUBLIC_BYTES + SALT_BYTES]
    try:
        with private.view() as raw:
            own = X25519PrivateKey.from_private_bytes(bytes(raw))
        shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise _rejected("What was sealed to the recovery key is damaged.") from error
    rest = salt + content[PUBLIC_BYTES + SALT_BYTES :]
    return _opened(shared, rest, purpose, salt + theirs + _public(own))


def encoded(content: bytes) -> str:
    """Return bytes as the text in which they are stored."""
    return base64.b64encode(content).decode()


def decoded(text: str) -> bytes:
    """Return the bytes of a stored text. Raises KeyRejectedError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _rejected("What is sealed is not base64.") from error


def _opened(key: bytes | memoryview, content: bytes, purpose: str, salt: bytes | None = None) -> SecretBytes:
    from cryptography.exceptions import InvalidTag

    own = content[:SALT_BYTES]
    try:
        return SecretBytes(
            _cipher(key, own if salt is None else salt, purpose).decrypt(NONCE, content[SALT_BYTES:], None)
        )
    except (InvalidTag, ValueError) as error:
        raise _rejected("It is not sealed under this key, or it was changed.") from error


def _cipher(key: bytes | memoryview, salt: bytes, purpose: str) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=salt, info=f"volward {purpose} 1".encode()).derive(key)
    return AESGCM(derived)


def _public(private: object) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    assert isinstance(private, X25519PrivateKey)  # noqa: S101 (its type is imported lazily)
    return private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _rejected(what: str) -> KeyRejectedError:
    return KeyRejectedError(what, resolution="Try another key, or another copy of the same file.")
