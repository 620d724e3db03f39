"""One volume as it was seen at one moment. ``None`` means unknown only where the field says so."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from volward.model.device import BlankProbe, Device, Identity, Pin, Presence
from volward.model.header import AnnouncedKeyslot, Header
from volward.model.step import Step


class MappingState(StrEnum):
    ABSENT = "absent"
    ACTIVE = "active"  # this volume, on its device
    SUSPENDED = "suspended"
    ZOMBIE = "zombie"  # its backing device is gone, or it has no table
    FOREIGN = "foreign"  # the name is taken by something that is not this volume
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Mapping:
    """A device-mapper device of the volume's name (sysfs dm/)."""

    name: str
    state: MappingState
    node: Path | None = None  # /dev/dm-3
    number: str = ""
    dm_uuid: str = ""  # CRYPT-LUKS2-<uuid without dashes>-<name>
    backing_number: str = ""
    size_bytes: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Mount:
    source: str
    target: Path
    file_system: str
    options: tuple[str, ...]
    number: str  # st_dev as "252:0"
    root: str = "/"  # the directory of the file system that is seen at the target
    identifier: int = 0  # mount ID; 0 = not known
    parent: int = 0  # mount ID of the mount that this one sits on
    shared: int = 0  # its peer group, which sends and receives mounts and unmounts; 0 = none
    master: int = 0  # the peer group that it only receives from; 0 = none

    @property
    def read_only(self) -> bool:
        return "ro" in self.options


class MountPointState(StrEnum):
    ABSENT = "absent"
    SEALED = "sealed"  # empty, root, mode 0000, immutable: unusable while unmounted (rule 6)
    EMPTY = "empty"  # an empty directory that is not sealed yet
    OCCUPIED = "occupied"  # holds files
    NOT_A_DIRECTORY = "not-a-directory"
    MOUNTED = "mounted"  # something is mounted there; see Observation.mount
    UNKNOWN = "unknown"


class MountUnitState(StrEnum):
    ABSENT = "absent"
    CURRENT = "current"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Unfinished:
    """What the journal knows of a provisioning that did not end: its own UUIDs and the last step begun."""

    operation: str
    identity: Identity
    luks_uuid: str
    file_system_uuid: str
    steps_done: frozenset[str]
    step_begun: str | None  # the last one, begun and not known to be done
    steps_begun: frozenset[str] = frozenset()  # every step that ever began, in any of the runs

    @property
    def format_was_cut(self) -> bool:
        """A luksFormat began and is not known to be done, whatever later runs have done since."""
        return Step.FORMAT in self.steps_begun and Step.FORMAT not in self.steps_done


@dataclass(frozen=True)
class Observation:
    """One volume, looked at once. Taken without any secret."""

    volume: str
    device_presence: Presence
    device: Device | None
    device_error: str  # why it is absent or unknown, as a sentence; "" otherwise
    probe: BlankProbe | None  # None when not asked for (status does not read the whole device)
    header: Header | None  # None: no LUKS2 header could be read; see header_presence
    header_presence: Presence
    header_error: str
    mapping: Mapping
    mount_unit: MountUnitState
    pin: Pin | None
    unfinished: Unfinished | None
    mapping_file_system: str = ""  # "ext4", "" = nothing recognised, "unknown"; only when the mapping is active
    mapping_file_system_uuid: str = ""
    mount: Mount | None = None
    mount_point: MountPointState = MountPointState.ABSENT
    opens_at_boot: bool = True  # the boot unit is enabled, or the volume is not to be opened at boot
    directories_differ: tuple[str, ...] = ()  # store directories that lack or have another owner or mode
    same_uuid_elsewhere: tuple[str, ...] = ()  # other devices that carry the header's UUID
    recovery_confirmed: bool = False
    scratch_uuid: str = ""  # of the marker of a claimed scratch device
    swap_active: bool = False  # the mapping is in use as swap
    announced: tuple[AnnouncedKeyslot, ...] = ()  # by enrolments that did not end (journal)

    @property
    def orphaned_keyslots(self) -> tuple[int, ...]:
        """Keyslots that volward wrote and nobody has a key to."""
        return self.header.orphans(self.announced) if self.header else ()
