"""The actions that enrol the TPM anew: its token set aside, a new keyslot with a new token, and the way back.

systemd-cryptenroll adds nothing (and returns 0) while a token with the same policy is in the header, and no option
forces it. So the old token is parked inside one of volward's own, in the same place and in one update of the header;
its keyslot stays until the TPM has opened the new one. Meanwhile the TPM does not open the volume, and a key of
another provider does: that was shown first. A failure puts the token back at once.
"""

from pathlib import Path

from volward.apply.keyslot import free_keyslot
from volward.apply.opening import existing_key
from volward.apply.target import read_header, resolved
from volward.apply.work import Work
from volward.errors import BugError, KeyRejectedError, ToolTimeoutError, VolwardError
from volward.host import cryptenroll, cryptsetup
from volward.keys import header_token
from volward.model import Action, AnnouncedKeyslot, Header, Token


def park_token(action: Action, work: Work) -> None:
    """Set aside the tokens of the old keyslots, after a key of another provider has opened the volume."""
    del action
    node = resolved(work).node
    existing_key(node, work)
    for token in _plain(read_header(node)):
        if set(token.keyslots) <= _old(work):
            cryptsetup.import_token(node, header_token.park(token), number=token.number, replace=True)


def reenrol_tpm2(action: Action, work: Work) -> None:
    """Enrol the TPM and have it open its new keyslot once."""
    del action
    node = resolved(work).node
    opener = work.providers.opener(work.spec)
    existing, _ = existing_key(node, work)
    try:
        if not _fresh(read_header(node), work):
            own = AnnouncedKeyslot(free_keyslot(read_header(node), work), *cryptenroll.KEYSLOT_COST)
            work.announce(own)
            work.announced += (own,)
            work.remarks += opener.enrol(node, existing.key)
        if not any(opener.test(node, token) for token in _fresh(read_header(node), work)):
            raise KeyRejectedError(
                f"The TPM was enrolled anew for {work.spec.name}, yet it does not open its keyslot.",
                resolution="The other keys still open the volume, and the old token was put back. Look at "
                "`journalctl -k` for TPM messages; `volward abort` gives the rotation up.",
            )
    except ToolTimeoutError:
        raise  # it still runs, and would meet a second writer
    except VolwardError:
        _unpark(node)
        raise


def unpark_token(action: Action, work: Work) -> None:
    """Put the tokens back where they were."""
    del action
    _unpark(resolved(work).node)


def _unpark(node: Path) -> None:
    for token in read_header(node).tokens:
        if token.type == header_token.PARKED and token.keyslots:
            cryptsetup.import_token(node, header_token.unpark(token), number=token.number, replace=True)


def _fresh(present: Header, work: Work) -> tuple[Token, ...]:
    """Return the tokens of the keyslots that this rotation announced; the owner may have others of this TPM."""
    mine = set(present.filled(work.announced)) - _old(work)
    return tuple(token for token in _plain(present) if set(token.keyslots) <= mine)


def _plain(present: Header) -> tuple[Token, ...]:
    return tuple(token for token in present.tokens if token.is_plain_tpm2 and token.keyslots)


def _old(work: Work) -> set[int]:
    if work.rotation is None:
        raise BugError("A step of a rotation ran outside of one.", resolution="Please report it.")
    return set(work.rotation.old)
