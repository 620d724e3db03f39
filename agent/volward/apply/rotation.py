"""The actions of a rotation: a new key beside the old one, then the old one retired or removed.

Each looks at the header first and does nothing where an earlier run had done it. A keyslot goes only after another one,
which does not go as well, was opened with its key in this operation (rule 4); a key is never removed from its store.
"""

from collections.abc import Set
from pathlib import Path
from types import MappingProxyType

from volward.apply import keyslot as slots
from volward.apply.enrolment import handed_over, store_for, typed_kdf
from volward.apply.keyslot import free_keyslot, keyslot_of
from volward.apply.opening import existing_key
from volward.apply.target import read_header, resolved
from volward.apply.token import date, describe, redate
from volward.apply.work import HeldKey, Work
from volward.errors import BugError, KeyExistsError, KeyRejectedError, VerificationError, VolwardError
from volward.host import cryptsetup
from volward.host.cryptsetup import KeyslotProof, Pbkdf2
from volward.keys import header_token
from volward.keys.ages import TYPED
from volward.keys.source import KeyRef, Rewrapper
from volward.model import Action, AnnouncedKeyslot, Header, ProviderKind, Rotation


def authorise(work: Work) -> None:
    """Have a key at hand that opens the volume, before a rotation is journaled; changes nothing.

    Without one a new key would be made that can be enrolled by nobody. Raises NoOpenerError, KeyDeniedError.
    """
    existing_key(resolved(work).node, work, but=frozenset(_rotation(work).revoked))


def create_successor(action: Action, work: Work) -> None:
    """Create the new key in its store, which reads it back and compares; a person's key is made and handed over.

    What authorises it and a free keyslot are at hand first: nobody is to write down a key that cannot be enrolled.
    """
    kind = action.its_provider
    node = resolved(work).node
    source = work.providers.source(kind, work.spec)
    if source.interactive:
        existing_key(node, work)
        free_keyslot(read_header(node), work)
    if kind is ProviderKind.RECOVERY:
        work.successor = handed_over(work)
    elif source.interactive:
        ref = source.create(source.first_ref(work.spec.name), adopt=False, deadline_seconds=work.deadline_seconds)
        work.successor = HeldKey(ref, source.read(ref, deadline_seconds=work.deadline_seconds))
    else:
        work.successor = _stored(kind, node, work)


def _stored(kind: ProviderKind, node: Path, work: Work) -> HeldKey:
    ref = successor_ref(work)
    beside = tuple(content.ref for _, content in header_token.all_of(read_header(node)) if content.ref != ref)
    source = store_for(kind, work, "rotation", beside=beside)
    try:
        found = source.create(ref, adopt=work.resumes_rotation, deadline_seconds=work.deadline_seconds)
    except KeyExistsError as error:
        raise KeyExistsError(
            f"Somebody else has just created {ref}: another host that uses the same path in this store?",
            resolution="Their key was not touched, and nothing was changed here: the volume keeps its present key. "
            "Give each volume a name of its own in the store, or run the same command again for the next version.",
        ) from error
    return HeldKey(found, source.read(found, deadline_seconds=work.deadline_seconds))


def enrol_successor(action: Action, work: Work) -> None:
    """Add a keyslot for the new key, authorised by a present one, and open that keyslot with it."""
    kind = action.its_provider
    node = resolved(work).node
    held = _successor(kind, work)
    keyslot = _successor_keyslot(node, held, work)
    if keyslot is None:
        existing, existing_keyslot = existing_key(node, work)
        keyslot = free_keyslot(read_header(node), work)
        if work.providers.source(kind, work.spec).interactive:
            kdf: cryptsetup.Argon2id | Pbkdf2 = typed_kdf(work, keyslot)
        else:
            kdf = Pbkdf2()
            work.announce(AnnouncedKeyslot(keyslot, "pbkdf2", kdf.iterations, kdf_hash="sha256"))
        cryptsetup.add_key(
            node, existing=existing.key, existing_keyslot=existing_keyslot, new=held.key, keyslot=keyslot, kdf=kdf
        )
    _demand_that_it_opens(node, keyslot, held, work)


def describe_successor(action: Action, work: Work) -> None:
    """Write the token of the new key, once it has opened its keyslot."""
    node = resolved(work).node
    held = _successor(action.its_provider, work)
    keyslot = _successor_keyslot(node, held, work)
    if keyslot is None:
        raise KeyRejectedError(
            f"The new key of {work.spec.name} opens no keyslot.",
            resolution="The old key still opens the volume. Run the same command again.",
        )
    _demand_that_it_opens(node, keyslot, held, work)
    named = [content for _, content in header_token.all_of(read_header(node)) if keyslot in content.keyslots]
    if not named:
        describe(node, work, held, keyslot)


def retire_keyslot(action: Action, work: Work) -> None:
    """Mark the token of an old keyslot; the keyslot stays until its grace is over.

    A key that its store wraps is wrapped by the newest version from then on, in the same update of the header.
    """
    kind, number = action.its_provider, action.its_keyslot
    node = resolved(work).node
    held = _successor(kind, work) if kind not in TYPED else work.successor
    if held is not None:
        keyslot = _successor_keyslot(node, held, work)
        _demand_that_it_opens(node, -1 if keyslot is None else keyslot, held, work)
    date(node, number, kind, retired=int(work.clock()), details_of=lambda ref: _rewrapped(ref, work).details)
    _rewrap_retired(node, kind, work, but=number)


def reinstate_keyslot(action: Action, work: Work) -> None:
    """Take the mark away again."""
    date(resolved(work).node, action.its_keyslot, action.its_provider, retired=None)


def revoke_keyslot(action: Action, work: Work) -> None:
    """Remove a keyslot that a successor has replaced, then the tokens that name no keyslot any more."""
    number = action.its_keyslot
    node = resolved(work).node
    present = read_header(node)
    if number in slots.numbers(present):
        _refuse_others(present, number, work)
        slots.remove(node, number, _proof(node, number, action.provider, work))
    for token in read_header(node).tokens:
        if not token.keyslots and token.type in (header_token.TYPE, header_token.PARKED):
            cryptsetup.remove_token(node, token.number)


def drop_successor(action: Action, work: Work) -> None:
    """Remove the new keyslot and its token, to give a rotation up. Its key stays in its store."""
    number = action.its_keyslot
    node = resolved(work).node
    present = read_header(node)
    if number not in slots.numbers(present) or not _is_successor(node, present, number, action.its_provider, work):
        return
    held, keyslot = existing_key(node, work, but={number})
    # The token first: a keyslot without one is found again by its key, a token without a keyslot says nothing.
    for token in present.tokens:
        if number in token.keyslots:
            cryptsetup.remove_token(node, token.number)
    slots.remove(node, number, KeyslotProof(keyslot, held.key))


def successor_ref(work: Work) -> KeyRef:
    """Return where the new key is kept, as the journal says."""
    rotation = _rotation(work)
    if rotation.provider is None or not rotation.successor_name:
        raise BugError("A key was to be created without a place for it.", resolution="Please report it.")
    details = MappingProxyType(dict(rotation.successor_details))
    return KeyRef(rotation.provider, rotation.successor_name, rotation.successor_version, details)


def _rotation(work: Work) -> Rotation:
    if work.rotation is None:
        raise BugError("A step of a rotation ran outside of one.", resolution="Please report it.")
    return work.rotation


def _successor(kind: ProviderKind, work: Work) -> HeldKey:
    """Return the new key: the one in hand, or the one that an earlier run stored."""
    if work.successor is None:
        ref = successor_ref(work)
        source = work.providers.source(kind, work.spec)
        work.successor = HeldKey(ref, source.read(ref, deadline_seconds=work.deadline_seconds))
    return work.successor


def _successor_keyslot(node: Path, held: HeldKey, work: Work) -> int | None:
    """Find the keyslot that the new key opens, among those that are not known to be another's."""
    present = read_header(node)
    others = {
        number
        for token in present.tokens
        if not any(content.ref == held.ref for one, content in header_token.all_of(present) if one is token)
        for number in token.keyslots
    } | set(_rotation(work).old)
    left = [keyslot.number for keyslot in present.keyslots if keyslot.number not in others]
    return next((number for number in left if cryptsetup.test_key(node, held.key, keyslot=number)), None)


def _demand_that_it_opens(node: Path, keyslot: int, held: HeldKey, work: Work) -> None:
    if keyslot < 0 or not cryptsetup.test_key(node, held.key, keyslot=keyslot):
        raise KeyRejectedError(
            f"A keyslot was added for {held.ref} of {work.spec.name}, yet its key does not open it.",
            resolution="The old key still opens the volume. Look at `dmesg`, then run the same command again.",
        )


def _rewrap_retired(node: Path, kind: ProviderKind, work: Work, *, but: int) -> None:
    """Wrap the keys that earlier rotations retired anew as well: then no version but the newest is needed."""
    for token, content in header_token.all_of(read_header(node)):
        if content.ref.provider is kind and content.retired is not None and but not in content.keyslots:
            fresh = _rewrapped(content.ref, work)
            if fresh.details != content.ref.details:
                redate(node, token, retired=content.retired, details=fresh.details)


def _rewrapped(ref: KeyRef, work: Work) -> KeyRef:
    """Return a retired key's ref with its key wrapped anew; as it is, and a remark, when that cannot be had."""
    source = work.providers.source(ref.provider, work.spec)
    if not isinstance(source, Rewrapper):
        return ref
    try:
        return source.rewrap(ref, deadline_seconds=work.deadline_seconds)
    except VolwardError as error:
        work.remarks += (f"The retired key {ref} stays wrapped as it was: {error.what} {error.resolution}",)
        return ref


def _refuse_others(present: Header, number: int, work: Work) -> None:
    """A keyslot goes when its token says that it was retired, or when it is one of the key that is replaced."""
    rotation = _rotation(work)
    tokens = [token for token in present.tokens if number in token.keyslots]
    dated = [content for token, content in header_token.all_of(present) if number in token.keyslots]
    later = any((content.created or 0) > rotation.begun_at for content in dated)
    if rotation.provider is ProviderKind.TPM2:  # it has no date; one that is not parked was enrolled in a freed place
        later = any(token.type != header_token.PARKED for token in tokens)
    if number in rotation.old and len(tokens) == 1 and tokens[0].opened_by == rotation.provider and not later:
        return
    if number in rotation.revoked and len(tokens) == len(dated) == 1 and dated[0].retired is not None:
        return
    raise VerificationError(
        f"Keyslot {number} of {work.spec.name} is not the one any more that was to be removed.",
        resolution=f"It was left alone. `volward status {work.spec.name}` shows what is there.",
    )


def _proof(node: Path, number: int, kind: ProviderKind | None, work: Work) -> KeyslotProof:
    """Return a key that stays and its keyslot: the new one where it is at hand, else any that is not retired."""
    if kind is not None and kind is not ProviderKind.TPM2 and (kind not in TYPED or work.successor is not None):
        held = _successor(kind, work)
        keyslot = _successor_keyslot(node, held, work)
        if keyslot is not None:
            return KeyslotProof(keyslot, held.key)
    held, keyslot = existing_key(node, work, but={number} | _leaving(read_header(node), work))
    return KeyslotProof(keyslot, held.key)


def _leaving(present: Header, work: Work) -> Set[int]:
    """Return the keyslots that go, now or when their grace is over."""
    retired = {
        slot for _, content in header_token.all_of(present) if content.retired is not None for slot in content.keyslots
    }
    rotation = _rotation(work)
    return retired | set(rotation.revoked) | (set(rotation.old) if rotation.at_once else set())


def _is_successor(node: Path, present: Header, number: int, kind: ProviderKind, work: Work) -> bool:
    """Whether the keyslot is the rotation's own: announced by it, and described by its token or opened by its key."""
    if number not in present.filled(work.announced):
        return False
    tokens = [token for token in present.tokens if number in token.keyslots]
    if kind is ProviderKind.TPM2:
        return all(token.is_plain_tpm2 for token in tokens)
    if kind in TYPED:
        return all(token.opened_by == kind for token in tokens)
    if tokens:
        described = [content.ref for token, content in header_token.all_of(present) if token in tokens]
        return described == [successor_ref(work)] * len(tokens)
    source = work.providers.source(kind, work.spec)
    if work.successor is None and not source.present(successor_ref(work), deadline_seconds=work.deadline_seconds):
        return False  # it was never created, so that no keyslot has it
    return keyslot_of(node, present, _successor(kind, work).key) == number
