"""Opening a volume through the chain of its providers, and the key that authorises a change of its header."""

from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from volward import audit
from volward.apply.keyslot import keyslot_of
from volward.apply.target import read_header
from volward.apply.work import HeldKey, Work
from volward.errors import BugError, KeyRejectedError
from volward.host import cryptsetup
from volward.keys import chain
from volward.keys.chain import Failure, Patience
from volward.keys.source import KeySource, TokenOpener
from volward.model import Header, ProviderKind, Token
from volward.secret import SecretBytes


def open_through_chain(node: Path, work: Work) -> None:
    """Open the mapping by the first provider that can; what failed before it is kept as the reasons."""
    name, discard = work.spec.mapping_name, work.spec.discard
    held = next(iter(work.keys.values()), None)
    if held is not None:
        cryptsetup.open(node, name, key=held.key, keyslot=None, discard=discard)
        work.opened_by = str(held.ref.provider)
        return
    outcome = chain.open_volume(
        work.spec.name,
        _chain(work),
        read_header(node),
        open_by_key=lambda key, keyslot: cryptsetup.open(node, name, key=key, keyslot=keyslot, discard=discard),
        open_by_token=lambda opener, token: opener.open(node, name, token, discard=discard),
        on_denied_stop=work.spec.on_denied_stop,
        patience=Patience(work.deadline_seconds, sleep=work.sleep),
        alert=lambda failure: _alert(work, failure),
    )
    work.opened_by = str(outcome.opened_by)
    work.degraded = tuple(str(failure) for failure in outcome.failures)


def existing_key(node: Path, work: Work, *, but: Set[int] = frozenset()) -> tuple[HeldKey, int]:
    """Return a key that opens the volume by a keyslot that is not one of ``but``, and that keyslot.

    It stays in hand and is wiped with the work. Raises NoOpenerError with what each provider said.
    """
    present = _without(read_header(node), but)
    for held in work.keys.values():
        keyslot = keyslot_of(node, present, held.key, ref=held.ref)
        if keyslot is not None:
            return held, keyslot
    sources = [provider for provider in _chain(work) if not isinstance(provider, TokenOpener)]
    taken: list[SecretBytes] = []

    def take(key: SecretBytes, keyslot: int | None) -> None:
        fits = cryptsetup.test_key(node, key, keyslot=keyslot)
        if not fits or (but and keyslot is None and keyslot_of(node, present, key) is None):
            raise KeyRejectedError("The key opens no keyslot.", resolution="Try another provider.")
        with key.view() as view:
            taken.append(SecretBytes(view))

    outcome = chain.open_volume(
        work.spec.name,
        sources,
        present,
        open_by_key=take,
        open_by_token=_no_token,
        patience=Patience(work.deadline_seconds, sleep=work.sleep),
        alert=lambda failure: _alert(work, failure),
    )
    if outcome.ref is None:
        raise BugError("A key without a name opened a volume.", resolution="Please report it.")
    held = work.take(outcome.ref, taken[0])
    keyslot = keyslot_of(node, present, held.key) if outcome.keyslot is None else outcome.keyslot
    if keyslot is None:
        raise BugError("A key opened a volume and none of its keyslots.", resolution="Please report it.")
    return held, keyslot


def existing_key_but(kind: ProviderKind, node: Path, work: Work) -> tuple[HeldKey, int]:
    """Return a key of another provider, to authorise enrolling ``kind``."""
    mine = work.keys.pop(kind, None)
    try:
        return existing_key(node, work)
    finally:
        if mine is not None:
            work.keys[kind] = mine


def _without(present: Header, but: Set[int]) -> Header:
    """Return the header as if these keyslots and their tokens were not there."""
    return replace(
        present,
        keyslots=tuple(keyslot for keyslot in present.keyslots if keyslot.number not in but),
        tokens=tuple(token for token in present.tokens if not but & set(token.keyslots)),
    )


def _no_token(opener: TokenOpener, token: Token) -> None:
    raise BugError(f"{opener.provider} was asked for bytes (token {token.number}).", resolution="Please report it.")


def _alert(work: Work, failure: Failure) -> None:
    audit.record(
        "key-denied", work.spec.name, audit.Outcome.ALERT, f"{work.spec.name}: {failure}", provider=failure.provider
    )


def _chain(work: Work) -> tuple[KeySource | TokenOpener, ...]:
    if work.ask_recovery:
        return (work.providers.source(ProviderKind.RECOVERY, work.spec),)
    return work.providers.chain_of(work.spec)
