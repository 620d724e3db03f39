"""The action that removes a keyslot which an enrolment that was cut short left without its token.

Nobody has the key of such a keyslot, and repeated runs would use all 32 up. It goes only when the journal proves
it to be ours and another enrolled keyslot is opened with its key in this very operation (rule 4).
"""

from pathlib import Path

from volward.apply import keyslot
from volward.apply.opening import existing_key
from volward.apply.target import read_header, resolved
from volward.apply.work import Work
from volward.errors import VerificationError
from volward.host.cryptsetup import KeyslotProof
from volward.model import Action, Header


def remove_keyslot(action: Action, work: Work) -> None:
    """Remove the keyslot, after one more look at whose it is. One that is gone already is no error."""
    number = action.its_keyslot
    node = resolved(work).node
    if not _is_orphan(read_header(node), number, node, work):
        return
    held, proven = existing_key(node, work)
    keyslot.remove(node, number, KeyslotProof(proven, held.key))


def _is_orphan(present: Header, number: int, node: Path, work: Work) -> bool:
    if number not in keyslot.numbers(present):
        return False
    if number not in present.orphans(work.announced):
        raise VerificationError(
            f"Keyslot {number} of {node} is not the one of the journal any more.",
            resolution="It was left alone. `volward status` shows what is there; run the same command again.",
        )
    return True
