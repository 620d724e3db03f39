"""What is going to be done to a volume, step by step, and what of it did not come out."""

from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from volward.errors import BugError
from volward.model.step import Step
from volward.model.volume import ProviderKind


@dataclass(frozen=True)
class Action:
    step: Step
    what: str  # "format /dev/vdb (QEMU serial PG1, 2.0 GiB) as LUKS2"
    reason: str  # why it is needed
    destructive: bool = False
    provider: ProviderKind | None = None  # whose key, where a step is about one
    keyslot: int | None = None  # the keyslot that is removed, retired or reinstated

    @property
    def name(self) -> str:
        """How the journal names it: the step, with its provider or keyslot where it has one."""
        if self.keyslot is not None:
            return f"{self.step}:{self.keyslot}"
        return f"{self.step}:{self.provider}" if self.provider else str(self.step)

    @property
    def its_provider(self) -> ProviderKind:
        """The provider of a step that is about one. Raises BugError when it was planned without."""
        if self.provider is None:
            raise BugError(f"The step {self.step} was planned without a provider.", resolution="Please report it.")
        return self.provider

    @property
    def its_keyslot(self) -> int:
        """The keyslot of a step that is about one. Raises BugError when it was planned without."""
        if self.keyslot is None:
            raise BugError(f"The step {self.step} was planned without a keyslot.", resolution="Please report it.")
        return self.keyslot


@dataclass(frozen=True)
class Plan:
    """What has to be done for one volume; empty ``actions`` come with ``nothing_because``."""

    volume: str
    actions: tuple[Action, ...]
    nothing_because: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def destructive(self) -> bool:
        return any(action.destructive for action in self.actions)


class Fate(StrEnum):
    """What a rotation does to a keyslot."""

    NEW = "new"
    STAYS = "stays"
    RETIRED = "retired"  # opens until its grace is over
    REMOVED = "removed"
    CARRIED = "carried over"  # the same key opens the new volume key
    ENROLLED_ANEW = "enrolled anew"  # gone meanwhile, and back at the end
    REPLACED = "replaced"  # by a new recovery key, which is enrolled before this one goes


@dataclass(frozen=True)
class KeyslotFate:
    """One line of a rotation's plan; ``until`` is when a retired keyslot may be removed, in seconds since the epoch."""

    keyslot: int
    opened_by: str
    fate: Fate
    until: int | None = None


@dataclass(frozen=True)
class Rotation:
    """What a rotation is about, as it is journaled before its first step. No secret.

    ``successor_*`` say where a stored key is going to be; a key that a person holds has none of them.
    """

    provider: ProviderKind | None  # whose key gets a successor; None: only keyslots are removed
    old: tuple[int, ...] = ()  # keyslots of the present key
    revoked: tuple[int, ...] = ()  # keyslots whose grace is over
    at_once: bool = False  # the old keyslots are removed, not retired
    begun_at: int = 0  # seconds since the epoch; a keyslot that was filled later is none of the old ones
    successor_name: str = ""
    successor_version: int = 0
    successor_details: ReadOnlyMapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    revoked_marks: tuple[str, ...] = ()  # of keys that open no keyslot any more once it is done (header_backup.facts)


@dataclass(frozen=True)
class RotationPlan(Plan):
    """A plan that also says what becomes of each keyslot."""

    fates: tuple[KeyslotFate, ...] = ()
    rotation: Rotation | None = None


@dataclass(frozen=True)
class Reencryption:
    """What a change of the volume key is about, as it is journaled before its first step. No secret."""

    old_digest: str  # of the volume key that goes; see Header.volume_key_digest
    online: bool = False  # while the volume is in use
    left: tuple[int, ...] = ()  # keyslots whose key is not at hand; they are removed before
    carried: tuple[int, ...] = ()  # keyslots whose key is shown to cryptsetup
    enrol_tpm2: bool = False  # the TPM had one of those that are left, and gets another
    new_recovery: bool = False  # a new recovery key is handed over and enrolled before any keyslot is left


@dataclass(frozen=True)
class Progress:
    """How far a long step is; ``seconds_left`` None: not known yet."""

    done_bytes: int
    total_bytes: int
    bytes_per_second: float
    seconds_left: float | None

    @property
    def percent(self) -> float:
        return 100 * self.done_bytes / self.total_bytes if self.total_bytes else 0.0


@dataclass(frozen=True)
class ReencryptionPlan(Plan):
    """A plan that also says what becomes of each keyslot."""

    fates: tuple[KeyslotFate, ...] = ()
    reencryption: Reencryption | None = None
    resumes: bool = False  # it has begun already


@dataclass(frozen=True)
class Discrepancy:
    """Where the host is not as planned: what was expected and what is there."""

    volume: str
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"
