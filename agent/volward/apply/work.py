"""What the actions of one operation share: the wish, the UUIDs to be used, and the keys in hand."""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

from volward.errors import BugError
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import AnnouncedKeyslot, DeviceClass, Identity, Observation, ProviderKind, Rotation, VolumeSpec
from volward.secret import SecretBytes


class RecoveryDelivery(Protocol):
    """How a recovery key reaches its owner before it is enrolled."""

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        """Show or send the key and have it confirmed. Raises VolwardError when it was not confirmed."""


@dataclass(frozen=True, eq=False)
class HeldKey:
    """A key in hand, and where its store keeps it."""

    ref: KeyRef
    key: SecretBytes = field(repr=False)


@dataclass
class Work:
    """One operation's shared state. A context manager: its keys are wiped when it ends."""

    spec: VolumeSpec
    providers: Providers
    luks_uuid: str
    file_system_uuid: str
    identity: Identity  # as planned; of a file: volume without a file the one that it is going to have
    resumes_format: bool = False  # the journal shows our own unfinished format of this identity
    overwrite: bool = False  # the owner typed the device's identity
    recovery: RecoveryDelivery | None = None
    ask_recovery: bool = False  # open with a typed recovery key instead of the configured providers
    deadline_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep  # before a provider is asked again
    opened_fresh: bool = False  # the mapping was created in this operation
    opened_by: str = ""
    remarks: tuple[str, ...] = ()  # of providers, for the person who runs it
    degraded: tuple[str, ...] = ()  # what failed before another provider opened it
    announced: tuple[AnnouncedKeyslot, ...] = ()  # by enrolments that were cut short
    # Journals which keyslot is about to be filled; an operation without a journal has nothing to announce.
    announce: Callable[[AnnouncedKeyslot], None] = lambda _: None
    rotation: Rotation | None = None  # what this operation rotates
    resumes_rotation: bool = False  # it began in an earlier run, which may have created the key
    successor: HeldKey | None = None  # the new key of a rotation, or the recovery key that is kept
    keeps_recovery: bool = False  # a recovery key that is enrolled has to be shown again in this operation
    clock: Callable[[], float] = time.time  # seconds since the epoch
    keys: dict[ProviderKind, HeldKey] = field(default_factory=dict)

    @classmethod
    def on(cls, spec: VolumeSpec, seen: Observation, providers: Providers) -> Self:
        """Begin work on what was seen: the journal's UUIDs go on, else the device's own, else new ones.

        ``providers`` are those of the pass, which outlive the work.
        """
        unfinished = seen.unfinished
        present = seen.header.uuid if seen.header else seen.scratch_uuid
        return cls(
            spec,
            providers,
            luks_uuid=unfinished.luks_uuid if unfinished else present or str(uuid.uuid4()),
            file_system_uuid=unfinished.file_system_uuid if unfinished else str(uuid.uuid4()),
            identity=seen.device.identity if seen.device else _identity_to_be(spec),
            resumes_format=bool(unfinished and unfinished.format_was_cut),
            announced=seen.announced,
        )

    def primary_key(self) -> HeldKey:
        """Return the key that the header is made with; CREATE_KEY put it here."""
        for provider in self.spec.providers:
            if provider in self.keys:
                return self.keys[provider]
        raise BugError("A format was planned without a key.", resolution="Please report it.")

    def take(self, ref: KeyRef, key: SecretBytes) -> HeldKey:
        """Keep a key in hand until the work ends, and return it; another of its provider's is wiped."""
        before = self.keys.get(ref.provider)
        if before is not None:
            before.key.wipe()
        self.keys[ref.provider] = HeldKey(ref, key)
        return self.keys[ref.provider]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for held in self.keys.values():
            held.key.wipe()
        self.keys.clear()
        if self.successor is not None:
            self.successor.key.wipe()


def _identity_to_be(spec: VolumeSpec) -> Identity:
    """A file: volume's identity is known before its file is made."""
    return Identity(DeviceClass.FILE, spec.file_size_bytes or 0, path=os.path.realpath(spec.device))
