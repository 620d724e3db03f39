"""The actions that create a volume's keys, enrol them, and describe them in the header.

A key is in its store, read back and compared, before any keyslot depends on it (rule 3). Nothing here removes
a keyslot.
"""

import secrets
from contextlib import ExitStack
from dataclasses import replace

from volward.apply.keyslot import free_keyslot, keyslot_of
from volward.apply.opening import existing_key, existing_key_but
from volward.apply.target import read_header, resolved
from volward.apply.token import describe, typed
from volward.apply.work import HeldKey, Work
from volward.errors import BugError, KeyRejectedError
from volward.host import cryptenroll, cryptsetup
from volward.host.cryptsetup import Argon2id, Pbkdf2
from volward.keys import recovery, recovery_pair
from volward.keys.source import KeyPurpose, KeyRef, KeySource
from volward.model import Action, AnnouncedKeyslot, ProviderKind, VolumeSpec

_ODD_AMOUNTS = 512  # costs at most 1 MiB of the 64 or more


def create_key(action: Action, work: Work) -> None:
    """Create the volume's key in its store, or adopt the one that an earlier run created; keep it in hand."""
    _created(store_for(action.its_provider, work, "provisioning"), work)


def _created(source: KeySource, work: Work) -> HeldKey:
    ref = source.create(
        source.first_ref(work.spec.name), adopt=not source.interactive, deadline_seconds=work.deadline_seconds
    )
    return work.take(ref, source.read(ref, deadline_seconds=work.deadline_seconds))


def store_for(kind: ProviderKind, work: Work, reason: str, *, beside: tuple[KeyRef, ...] = ()) -> KeySource:
    """Return the provider of an action that creates a key, with what the key is for."""
    purpose = KeyPurpose(
        volume=work.spec.name,
        luks_uuid=work.luks_uuid,
        device=work.identity.typed_confirmation,
        reason=reason,
        versions=work.spec.rotation.kept_versions,
        beside=beside,
    )
    return work.providers.source(kind, work.spec, purpose=purpose)


def write_token(action: Action, work: Work) -> None:
    """Write into the header which key opens it. The key is shown to open its keyslot first."""
    kind = action.its_provider
    node = resolved(work).node
    present = read_header(node)
    held = _key_of(kind, work)
    keyslot = keyslot_of(node, present, held.key)
    if keyslot is None:
        raise KeyRejectedError(
            f"The key of {kind} opens no keyslot of {work.spec.name}.",
            resolution=f"Nothing was changed. `volward status {work.spec.name}` lists the keyslots.",
        )
    describe(node, work, held, keyslot)


def enrol_key(action: Action, work: Work) -> None:
    """Enrol the key of one more provider; a keyslot that its key opens already is used as it is."""
    source = store_for(action.its_provider, work, "enrolment")
    _enrol(work, _created(source, work), interactive=source.interactive)


def enrol_tpm2(action: Action, work: Work) -> None:
    """Enrol the TPM and have it open its keyslot once (rule 3 for a provider that shows no bytes)."""
    del action
    node = resolved(work).node
    opener = work.providers.opener(work.spec)
    existing, _ = existing_key(node, work)
    work.announce(AnnouncedKeyslot(free_keyslot(read_header(node), work), *cryptenroll.KEYSLOT_COST))
    work.remarks += opener.enrol(node, existing.key)
    tokens = [token for token in read_header(node).tokens if token.type == opener.token_type]
    if not any(opener.test(node, token) for token in tokens):
        raise KeyRejectedError(
            f"The TPM was enrolled for {work.spec.name}, yet it does not open its keyslot.",
            resolution="The other keys still open the volume. Look at `journalctl -k` for TPM messages.",
        )


def enrol_recovery(action: Action, work: Work) -> None:
    """Make a recovery key, hand it over, and enrol it only once its owner has it.

    Another key and a free keyslot are at hand first: nobody is to write down a key that cannot be enrolled.
    """
    del action
    node = resolved(work).node
    existing_key(node, work)
    free_keyslot(read_header(node), work)
    with ExitStack() as wiped:
        held = handed_over(work)
        wiped.callback(held.key.wipe)
        _enrol(work, held, interactive=True)
        if work.keeps_recovery:
            work.successor = held
            wiped.pop_all()


def handed_over(work: Work) -> HeldKey:
    """Return a new recovery key that its owner has confirmed. Raises what the delivery raises; then it is wiped."""
    if work.recovery is None:
        raise BugError("A recovery key was planned that nobody could see.", resolution="Please report it.")
    key = recovery.generate()
    try:
        work.recovery.hand_over(work.spec.name, key)
        ref = work.providers.source(ProviderKind.RECOVERY, work.spec).first_ref(work.spec.name)
        # The pair lets header backups be sealed to this key later, when it is on paper.
        return HeldKey(replace(ref, details=recovery_pair.make(key)), key)
    except BaseException:
        key.wipe()
        raise


def _enrol(work: Work, held: HeldKey, *, interactive: bool) -> None:
    """Add a keyslot for the key, prove that it opens it, and describe it in the header."""
    node, kind, key = resolved(work).node, held.ref.provider, held.key
    existing, existing_keyslot = existing_key_but(kind, node, work)
    present = read_header(node)
    keyslot = keyslot_of(node, present, key)
    if keyslot is None:
        keyslot = free_keyslot(present, work)
        kdf = typed_kdf(work, keyslot) if interactive else Pbkdf2()
        cryptsetup.add_key(
            node, existing=existing.key, existing_keyslot=existing_keyslot, new=key, keyslot=keyslot, kdf=kdf
        )
        if not cryptsetup.test_key(node, key, keyslot=keyslot):
            raise KeyRejectedError(
                f"A keyslot was added for {kind}, yet its key does not open it.",
                resolution="The other keys still open the volume. Look at `dmesg`, then run the same command again.",
            )
    describe(node, work, held, keyslot)


def kdf_of(kind: ProviderKind, spec: VolumeSpec) -> Pbkdf2 | Argon2id:
    """Return the KDF of a new header's first keyslot: stretching is for what a person types, and for nothing else."""
    profile = spec.recovery
    return Argon2id(profile.memory_kib, profile.iterations, profile.lanes) if typed(kind) else Pbkdf2()


def typed_kdf(work: Work, keyslot: int) -> Argon2id:
    """Return the cost for a key that a person types, made unmistakable and announced.

    A cut between keyslot and token would leave a keyslot that nobody has a key to. By its number and an odd
    amount of memory, which no default has, the next run knows it for its own.
    """
    profile = work.spec.recovery
    odd_kib = profile.memory_kib - 2 * secrets.randbelow(_ODD_AMOUNTS) - 1
    kdf = Argon2id(odd_kib, profile.iterations, profile.lanes)
    work.announce(AnnouncedKeyslot(keyslot, "argon2id", kdf.iterations, kdf.memory_kib, kdf.lanes))
    return kdf


def _key_of(kind: ProviderKind, work: Work) -> HeldKey:
    """Return the provider's key: the one in hand, or else the newest that its store has."""
    if kind in work.keys:
        return work.keys[kind]
    source = work.providers.source(kind, work.spec)
    stored = source.refs(work.spec.name, deadline_seconds=work.deadline_seconds)
    ref = next(iter(stored), source.first_ref(work.spec.name))
    return work.take(ref, source.read(ref, deadline_seconds=work.deadline_seconds))
