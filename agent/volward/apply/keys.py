"""The actions on keys: create, enrol, describe in the header, and open through the chain of providers.

A key is in its store, read back and compared, before any keyslot depends on it (rule 3). Nothing here removes
a keyslot.
"""

import secrets
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from volward import audit
from volward.apply.work import HeldKey, Work
from volward.errors import BugError, DamagedHeaderError, KeyRejectedError
from volward.host import block, cryptenroll, cryptsetup, header
from volward.host.cryptsetup import Argon2id, Pbkdf2
from volward.keys import chain, header_token, recovery, recovery_pair
from volward.keys.chain import Failure, Patience
from volward.keys.header_token import HeaderToken
from volward.keys.source import KEY_BYTES, KeyPurpose, KeyRef, KeySource, TokenOpener
from volward.model import Action, AnnouncedKeyslot, Device, Header, Presence, ProviderKind, Token, VolumeSpec
from volward.secret import SecretBytes

KEYSLOTS = 32  # of a LUKS2 header
_ODD_AMOUNTS = 512  # costs at most 1 MiB of the 64 or more


def create_key(action: Action, work: Work) -> None:
    """Create the volume's key in its store, or adopt the one that an earlier run created; keep it in hand."""
    _created(store_for(provider_of(action), work, "provisioning"), work)


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
    kind = provider_of(action)
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
    source = store_for(provider_of(action), work, "enrolment")
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
    if work.recovery is None:
        raise BugError("A recovery key was planned that nobody could see.", resolution="Please report it.")
    node = resolved(work).node
    existing_key(node, work)
    free_keyslot(read_header(node), work)
    with recovery.generate() as key:
        work.recovery.hand_over(work.spec.name, key)
        ref = work.providers.source(ProviderKind.RECOVERY, work.spec).first_ref(work.spec.name)
        # The pair lets header backups be sealed to this key later, when it is on paper.
        _enrol(work, HeldKey(replace(ref, details=recovery_pair.make(key)), key), interactive=True)


def open_through_chain(device: Device, work: Work) -> None:
    """Open the mapping by the first provider that can; what failed before it is kept as the reasons."""
    node, name, discard = device.node, work.spec.mapping_name, work.spec.discard
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
        patience=Patience(work.deadline_seconds),
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
        keyslot = keyslot_of(node, present, held.key)
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
        patience=Patience(work.deadline_seconds),
        alert=lambda failure: _alert(work, failure),
    )
    if outcome.ref is None:
        raise BugError("A key without a name opened a volume.", resolution="Please report it.")
    held = work.take(outcome.ref, taken[0])
    keyslot = keyslot_of(node, present, held.key) if outcome.keyslot is None else outcome.keyslot
    if keyslot is None:
        raise BugError("A key opened a volume and none of its keyslots.", resolution="Please report it.")
    return held, keyslot


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


def existing_key_but(kind: ProviderKind, node: Path, work: Work) -> tuple[HeldKey, int]:
    """Return a key of another provider, to authorise enrolling ``kind``."""
    mine = work.keys.pop(kind, None)
    try:
        return existing_key(node, work)
    finally:
        if mine is not None:
            work.keys[kind] = mine


def describe(node: Path, work: Work, held: HeldKey, keyslot: int) -> None:
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


def typed(kind: ProviderKind) -> bool:
    """A person's passphrase has no fingerprint: it would be a way around Argon2id."""
    return kind in (ProviderKind.PROMPT, ProviderKind.RECOVERY)


def _key_of(kind: ProviderKind, work: Work) -> HeldKey:
    """Return the provider's key: the one in hand, or else the newest that its store has."""
    if kind in work.keys:
        return work.keys[kind]
    source = work.providers.source(kind, work.spec)
    stored = source.refs(work.spec.name, deadline_seconds=work.deadline_seconds)
    ref = next(iter(stored), source.first_ref(work.spec.name))
    return work.take(ref, source.read(ref, deadline_seconds=work.deadline_seconds))


def keyslot_of(node: Path, present: Header, key: SecretBytes) -> int | None:
    """Find the keyslot that a key opens: by key and not by number, since re-encryption renumbers them."""
    if not cryptsetup.test_key(node, key, keyslot=None):
        return None
    numbers = [keyslot.number for keyslot in present.keyslots]
    return next((number for number in numbers if cryptsetup.test_key(node, key, keyslot=number)), None)


def free_keyslot(present: Header, work: Work) -> int:
    used = {keyslot.number for keyslot in present.keyslots}
    free = next((number for number in range(KEYSLOTS) if number not in used), None)
    if free is None:
        raise KeyRejectedError(
            f"All {KEYSLOTS} keyslots of {work.spec.name} are in use.",
            resolution=f"`cryptsetup luksDump {work.spec.device}` lists them; remove what nobody needs.",
        )
    return free


def resolved(work: Work) -> Device:
    """Return the volume's device as its link leads to it now."""
    return (block.resolve_file if work.spec.is_file else block.resolve)(work.spec.device)


def read_header(node: Path) -> Header:
    """Return the header. Raises DamagedHeaderError."""
    found = header.read(node)
    if found.header is None or found.presence is not Presence.PRESENT:
        raise DamagedHeaderError(
            f"The LUKS2 header of {node} cannot be read: {found.error or 'there is none'}",
            resolution="Do not format. `volward header restore VOLUME` brings it back from a backup.",
        )
    return found.header


def provider_of(action: Action) -> ProviderKind:
    if action.provider is None:
        raise BugError(f"The step {action.step} was planned without a provider.", resolution="Please report it.")
    return action.provider
