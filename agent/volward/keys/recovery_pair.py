"""A key pair beside each recovery key, so that backups can be sealed to it while the key itself is not at hand.

The recovery key is on paper when an automatic header backup is made. So an X25519 pair is made when it is
enrolled: the public half, and the private half sealed under the recovery key (scrypt, RFC 7914), go into the
``details`` of the recovery keyslot's volward token. A header backup carries both along: the file and the typed
key are enough when header and providers are gone. The recovery key has 160 random bits, which no search
exhausts, so scrypt's cost is small and fits every host. Calls no host commands.
"""

import hashlib
import math
import os
from collections.abc import Mapping

from volward.errors import KeyRejectedError
from volward.keys import wrapping
from volward.secret import SecretBytes

PUBLIC = "backup_public"
PRIVATE = "backup_private"
SCRYPT = "backup_scrypt"  # "N:r:p:salt"
FIELDS = (PUBLIC, PRIVATE, SCRYPT)

_COST, _BLOCKS, _LANES = 2**15, 8, 1  # 32 MiB
_LARGEST_COST_BYTES = 1024**3  # 128 * N * r * p: a header is not to make its reader run out of memory or of time
_PURPOSE = "recovery pair"


def make(recovery_key: SecretBytes) -> Mapping[str, str]:
    """Return the details of a new pair; ``recovery_key`` is the canonical text."""
    salt = os.urandom(wrapping.SALT_BYTES)
    public, private = wrapping.key_pair()
    with private, _stretched(recovery_key, _COST, _BLOCKS, _LANES, salt) as key:
        sealed = wrapping.wrap(private, key, purpose=_PURPOSE)
    return {PUBLIC: public, PRIVATE: sealed, SCRYPT: f"{_COST}:{_BLOCKS}:{_LANES}:{wrapping.encoded(salt)}"}


def is_complete(details: Mapping[str, str]) -> bool:
    """Say whether the details of a token have a pair that can be sealed to; those of older tokens have none."""
    if not all(details.get(name, "").isprintable() and details.get(name) for name in FIELDS):
        return False
    try:
        with SecretBytes(bytes(1)) as nothing:
            wrapping.seal_to(nothing, details[PUBLIC], purpose=_PURPOSE)
    except KeyRejectedError:
        return False
    return True


def private_key(details: Mapping[str, str], recovery_key: SecretBytes) -> SecretBytes:
    """Return the private half. Raises KeyRejectedError: another recovery key, or damaged details."""
    try:
        cost, blocks, lanes, salt = details[SCRYPT].split(":")
        numbers = int(cost), int(blocks), int(lanes)
        sealed = details[PRIVATE]
        if min(numbers) < 1 or 128 * math.prod(numbers) > _LARGEST_COST_BYTES:
            raise ValueError("the cost is impossible")
        key = _stretched(recovery_key, *numbers, wrapping.decoded(salt))
    except (KeyError, ValueError) as error:
        raise KeyRejectedError(
            "The key pair of the recovery key cannot be read.",
            resolution="Try another header backup, or a key of another provider.",
        ) from error
    with key:
        return wrapping.unwrap(sealed, key, purpose=_PURPOSE)


def _stretched(recovery_key: SecretBytes, cost: int, blocks: int, lanes: int, salt: bytes) -> SecretBytes:
    with recovery_key.view() as text:
        return SecretBytes(
            hashlib.scrypt(
                text,
                salt=salt,
                n=cost,
                r=blocks,
                p=lanes,
                dklen=32,
                maxmem=128 * cost * blocks + 128 * blocks * lanes + 2**20,
            )
        )
