"""volward's tokens in a header: written, changed in place, and read back each time."""

from collections.abc import Callable, Mapping
from pathlib import Path

from volward.apply.target import read_header
from volward.apply.work import HeldKey, Work
from volward.errors import DamagedHeaderError, VerificationError
from volward.host import cryptsetup
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.source import KEY_BYTES, KeyRef
from volward.model import ProviderKind, Token


def describe(node: Path, work: Work, held: HeldKey, keyslot: int) -> None:
    """Write the token that says which key opens a keyslot. Raises DamagedHeaderError when it does not appear."""
    kind, key = held.ref.provider, held.key
    token = HeaderToken(
        volume=work.spec.name,
        ref=held.ref,
        keyslots=(keyslot,),
        fingerprint=header_token.fingerprint(key) if len(key) == KEY_BYTES and not typed(kind) else "",
        confirmed=True if kind is ProviderKind.RECOVERY else None,
        created=int(work.clock()),
    )
    cryptsetup.import_token(node, header_token.build(token), number=None)
    written = header_token.of_provider(read_header(node), kind)
    if not any(keyslot in content.keyslots for content in written):
        raise DamagedHeaderError(
            f"A token for {kind} was written to {node}, yet the header does not show it.",
            resolution="Run the same command again.",
        )


def date(
    node: Path,
    number: int,
    kind: ProviderKind,
    *,
    retired: int | None,
    details_of: Callable[[KeyRef], Mapping[str, str]] | None = None,
) -> None:
    """Date the tokens that name a keyslot, each in one update of the header. Raises VerificationError."""
    for token, content in header_token.all_of(read_header(node)):
        mine = number in content.keyslots and content.ref.provider is kind
        if mine and (content.retired is None) is not (retired is None):
            redate(node, token, retired=retired, details=details_of(content.ref) if details_of else None)


def redate(node: Path, token: Token, *, retired: int | None, details: Mapping[str, str] | None) -> None:
    """Write a token anew, in its place, and look whether it is there. Raises VerificationError."""
    text = header_token.dated(token, retired=retired, details=details)
    cryptsetup.import_token(node, text, number=token.number, replace=True)
    for written, content in header_token.all_of(read_header(node)):
        if written.number == token.number and content.retired == retired and details in (None, content.ref.details):
            return
    raise VerificationError(
        f"Token {token.number} of {node} was written anew, yet the header shows the old one.",
        resolution=f"Look at `cryptsetup luksDump {node}`, then run the same command again.",
    )


def typed(kind: ProviderKind) -> bool:
    """A person's passphrase has no fingerprint: it would be a way around Argon2id."""
    return kind in (ProviderKind.PROMPT, ProviderKind.RECOVERY)
