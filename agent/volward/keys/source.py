"""The two protocols of key providers, and the reference by which a key is found again.

A **KeySource** yields bytes: it creates a key, reads it back, and knows which keys it has. A **TokenOpener**
opens one keyslot through its LUKS2 token and never shows bytes. Both speak in the same failures:
ProviderUnavailableError may pass (the chain tries again until its deadline), KeyDeniedError never does.
Owns no host commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from volward.model import ProviderKind, Token
from volward.secret import SecretBytes

KEY_BYTES = 64  # of a random unlocking key
_NEWLINE = 0x0A


@dataclass(frozen=True)
class KeyRef:
    """Where a key is kept, without the key: provider, name in its store, version (counted from 1).

    ``details`` are further public facts which the provider needs to find or unwrap it (a mount, a namespace,
    a wrapped form of the key); they travel in the header token, and two refs
    that differ in them alone are the same ref.
    """

    provider: ProviderKind
    name: str
    version: int
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}.v{self.version}"


@dataclass(frozen=True)
class KeyPurpose:
    """What a new key is for, as far as it is known: a store that can write such things down does."""

    volume: str = ""
    luks_uuid: str = ""
    device: str = ""  # what identifies it, as a text for people
    reason: str = ""  # "provisioning", "rotation", ...
    versions: int = 0  # so many have to be kept at once, in a store that keeps a limited number
    beside: "tuple[KeyRef, ...]" = ()  # the keys that the header names already: none of them may be lost by it


def new_key() -> SecretBytes:
    """Return a new random unlocking key: KEY_BYTES bytes, none of them a newline (511 bits of chance).

    `cryptsetup reencrypt` takes the keys of several keyslots on its standard input, a line each.
    """

    key = SecretBytes.random(KEY_BYTES)
    with key.view() as window:
        for at in range(KEY_BYTES):
            while window[at] == _NEWLINE:
                with SecretBytes.random(1) as another, another.view() as byte:
                    window[at] = byte[0]
    return key


class KeySource(Protocol):
    """A provider that yields the bytes of an unlocking key.

    Every method may raise ProviderUnavailableError (may pass) or KeyDeniedError (will not). Deadlines are
    seconds that the call may take in all; a local store may ignore them.
    """

    @property
    def provider(self) -> ProviderKind:
        """Which provider this is."""
        ...

    @property
    def interactive(self) -> bool:
        """Whether reading asks a person: such a key is asked for once, whatever refs there are."""
        ...

    def first_ref(self, volume: str) -> KeyRef:
        """Return the ref under which the volume's first key is created."""
        ...

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Return the ref under which the successor of a key is created: the same name, the next version.

        Versions that the store had once and deleted count. Of keys that a person types there is one name and one
        version: their only ref.
        """
        ...

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        """Return the volume's keys in the store, newest first, by name alone: no secret is read.

        It is what the chain goes by when the header says nothing.
        """
        ...

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        """Return whether the store has that key, without reading it. Unknown is raised, never False."""
        ...

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        """Create a new random key, read it back and compare; return the ref that found it.

        Never overwrites: a key that is there already raises KeyExistsError, or with ``adopt`` is read once
        and taken as it is (an operation that was cut goes on with its own key). Nothing is deleted when it
        fails. Raises also VerificationError (read back differently) and NoSpaceError.
        """
        ...

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        """Return the key; the caller wipes it (``with source.read(...) as key``)."""
        ...


@runtime_checkable
class Rewrapper(Protocol):
    """A KeySource whose store wraps keys under a key of its own that has versions."""

    def rewrap(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Return the ref of the same key, wrapped by the newest version; ``ref`` where there is nothing to be done.

        The old wrapped form goes on to unwrap until the store's owner forbids its version. Raises VerificationError
        when the new one unwraps to another key.
        """
        ...


@runtime_checkable
class TokenOpener(Protocol):
    """A provider that opens a keyslot through the keyslot's token; no key passes through volward."""

    @property
    def provider(self) -> ProviderKind:
        """Which provider this is."""
        ...

    @property
    def token_type(self) -> str:
        """The type of the LUKS2 tokens that it opens, whoever enrolled them."""
        ...

    def enrol(self, node: Path, existing: SecretBytes) -> tuple[str, ...]:
        """Add a keyslot with its token, authorised by ``existing``; return warnings, as sentences.

        The caller tests the new token before it counts on it.
        """
        ...

    def test(self, node: Path, token: Token) -> bool:
        """Return whether the token opens its keyslot, changing nothing."""
        ...

    def open(self, node: Path, name: str, token: Token, *, discard: bool, read_only: bool = False) -> None:
        """Open ``node`` as mapping ``name``. Raises KeyDeniedError, ProviderUnavailableError."""
        ...
