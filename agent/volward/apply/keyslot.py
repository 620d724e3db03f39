"""The keyslots of a header: which one a key opens, which one is free, and how one goes."""

from pathlib import Path

from volward.apply.target import read_header
from volward.apply.work import Work
from volward.errors import KeyRejectedError, VerificationError
from volward.host import cryptsetup
from volward.host.cryptsetup import KeyslotProof
from volward.keys import header_token
from volward.keys.source import KeyRef
from volward.model import Header
from volward.secret import SecretBytes

KEYSLOTS = 32  # of a LUKS2 header


def numbers(present: Header) -> set[int]:
    """Return the numbers of the keyslots that are enrolled."""
    return {keyslot.number for keyslot in present.keyslots}


def keyslot_of(node: Path, present: Header, key: SecretBytes, *, ref: KeyRef | None = None) -> int | None:
    """Find the keyslot that a key opens: by key and not by number, since re-encryption renumbers them.

    Where the tokens name ``ref``, its keyslot is tried first: trying all means the costly ones of typed keys as well.
    """
    named = [number for _, content in header_token.all_of(present) if content.ref == ref for number in content.keyslots]
    for number in named:
        if cryptsetup.test_key(node, key, keyslot=number):
            return number
    if not cryptsetup.test_key(node, key, keyslot=None):
        return None
    numbers = [keyslot.number for keyslot in present.keyslots]
    return next((number for number in numbers if cryptsetup.test_key(node, key, keyslot=number)), None)


def free_keyslot(present: Header, work: Work) -> int:
    used = numbers(present)
    free = next((number for number in range(KEYSLOTS) if number not in used), None)
    if free is None:
        raise KeyRejectedError(
            f"All {KEYSLOTS} keyslots of {work.spec.name} are in use.",
            resolution=f"`cryptsetup luksDump {work.spec.device}` lists them; remove what nobody needs.",
        )
    return free


def remove(node: Path, number: int, proof: KeyslotProof) -> None:
    """Remove a keyslot after another one was opened (rule 4), and look whether it is gone. Raises VerificationError."""
    cryptsetup.kill_slot(node, keyslot=number, proof=proof)
    if number in numbers(read_header(node)):
        raise VerificationError(
            f"Keyslot {number} of {node} was removed, yet the header still shows it.",
            resolution=f"Look at `cryptsetup luksDump {node}`, then run the same command again.",
        )
