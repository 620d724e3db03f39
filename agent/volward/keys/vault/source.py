"""The provider ``vault`` as one KeySource: each ref goes to the way of keeping that it was made by."""

import time
from collections.abc import Callable

from volward.keys.source import KeyPurpose, KeyRef
from volward.keys.vault.kv import KvSource
from volward.keys.vault.session import Session
from volward.keys.vault.transit import TransitSource
from volward.keys.vault.wrapped_file import WrappedFiles
from volward.model import ProviderKind, VaultKeep, VaultPlace
from volward.secret import SecretBytes


class VaultSource:
    """New keys are kept as the configuration says now, old ones are read from where their refs say."""

    provider = ProviderKind.VAULT
    interactive = False

    def __init__(
        self,
        session: Session,
        place: VaultPlace,
        *,
        purpose: KeyPurpose,
        files: WrappedFiles | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kv = KvSource(session, place, purpose=purpose, clock=clock)
        self._transit = TransitSource(session, place, files=files, beside=purpose.beside, clock=clock)
        self._keep = place.keep

    def first_ref(self, volume: str) -> KeyRef:
        """Return the ref of the volume's first key."""
        return self._by(self._keep).first_ref(volume)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Return the ref of the key after ``ref``, at the same place."""
        return self._of(ref).next_ref(ref, deadline_seconds=deadline_seconds)

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        """Return the volume's keys where the configuration has them now, newest first."""
        return self._by(self._keep).refs(volume, deadline_seconds=deadline_seconds)

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        """Return whether the key is there."""
        return self._of(ref).present(ref, deadline_seconds=deadline_seconds)

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        """Create the key, or adopt the one that is there; see KvSource and TransitSource."""
        return self._of(ref).create(ref, adopt=adopt, deadline_seconds=deadline_seconds)

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        """Return the key; the caller wipes it."""
        return self._of(ref).read(ref, deadline_seconds=deadline_seconds)

    def rewrap(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Have a transit key wrapped anew; a key in kv is returned as it is."""
        if self._of(ref) is self._kv:
            return ref
        return self._transit.rewrap(ref, deadline_seconds=deadline_seconds)

    def _of(self, ref: KeyRef) -> KvSource | TransitSource:
        return self._by(VaultKeep.TRANSIT if ref.details.get("keep") == VaultKeep.TRANSIT else VaultKeep.KV)

    def _by(self, keep: VaultKeep) -> KvSource | TransitSource:
        return self._kv if keep is VaultKeep.KV else self._transit
