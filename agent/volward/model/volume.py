"""What the owner wants of a volume. Sizes are in bytes, key sizes in bits. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from volward.model.vault import VaultPlace


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
CONTAINER_PREFIX = "container:"  # of a consumer that is a container; the others are units


@dataclass(frozen=True)
class RotationProfile:
    """When `volward rotate --due` makes a new key, and how long it keeps the old one beside it."""

    max_age_seconds: int = 90 * DAY_SECONDS
    grace_seconds: int = 30 * DAY_SECONDS

    @property
    def kept_versions(self) -> int:
        """How many of a volume's keys have to be kept at once: in use, in grace, and two made by hand meanwhile."""
        return 3 + -(-self.grace_seconds // self.max_age_seconds)


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
    def units(self) -> tuple[str, ...]:
        """Return the consumers that systemd starts and stops."""
        return tuple(one for one in self.consumers if not one.startswith(CONTAINER_PREFIX))

    @property
    def containers(self) -> tuple[str, ...]:
        """Return the names of the consumers that are containers."""
        found = (one for one in self.consumers if one.startswith(CONTAINER_PREFIX))
        return tuple(one.removeprefix(CONTAINER_PREFIX) for one in found)

    @property
    def mapping_name(self) -> str:
        return f"volward-{self.name}"

    @property
    def mapping_path(self) -> Path:
        return Path("/dev/mapper") / self.mapping_name
