"""One volume of the configuration, and the defaults of all volumes. Frozen pydantic models."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, WithJsonSchema

from volward.config import duration, size, values
from volward.config.store import KINDS, Settings, Store
from volward.config.values import BackingDevice
from volward.config.vault import VaultConfig, VaultKeyConfig
from volward.model import FileSystem, ProviderKind

Device = Annotated[
    BackingDevice, BeforeValidator(values.parse_device), WithJsonSchema({"type": "string", "minLength": 1})
]
Size = Annotated[
    int,
    BeforeValidator(size.parse),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?[KMGT]iB$"}),
]
Duration = Annotated[
    int,
    BeforeValidator(duration.parse),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+ ?(hour|day|week)s?$"}),
]
MountPoint = Annotated[
    Path, BeforeValidator(values.parse_mount_point), WithJsonSchema({"type": "string", "pattern": "^/"})
]
BackupDirectory = Annotated[
    Path, BeforeValidator(values.parse_backup_directory), WithJsonSchema({"type": "string", "pattern": "^/"})
]
MountOption = Annotated[
    str, BeforeValidator(values.parse_mount_option), WithJsonSchema({"type": "string", "minLength": 1})
]
Consumer = Annotated[str, BeforeValidator(values.parse_consumer), WithJsonSchema({"type": "string", "minLength": 1})]
Provider = Annotated[
    ProviderKind,
    WithJsonSchema({"enum": [kind.value for kind in ProviderKind if kind is not ProviderKind.RECOVERY]}),
]
Pcr = Annotated[StrictInt, Field(ge=0, le=23)]
Pcrs = Annotated[tuple[Pcr, ...], Field(min_length=1)]
CIPHERS = (
    "aes-xts-plain64",
    "serpent-xts-plain64",
    "twofish-xts-plain64",
    "xchacha12,aes-adiantum-plain64",
    "xchacha20,aes-adiantum-plain64",
)


def _store_table(value: object) -> object:
    """Let `store = "postgres"` stand for `store = { kind = "postgres" }`."""
    return {"kind": value} if isinstance(value, str) else value


StoreTable = Annotated[Annotated[Store, Field(discriminator="kind")], BeforeValidator(_store_table)]


class CipherConfig(Settings):
    """How a new header is made. An existing volume keeps what it was made with."""

    cipher: Literal[
        "aes-xts-plain64",
        "serpent-xts-plain64",
        "twofish-xts-plain64",
        "xchacha12,aes-adiantum-plain64",
        "xchacha20,aes-adiantum-plain64",
    ] = Field("aes-xts-plain64", description="The cipher of the data. Adiantum suits CPUs without AES.")
    key_bits: Literal[256, 512] = Field(
        512, description="The size of the volume key in bits. For XTS, 512 means AES-256. Adiantum takes 256."
    )
    sector_size: Literal["auto", 512, 4096] = Field(
        "auto",
        description="The encryption sector in bytes. auto: 4096 where the device's physical sector has them.",
    )


class Tpm2Config(Settings):
    """What the TPM demands before it unseals: the keyslot (`tpm2` in `keys`) and a credential sealed with it."""

    pcrs: Pcrs = Field((7,), description="The PCRs, 0 to 23, that must be unchanged for the TPM to unseal.")


class CredentialConfig(Settings):
    """The sealed key file on this host (`credential` in `keys`)."""

    seal: Literal["auto", "host", "host+tpm2", "tpm2"] = Field(
        "auto", description="What seals the key: the host's own secret, the TPM, or both. auto: the best there is."
    )


class RecoveryConfig(Settings):
    """What a try of a recovery key costs (Argon2id, RFC 9106)."""

    memory: Size = Field(
        256 * 1024**2,
        description="Memory with its unit, 64 MiB to 4 GiB. The smallest host that must open the volume needs it.",
        json_schema_extra={"default": "256 MiB"},
    )
    iterations: StrictInt = Field(4, ge=4, le=1000, description="Passes over the memory, 4 to 1000.")
    lanes: StrictInt = Field(4, ge=1, le=4, description="Parallel lanes, 1 to 4.")


class RotationConfig(Settings):
    """When the timer makes a new unlocking key (`volward rotate --due`), and how long the old one stays."""

    max_age: Duration = Field(
        90 * duration.DAY_SECONDS,
        description="The age at which a key gets a successor, in hours, days or weeks. Of a key that a person types, "
        "volward only says that it is old.",
        json_schema_extra={"default": "90 days"},
    )
    grace: Duration = Field(
        30 * duration.DAY_SECONDS,
        description="How long a retired key still opens the volume. Header backups made before need it.",
        json_schema_extra={"default": "30 days"},
    )


class Common(Settings):
    """What `[defaults]` can set for all volumes and each volume for itself."""

    file_system: FileSystem = Field(FileSystem.EXT4, description="ext4 or xfs; swap for scratch volumes only.")
    mount_options: tuple[MountOption, ...] = Field(
        (), description="Added to the store's own (noatime, nodev, …). An opposite, such as exec, replaces one."
    )
    keys: tuple[Provider, ...] = Field(
        (ProviderKind.CREDENTIAL,),
        min_length=1,
        description="Where the key comes from, in the order in which it is tried. A recovery key always exists.",
    )
    discard: StrictBool = Field(
        default=False,
        description="Pass TRIM to the device. Keeps SSDs fast and thin pools small; shows which blocks are free.",
    )
    on_denied: Literal["continue", "stop"] = Field(
        "continue", description="When a provider says no: go on with the next one, or stop so that revoking binds."
    )
    open_at_boot: StrictBool = Field(default=True, description="Open and mount the volume when the host boots.")
    cipher: CipherConfig = CipherConfig()
    tpm2: Tpm2Config = Tpm2Config()
    credential: CredentialConfig = CredentialConfig()
    recovery: RecoveryConfig = RecoveryConfig()
    vault: VaultKeyConfig = VaultKeyConfig()
    rotation: RotationConfig = RotationConfig()


class VolumeConfig(Common):
    """One volume: a device, a header, a mapping and a mount."""

    device: Device = Field(
        description='A stable link such as "/dev/disk/by-id/…", or "file:/path" with a size.',
        examples=["/dev/disk/by-id/virtio-PG1", "file:/var/lib/volward/images/pgdata.img"],
    )
    size: Size | None = Field(None, description="The size of a `file:` volume, with its unit: KiB to TiB.")
    store: StoreTable = Field(description=f"Who uses the volume: {', '.join(KINDS)}; or a table with its options.")
    mount_point: MountPoint | None = Field(None, description="An absolute path. Scratch swap has none.")
    consumers: tuple[Consumer, ...] | None = Field(
        None,
        description="Services that need the mount: units, or container:NAME. Default: the store's own service.",
    )


class HeaderBackupConfig(Settings):
    """Backups of the volumes' headers, made after every change of a header."""

    directory: BackupDirectory = Field(
        Path("/var/lib/volward/header-backups"),
        description="Where they are kept, 16 MiB each. Best on another disk than the volumes; copy them away as well.",
    )


VolumeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,47}$")]


class Configuration(Settings):
    """All of /etc/volward: the volumes by name, with the defaults already in them."""

    defaults: Common = Field(Common(), description="Settings of all volumes that do not have their own.")
    vault: VaultConfig | None = Field(None, description="The server for volumes with `vault` in `keys`.")
    volumes: dict[VolumeName, VolumeConfig] = Field({}, description="The volumes by name.")
    header_backup: HeaderBackupConfig = HeaderBackupConfig()
