"""Keys as text for Vault and back. The text is a copy that Python cannot wipe: it is dropped at once."""

import base64
import binascii

from volward.errors import KeyDeniedError
from volward.keys.source import KEY_BYTES
from volward.secret import SecretBytes


def to_text(key: SecretBytes) -> str:
    """Return the key in base64 (RFC 4648, 4)."""
    with key.view() as view:
        return base64.b64encode(view).decode()


def to_key(text: object, where: str) -> SecretBytes:
    """Return the key of 64 bytes. Raises KeyDeniedError for anything else, and never quotes it."""
    try:
        if not isinstance(text, str):
            raise ValueError("no text")  # noqa: TRY004 (one answer to all of it)
        key = bytearray(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        key = bytearray()
    if len(key) != KEY_BYTES:
        key[:] = bytes(len(key))
        raise KeyDeniedError(
            f"{where} does not hold a key of {KEY_BYTES} bytes in base64.",
            resolution="Somebody wrote something else there. Look at its versions; an earlier one may be right.",
        )
    return SecretBytes(key)
