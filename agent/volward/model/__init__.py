"""The frozen records that travel between observe, plan, apply and verify. Pure: no host, no clock.

Words follow docs/explanation/architecture.md. Sizes are in bytes, offsets in bytes from the start of the
device, key sizes in bits. ``None`` in a record means *unknown* only where the field says so.
"""

from collections.abc import Iterable
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from volward.model.vault import VaultKeep as VaultKeep
from volward.model.vault import VaultLogin as VaultLogin
from volward.model.vault import VaultLoginMethod as VaultLoginMethod
from volward.model.vault import VaultPlace as VaultPlace
from volward.model.vault import VaultServer as VaultServer

MIB = 1024 * 1024
SUBSYSTEM = "volward"  # of every header that volward makes, beside the label that names the volume
LUKS2_HEADER_BYTES = 16 * MIB  # what a LUKS2 header with its keyslot area takes


# --- what the owner wants --------------------------------------------------------------------------------


class FileSystem(StrEnum):
    EXT4 = "ext4"
    XFS = "xfs"
    SWAP = "swap"  # scratch volumes only


class StoreKind(StrEnum):
    POSTGRES = "postgres"
    REDIS = "redis"
    QDRANT = "qdrant"
    DIRECTORY = "directory"
    SCRATCH = "scratch"


class ProviderKind(StrEnum):
    CREDENTIAL = "credential"
    TPM2 = "tpm2"
    PROMPT = "prompt"
    RECOVERY = "recovery"
    VAULT = "vault"


@dataclass(frozen=True)
class Directory:
    """One directory that a store keeps in the mount; ``path`` is relative to it ('.' is the mount itself).

    Owner and group are a name or a decimal number (a container's user need not exist on the host).
    """

    path: str
    owner: str
    group: str
    mode: int


@dataclass(frozen=True)
class CipherProfile:
    """How a new header is made. ``sector_size_bytes`` 0 means: choose by the device's physical sector."""

    cipher: str = "aes-xts-plain64"
    key_bits: int = 512
    sector_size_bytes: int = 0


@dataclass(frozen=True)
class RecoveryProfile:
    """Argon2id's cost for recovery keys: memory in KiB, iterations at least 4, lanes (RFC 9106)."""

    memory_kib: int = 262144
    iterations: int = 4
    lanes: int = 4


DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class RotationProfile:
    """When `volward rotate --due` makes a new key, and how long it keeps the old one beside it."""

    max_age_seconds: int = 90 * DAY_SECONDS
    grace_seconds: int = 30 * DAY_SECONDS


@dataclass(frozen=True)
class VolumeSpec:
    """One volume as the configuration wants it."""

    name: str
    device: Path  # a stable link, or the backing file
    is_file: bool  # a `file:` volume
    file_size_bytes: int | None
    store: StoreKind
    mount_point: Path | None  # None for scratch swap
    file_system: FileSystem
    mount_options: tuple[str, ...]
    directories: tuple[Directory, ...]
    consumers: tuple[str, ...]  # units and container:NAME
    providers: tuple[ProviderKind, ...]
    cipher: CipherProfile = CipherProfile()
    recovery: RecoveryProfile = RecoveryProfile()
    rotation: RotationProfile = RotationProfile()
    tpm2_pcrs: tuple[int, ...] = (7,)
    credential_seal: str = "auto"  # auto | host | host+tpm2 | tpm2
    discard: bool = False
    on_denied_stop: bool = False
    open_at_boot: bool = True
    vault: VaultPlace | None = None  # None where no provider is vault
    header_backups: Path = Path("/var/lib/volward/header-backups")  # the directory, of all volumes

    @property
    def mapping_name(self) -> str:
        return f"volward-{self.name}"

    @property
    def mapping_path(self) -> Path:
        return Path("/dev/mapper") / self.mapping_name


# --- what is there ---------------------------------------------------------------------------------------


class Presence(StrEnum):
    """Unknown is not absent."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class DeviceClass(StrEnum):
    DISK = "disk"
    PARTITION = "partition"
    LOGICAL_VOLUME = "logical-volume"
    MD = "md"
    MULTIPATH = "multipath"
    LOOP = "loop"
    FILE = "file"
    MAPPING = "mapping"  # any other device-mapper device


# Which fields of an identity count when it is compared; a field that was empty when pinned does not count.
IDENTITY_FIELDS: ReadOnlyMapping[DeviceClass, tuple[str, ...]] = MappingProxyType(
    {
        DeviceClass.DISK: ("serial", "wwn", "size_bytes"),
        # A partition of md, dm or loop has that device's identity in place of a serial.
        DeviceClass.PARTITION: ("serial", "wwn", "md_uuid", "dm_uuid", "path", "partition", "size_bytes"),
        DeviceClass.LOGICAL_VOLUME: ("dm_uuid", "size_bytes"),
        DeviceClass.MD: ("md_uuid", "size_bytes"),
        DeviceClass.MULTIPATH: ("dm_uuid", "size_bytes"),
        DeviceClass.LOOP: ("path", "size_bytes"),
        DeviceClass.FILE: ("path", "size_bytes"),
        DeviceClass.MAPPING: ("dm_uuid", "size_bytes"),
    }
)


@dataclass(frozen=True)
class Identity:
    """What makes a device this device, from sysfs (never from the link's name)."""

    device_class: DeviceClass
    size_bytes: int
    serial: str = ""
    wwn: str = ""
    partition: str = ""  # "number@start-sector" on the disk whose serial and wwn stand above
    dm_uuid: str = ""
    md_uuid: str = ""
    path: str = ""  # of a backing file

    def differences(self, pinned: "Identity") -> tuple[str, ...]:
        """Name the fields that count for the class and differ, as 'serial: pinned A, found B'."""
        if self.device_class is not pinned.device_class:
            return (f"class: pinned {pinned.device_class}, found {self.device_class}",)
        return tuple(
            f"{name}: pinned {getattr(pinned, name)}, found {getattr(self, name) or 'none'}"
            for name in IDENTITY_FIELDS[self.device_class]
            if getattr(pinned, name) and getattr(pinned, name) != getattr(self, name)
        )

    @property
    def typed_confirmation(self) -> str:
        """What an owner types to allow overwriting: the serial number or WWN; without one, size and path.

        Of a partition its number follows, since it shares the rest with its neighbours.
        """
        own = self.serial or self.wwn or f"{self.size_bytes} {self.path or self.dm_uuid or self.md_uuid}"
        return f"{own.strip()} {self.partition.partition('@')[0]}".strip()


@dataclass(frozen=True)
class Pin:
    """What was recorded at the first format (or by repin)."""

    identity: Identity
    luks_uuid: str  # of a scratch volume: its marker's UUID


@dataclass(frozen=True)
class Device:
    """The backing device behind a volume's link, as sysfs shows it."""

    node: Path  # /dev/vdb; for a file volume the file
    number: str  # "252:16"; "" for a file volume without a loop device
    identity: Identity
    physical_sector_bytes: int
    logical_sector_bytes: int
    read_only: bool = False
    holders: tuple[str, ...] = ()  # kernel names of devices on top, its partitions among them
    mounted_at: tuple[Path, ...] = ()
    swap: bool = False
    rotational: bool | None = None
    partitions: tuple[str, ...] = ()  # kernel names; by themselves they are content and no use

    @property
    def used_by(self) -> tuple[str, ...]:
        """What holds the device or one of its partitions."""
        return tuple(name for name in self.holders if name not in self.partitions)


@dataclass(frozen=True)
class Finding:
    """Something on a device that is not nothing."""

    what: str  # "ext4 file system", "LUKS2 header (secondary)", "data", "read error"
    offset_bytes: int

    @property
    def left_by_luks_format(self) -> bool:
        """A luksFormat that was cut short leaves LUKS2 remains and noise in the header's area, no more.

        Noise begins at 4096: what comes before is zeros or has the magic of LUKS2 (LUKS2 specification 2.1).
        """
        if self.what == "data":
            return 4096 <= self.offset_bytes < LUKS2_HEADER_BYTES
        return self.what.startswith("LUKS") and "LUKS1" not in self.what and self.offset_bytes < LUKS2_HEADER_BYTES


@dataclass(frozen=True)
class BlankProbe:
    """Blank is a proof: PRESENT content, ABSENT content, or UNKNOWN because it could not be read."""

    content: Presence
    findings: tuple[Finding, ...] = ()


class CopyState(StrEnum):
    """One of the two copies of a LUKS2 header."""

    VALID = "valid"
    DAMAGED = "damaged"  # magic is there, checksum or JSON is not right
    STALE = "stale"  # whole, but older than the other copy: an update was cut between the two
    ABSENT = "absent"
    UNKNOWN = "unknown"  # could not be read


@dataclass(frozen=True)
class Keyslot:
    number: int
    kdf: str  # pbkdf2, argon2id, argon2i
    iterations: int  # pbkdf2 iterations or argon2 time cost
    memory_kib: int  # 0 for pbkdf2
    lanes: int  # 0 for pbkdf2
    key_bits: int
    priority: int  # 0 ignore, 1 normal, 2 prefer
    opens_data: bool = True  # False: unbound, or the working area of a re-encryption; never counts as a way to open
    kdf_hash: str = ""  # of pbkdf2; "" for Argon2


@dataclass(frozen=True)
class AnnouncedKeyslot:
    """A keyslot as an enrolment was going to write it, journaled before it did.

    Number and cost together prove a keyslot to be ours: its owner's own `luksAddKey` in the same place has
    another cost (the memory of an announced Argon2id is an odd number of KiB on purpose, and
    systemd-cryptenroll alone takes PBKDF2 with SHA-512 and 1000 iterations).
    """

    number: int
    kdf: str
    iterations: int
    memory_kib: int = 0
    lanes: int = 0
    kdf_hash: str = ""

    def became(self, keyslot: Keyslot) -> bool:
        """Whether that keyslot is the one which was announced."""
        mine = (self.number, self.kdf, self.iterations, self.memory_kib, self.lanes, self.kdf_hash)
        found = (keyslot.number, keyslot.kdf, keyslot.iterations, keyslot.memory_kib, keyslot.lanes, keyslot.kdf_hash)
        return mine == found


@dataclass(frozen=True)
class Token:
    """A LUKS2 token; ``fields`` is its JSON object (never a secret: headers are readable by root tools)."""

    number: int
    type: str  # "volward", "systemd-tpm2", "systemd-recovery", "clevis", ...
    keyslots: tuple[int, ...]
    fields: ReadOnlyMapping[str, object] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def provider(self) -> str:
        """Whose key opens the keyslot, where volward's own token says so; "" otherwise."""
        own = self.fields.get("volward")
        return str(own.get("provider", "")) if self.type == "volward" and isinstance(own, ReadOnlyMapping) else ""

    @property
    def opened_by(self) -> str:
        """The provider that opens the keyslot; also where a token of systemd's is parked in one of volward's."""
        return "tpm2" if self.type in ("systemd-tpm2", "volward-parked") else self.provider

    @property
    def confirmed_recovery(self) -> bool:
        """The keyslot's recovery key is with its owner (shown and typed back, or handed to an escrow)."""
        own = self.fields.get("volward")
        return self.provider == "recovery" and isinstance(own, ReadOnlyMapping) and own.get("confirmed") is True


@dataclass(frozen=True)
class Header:
    """A LUKS2 header as read by volward's own parser (LUKS2 On-Disk Format Specification 1.1.2)."""

    uuid: str
    label: str
    subsystem: str
    sequence: int
    primary: CopyState
    secondary: CopyState
    cipher: str
    key_bits: int
    sector_size_bytes: int
    data_offset_bytes: int
    keyslots: tuple[Keyslot, ...]
    tokens: tuple[Token, ...]
    requirements: tuple[str, ...] = ()  # "online-reencrypt-v2", ...
    flags: tuple[str, ...] = ()  # persistent activation flags
    digests: int = 1
    volume_key_digest: str = ""  # of the key that the data are under, as the header has it (base64); "": not one
    checksums: tuple[str, ...] = ()  # of the copies that are whole and alike, in hex; every update changes them
    area_bytes: int = 0  # both copies and the keyslots behind them: what a header backup holds

    @property
    def damaged(self) -> bool:
        return not (self.primary is CopyState.VALID and self.secondary is CopyState.VALID)

    @property
    def reencrypting(self) -> bool:
        """Whether a re-encryption has begun and not ended."""
        return any("reencrypt" in requirement for requirement in self.requirements)

    def token_of(self, keyslot: int, kind: str) -> Token | None:
        """Return the first token of that type which names the keyslot."""
        return next((t for t in self.tokens if t.type == kind and keyslot in t.keyslots), None)

    def orphans(self, announced: Iterable[AnnouncedKeyslot]) -> tuple[int, ...]:
        """Return the keyslots that an unfinished enrolment left without a token: nobody has their key."""
        described = {number for token in self.tokens for number in token.keyslots}
        return tuple(
            keyslot.number
            for keyslot in self.keyslots
            if keyslot.number not in described and any(one.became(keyslot) for one in announced)
        )


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
    mapping_file_system: str  # "ext4", "" = nothing recognised, "unknown"; only when the mapping is active
    mapping_file_system_uuid: str
    mount: Mount | None
    mount_point: MountPointState
    mount_unit: MountUnitState
    pin: Pin | None
    unfinished: Unfinished | None
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


# --- what is going to be done ----------------------------------------------------------------------------


class Step(StrEnum):
    """One kind of action. The order of the members is the order in which a volume is provisioned."""

    CREATE_FILE = "create-file"
    CREATE_KEY = "create-key"
    PIN = "pin"
    WIPE = "wipe"
    FORMAT = "format"
    WRITE_TOKEN = "write-token"  # noqa: S105 (a LUKS2 token, not a password)
    REMOVE_KEYSLOT = "remove-keyslot"
    ENROL_KEY = "enrol-key"
    ENROL_TPM2 = "enrol-tpm2"
    ENROL_RECOVERY = "enrol-recovery"
    CLAIM_SCRATCH = "claim-scratch"
    CLOSE = "close"
    OPEN = "open"
    MAKE_FILE_SYSTEM = "make-file-system"
    SEAL_MOUNT_POINT = "seal-mount-point"
    WRITE_UNITS = "write-units"
    MOUNT = "mount"
    SWAP_ON = "swap-on"
    PREPARE_STORE = "prepare-store"
    # Of a rotation, in its order; the last three give one up.
    REVOKE_KEYSLOT = "revoke-keyslot"
    CREATE_SUCCESSOR = "create-successor"
    ENROL_SUCCESSOR = "enrol-successor"
    DESCRIBE_SUCCESSOR = "describe-successor"
    PARK_TOKEN = "park-token"  # noqa: S105 (a LUKS2 token, not a password)
    REENROL_TPM2 = "reenrol-tpm2"
    RETIRE_KEYSLOT = "retire-keyslot"
    REINSTATE_KEYSLOT = "reinstate-keyslot"
    DROP_SUCCESSOR = "drop-successor"
    UNPARK_TOKEN = "unpark-token"  # noqa: S105
    # Of a new volume key, in its order; the TPM is enrolled afterwards by ENROL_TPM2.
    LEAVE_KEYSLOT = "leave-keyslot"
    REENCRYPT = "reencrypt"


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
    revoked_fingerprints: tuple[str, ...] = ()  # of keys that open no keyslot any more once it is done


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
