"""A volume as it is wanted and a host where it is open and whole; a test varies them by dataclasses.replace."""

from dataclasses import replace
from pathlib import Path

from volward.model import (
    MIB,
    SUBSYSTEM,
    BlankProbe,
    CopyState,
    Device,
    DeviceClass,
    FileSystem,
    Header,
    Identity,
    Keyslot,
    Mapping,
    MappingState,
    Mount,
    MountPointState,
    MountUnitState,
    Observation,
    Pin,
    Presence,
    ProviderKind,
    Step,
    StoreKind,
    Token,
    Unfinished,
    VolumeSpec,
)

UUID = "5f1e1a53-0000-4000-8000-000000000001"
OTHER_UUID = "5f1e1a53-0000-4000-8000-00000000000f"
FILE_SYSTEM_UUID = "5f1e1a53-0000-4000-8000-000000000002"
IDENTITY = Identity(DeviceClass.DISK, 2048 * MIB, serial="PG1", wwn="0x5000c500a1b2c3d4")
OTHER_IDENTITY = replace(IDENTITY, serial="PG2")
MOUNT_POINT = Path("/srv/volward/pgdata")
CREATE_KEY = f"{Step.CREATE_KEY}:{ProviderKind.CREDENTIAL}"
WRITE_TOKEN = f"{Step.WRITE_TOKEN}:{ProviderKind.CREDENTIAL}"
BEFORE_FORMAT = (CREATE_KEY, str(Step.PIN))
TO_FORMAT = (*BEFORE_FORMAT, str(Step.FORMAT))
TO_OPEN = (*TO_FORMAT, WRITE_TOKEN, str(Step.OPEN))

SPEC = VolumeSpec(
    name="pgdata",
    device=Path("/dev/disk/by-id/virtio-PG1"),
    is_file=False,
    file_size_bytes=None,
    store=StoreKind.POSTGRES,
    mount_point=MOUNT_POINT,
    file_system=FileSystem.EXT4,
    mount_options=("noatime",),
    directories=(),
    consumers=("postgresql@17-main.service",),
    providers=(ProviderKind.CREDENTIAL,),
)
FILE_SPEC = replace(SPEC, device=Path("/var/lib/volward/images/pgdata.img"), is_file=True, file_size_bytes=2048 * MIB)
SCRATCH = replace(SPEC, store=StoreKind.SCRATCH, providers=())
SWAP = replace(SCRATCH, mount_point=None, file_system=FileSystem.SWAP)

DEVICE = Device(Path("/dev/vdb"), "252:16", IDENTITY, physical_sector_bytes=4096, logical_sector_bytes=512)


def token(provider: str, *keyslots: int, confirmed: bool = False) -> Token:
    """A token of volward's own that says whose key opens the keyslots."""
    return Token(0, "volward", keyslots, {"volward": {"provider": provider, "confirmed": confirmed}})


def keyslot(number: int) -> Keyslot:
    return Keyslot(number, "pbkdf2", iterations=1000, memory_kib=0, lanes=0, key_bits=512, priority=1)


HEADER = Header(
    uuid=UUID,
    label="pgdata",
    subsystem=SUBSYSTEM,
    sequence=4,
    primary=CopyState.VALID,
    secondary=CopyState.VALID,
    cipher="aes-xts-plain64",
    key_bits=512,
    sector_size_bytes=4096,
    data_offset_bytes=16 * MIB,
    keyslots=(keyslot(0), keyslot(1)),
    tokens=(token("credential", 0), token("recovery", 1, confirmed=True)),
)
FRESH_HEADER = replace(HEADER, keyslots=(keyslot(0),), tokens=())  # as luksFormat leaves it

CLOSED = Mapping("volward-pgdata", MappingState.ABSENT)
OPEN = Mapping("volward-pgdata", MappingState.ACTIVE, Path("/dev/dm-0"), "253:0", backing_number="252:16")
MOUNT = Mount("/dev/mapper/volward-pgdata", MOUNT_POINT, "ext4", ("rw", "noatime"), "253:0")

PERFECT = Observation(
    volume="pgdata",
    device_presence=Presence.PRESENT,
    device=DEVICE,
    device_error="",
    probe=None,
    header=HEADER,
    header_presence=Presence.PRESENT,
    header_error="",
    mapping=OPEN,
    mapping_file_system="ext4",
    mapping_file_system_uuid=FILE_SYSTEM_UUID,
    mount=MOUNT,
    mount_point=MountPointState.MOUNTED,
    mount_unit=MountUnitState.CURRENT,
    pin=Pin(IDENTITY, UUID),
    unfinished=None,
    recovery_confirmed=True,
)
AT_BOOT = replace(
    PERFECT,
    mapping=CLOSED,
    mapping_file_system="",
    mapping_file_system_uuid="",
    mount=None,
    mount_point=MountPointState.SEALED,
)
BLANK = replace(
    AT_BOOT,
    probe=BlankProbe(Presence.ABSENT),
    header=None,
    header_presence=Presence.ABSENT,
    header_error="no LUKS2 header",
    pin=None,
    mount_point=MountPointState.ABSENT,
    mount_unit=MountUnitState.ABSENT,
    recovery_confirmed=False,
)
NO_FILE = replace(
    BLANK, device_presence=Presence.ABSENT, device=None, device_error="no such file", header_presence=Presence.UNKNOWN
)
CLAIMED = replace(BLANK, scratch_uuid=UUID, pin=Pin(IDENTITY, UUID), mount_unit=MountUnitState.CURRENT)


def unfinished(done: tuple[str, ...], *begun: str, uuid: str = UUID) -> Unfinished:
    """A provisioning that was cut after ``done``, while the steps ``begun`` ran (in one or more runs)."""
    return Unfinished(
        operation="provision-pgdata-0123abcd",
        identity=IDENTITY,
        luks_uuid=uuid,
        file_system_uuid=FILE_SYSTEM_UUID,
        steps_done=frozenset(done),
        step_begun=begun[-1] if begun else None,
        steps_begun=frozenset((*done, *begun)),
    )
