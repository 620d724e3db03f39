"""For whom a header backup is sealed, and who opens it: keys of their own in the volume's stores, and recovery keys.

The key for backups is named for the volume plus ".header" in each store, so that neither retiring an unlocking key
nor pruning its old versions makes a backup unreadable. Calls no host commands itself.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from volward.errors import HeaderBackupError, NoOpenerError, ProviderUnavailableError, VolwardError
from volward.header_backup import sealing
from volward.header_backup.facts import Recipient
from volward.header_backup.sealing import Sealed
from volward.keys import header_token, recovery_pair
from volward.keys.providers import Providers
from volward.keys.source import KeyRef, KeySource, TokenOpener
from volward.model import Header, ProviderKind, VolumeSpec
from volward.secret import SecretBytes

_YIELD_NO_BYTES_ALONE = (ProviderKind.TPM2, ProviderKind.PROMPT, ProviderKind.RECOVERY)


def key_name(spec: VolumeSpec) -> str:
    """Return the name that the key for backups has in each store."""
    return f"{spec.name}.header"


def sources(spec: VolumeSpec, providers: Providers, *, interactive: bool) -> tuple[KeySource, ...]:
    """Return the volume's providers that yield bytes; those that ask a person only with ``interactive``."""
    return tuple(
        one for one in providers.chain_of(spec) if not isinstance(one, TokenOpener) and one.interactive is interactive
    )


def recovery_refs(header: Header | None) -> tuple[KeyRef, ...]:
    """Return the refs of the header's recovery keys that have a pair to seal to."""
    found = header_token.of_provider(header, ProviderKind.RECOVERY) if header is not None else ()
    return tuple(one.ref for one in found if one.keyslots and recovery_pair.is_complete(one.ref.details))


def spoiled_pairs(header: Header) -> tuple[int, ...]:
    """Return the recovery keyslots whose token has a pair that nothing can be sealed to."""
    found = header_token.of_provider(header, ProviderKind.RECOVERY)
    return tuple(
        number
        for one in found
        if recovery_pair.PUBLIC in one.ref.details and not recovery_pair.is_complete(one.ref.details)
        for number in one.keyslots
    )


@dataclass
class SealingKeys:
    """The stores' keys for backups of one volume, in hand until the context ends; and who did not answer."""

    keys: tuple[tuple[KeyRef, SecretBytes], ...]
    failures: tuple[str, ...]

    @classmethod
    def of(
        cls, spec: VolumeSpec, providers: Providers, *, deadline_seconds: float, known: Iterable[KeyRef] = ()
    ) -> Self:
        """Read the key in every store that answers; a store that does not is a failure, not an error.

        The first key of ``known`` that a store still gives (it opened a backup a moment ago, or should) stands for that
        store: a host that was installed anew, whose configuration names another place, or that may read alone, has
        those and can make no other. A key is made only where there is none.
        """
        keys: dict[ProviderKind, tuple[KeyRef, SecretBytes]] = {}
        failures: dict[ProviderKind, str] = {}
        for ref in known:
            if ref.provider not in (*_YIELD_NO_BYTES_ALONE, *keys, *failures):
                try:
                    keys[ref.provider] = ref, read(ref, spec, providers, deadline_seconds)
                except ProviderUnavailableError as error:  # waited for once is enough
                    failures[ref.provider] = error.what
                except VolwardError:
                    continue
        for source in sources(spec, providers, interactive=False):
            if source.provider not in (*keys, *failures):
                try:
                    keys[source.provider] = _own(source, spec, deadline_seconds)
                except VolwardError as error:
                    failures[source.provider] = error.what
        return cls(tuple(keys.values()), tuple(f"{provider}: {what}" for provider, what in failures.items()))

    def seal_for(self, data_key: SecretBytes, recovery: Iterable[KeyRef], *, luks_uuid: str) -> tuple[Recipient, ...]:
        """Seal the data key for every one of them and for recovery keys. Raises ProviderUnavailableError for nobody."""
        recipients = [sealing.for_source(data_key, ref, key, luks_uuid=luks_uuid) for ref, key in self.keys]
        recipients += [sealing.for_recovery(data_key, ref, luks_uuid=luks_uuid) for ref in recovery]
        if not recipients:
            said = "; ".join(one.rstrip(".") for one in self.failures) or "its providers ask a person"
            raise ProviderUnavailableError(
                f"Nobody could open a header backup: {said}, and there is no recovery key to seal it to.",
                resolution="Look at the providers, or make a recovery key (`volward recovery enrol`), then try again.",
            )
        return tuple(recipients)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for _, key in self.keys:
            key.wipe()


def unsealed(
    sealed: Sealed, spec: VolumeSpec, providers: Providers, recovery_key: SecretBytes | None, *, deadline_seconds: float
) -> tuple[bytes, Recipient]:
    """Return the header area and who opened it: the typed recovery key, or else the stores in their order.

    Raises NoOpenerError with what each of them said, HeaderBackupError.
    """
    said = []
    for recipient in sealed.facts.recipients:
        if recipient.is_recovery is (recovery_key is None):
            continue
        try:
            with ExitStack() as stack:
                key = recovery_key or stack.enter_context(read(recipient.ref, spec, providers, deadline_seconds))
                data_key = stack.enter_context(
                    sealing.data_key(recipient, key, luks_uuid=sealed.facts.luks_uuid),
                )
                return sealing.unseal(sealed, data_key), recipient
        except HeaderBackupError:  # it was opened, and is damaged: no other key mends that
            raise
        except VolwardError as error:
            said.append(f"{recipient.ref}: {error.what.rstrip('.')}")
    who = "; ".join(said) or f"it is sealed for no {'provider' if recovery_key is None else 'recovery key'}"
    raise NoOpenerError(
        f"{sealed.name} was not opened: {who}.",
        resolution="With the recovery key: add `--recovery`."
        if recovery_key is None
        else "Is this the recovery key of that time? Without `--recovery` the key providers are asked.",
    )


def _own(source: KeySource, spec: VolumeSpec, deadline_seconds: float) -> tuple[KeyRef, SecretBytes]:
    """Return the store's key for the volume's backups; with one that is there, its store may be read-only."""
    name = key_name(spec)
    there = source.refs(name, deadline_seconds=deadline_seconds)
    ref = there[0] if there else source.create(source.first_ref(name), adopt=True, deadline_seconds=deadline_seconds)
    return ref, source.read(ref, deadline_seconds=deadline_seconds)


def read(ref: KeyRef, spec: VolumeSpec, providers: Providers, deadline_seconds: float) -> SecretBytes:
    """Return the key for backups that a recipient names; the caller wipes it. Raises what its store raises."""
    if ref.provider in _YIELD_NO_BYTES_ALONE:
        raise ProviderUnavailableError("It cannot be asked for a backup's key.", resolution="Use another recipient.")
    return providers.source(ref.provider, spec).read(ref, deadline_seconds=deadline_seconds)


def unlocking_keys(
    header: Header, spec: VolumeSpec, providers: Providers, *, deadline_seconds: float, ask: bool, said: list[str]
) -> Iterator[tuple[str, SecretBytes, tuple[int, ...]]]:
    """Yield the volume's unlocking keys with the keyslots that they should open: as the header says, then all others.

    A re-encryption loses the tokens, and the stores have the keys all the same. Each key is wiped when the next one is
    asked for. What a store failed with is added to ``said``. With ``ask`` people are asked too, after the stores.
    """
    every = tuple(slot.number for slot in header.keyslots if slot.opens_data)
    chain = sources(spec, providers, interactive=False) + (sources(spec, providers, interactive=True) if ask else ())
    for source in chain:
        named = {one.ref: one.keyslots for one in header_token.of_provider(header, source.provider)}
        try:
            stored = source.refs(spec.name, deadline_seconds=deadline_seconds)
        except VolwardError as error:
            said.append(f"{source.provider}: {error.what.rstrip('.')}")
            stored = ()
        if source.interactive and named:
            stored = ()  # a person is asked once for the key that the header names
        for ref in (*named, *(one for one in stored if one not in named)):
            try:
                key = source.read(ref, deadline_seconds=deadline_seconds)
            except VolwardError as error:
                said.append(f"{ref}: {error.what.rstrip('.')}")
                continue
            with key:
                yield str(ref), key, named.get(ref, every)
