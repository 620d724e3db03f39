"""Whose device is it, and may it be formatted? Each refusal has a row; so has each state that leads on."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import (
    AT_BOOT,
    BEFORE_FORMAT,
    BLANK,
    CLOSED,
    DEVICE,
    FILE_SPEC,
    FRESH_HEADER,
    HEADER,
    IDENTITY,
    NO_FILE,
    OPEN,
    OTHER_IDENTITY,
    OTHER_UUID,
    PERFECT,
    SPEC,
    TO_FORMAT,
    UUID,
    keyslot,
    unfinished,
)

from volward.errors import (
    DamagedHeaderError,
    DeviceBusyError,
    DeviceNotFoundError,
    DeviceTooSmallError,
    DeviceUnknownError,
    DuplicateUuidError,
    ForeignHeaderError,
    IdentityError,
    NotBlankError,
    VolwardError,
)
from volward.model import (
    MIB,
    BlankProbe,
    FileSystem,
    Finding,
    MappingState,
    Observation,
    Pin,
    Presence,
    VolumeSpec,
)
from volward.plan.ownership import Ownership, ownership, refuse_formatting

PIN = Pin(IDENTITY, UUID)
PINNED = replace(BLANK, pin=PIN, unfinished=unfinished(BEFORE_FORMAT))
CUT = replace(BLANK, pin=PIN, unfinished=unfinished(BEFORE_FORMAT, "format"))
CUT_WITH_HEADER = replace(CUT, header=FRESH_HEADER, header_presence=Presence.PRESENT)
FOREIGN = replace(HEADER, uuid=OTHER_UUID, label="backup", subsystem="")
RESTORED = replace(CUT, pin=Pin(IDENTITY, OTHER_UUID))  # repinned while our own format was half done


def _found(*findings: Finding) -> BlankProbe:
    return BlankProbe(Presence.PRESENT, findings)


@pytest.mark.parametrize(
    ("spec", "seen", "expected"),
    [
        pytest.param(SPEC, PERFECT, Ownership.OURS, id="open"),
        pytest.param(SPEC, AT_BOOT, Ownership.OURS, id="closed"),
        pytest.param(SPEC, replace(AT_BOOT, unfinished=unfinished(TO_FORMAT)), Ownership.OURS, id="formatted"),
        pytest.param(
            SPEC,
            replace(AT_BOOT, pin=None, unfinished=unfinished(TO_FORMAT)),
            Ownership.OURS,
            id="journal alone knows it",
        ),
        pytest.param(SPEC, BLANK, Ownership.UNFORMATTED, id="blank"),
        pytest.param(SPEC, replace(BLANK, probe=None), Ownership.UNFORMATTED, id="not probed"),
        pytest.param(SPEC, PINNED, Ownership.UNFORMATTED, id="pinned by a cut run"),
        pytest.param(
            SPEC,
            replace(BLANK, header=FOREIGN, header_presence=Presence.PRESENT),
            Ownership.UNFORMATTED,
            id="foreign header",
        ),
        pytest.param(
            SPEC,
            replace(CUT_WITH_HEADER, pin=None, header=FOREIGN),
            Ownership.UNFORMATTED,
            id="foreign header after a cut format",
        ),
        pytest.param(SPEC, CUT, Ownership.HALF_FORMATTED, id="cut format"),
        pytest.param(
            SPEC,
            replace(CUT, unfinished=unfinished(BEFORE_FORMAT, "format", "pin")),
            Ownership.HALF_FORMATTED,
            id="cut format, and its second run cut earlier",
        ),
        pytest.param(SPEC, CUT_WITH_HEADER, Ownership.HALF_FORMATTED, id="header of a cut format"),
        pytest.param(
            SPEC,
            replace(AT_BOOT, pin=Pin(IDENTITY, UUID), unfinished=unfinished(BEFORE_FORMAT, "format", uuid=OTHER_UUID)),
            Ownership.OURS,
            id="the pinned header, while an older format of another UUID was cut",
        ),
        pytest.param(FILE_SPEC, NO_FILE, Ownership.NO_FILE, id="no file yet"),
        pytest.param(
            FILE_SPEC, replace(NO_FILE, unfinished=unfinished((), "create-file")), Ownership.NO_FILE, id="file was cut"
        ),
    ],
)
def test_what_the_device_is_to_the_volume(spec: VolumeSpec, seen: Observation, expected: Ownership) -> None:
    assert ownership(spec, seen) is expected


@pytest.mark.parametrize(
    ("spec", "seen", "error", "text"),
    [
        (SPEC, replace(PERFECT, device_presence=Presence.UNKNOWN, device=None), DeviceUnknownError, "cannot be told"),
        (SPEC, replace(PERFECT, device_presence=Presence.ABSENT, device=None), DeviceNotFoundError, "not there"),
        (SPEC, NO_FILE, DeviceNotFoundError, "no such file"),
        (SPEC, replace(BLANK, header_presence=Presence.UNKNOWN, header_error="EIO"), DeviceUnknownError, "EIO"),
        (SPEC, replace(PERFECT, same_uuid_elsewhere=("/dev/vdc",)), DuplicateUuidError, "/dev/vdc"),
        (SPEC, replace(CUT_WITH_HEADER, same_uuid_elsewhere=("/dev/vdc",)), DuplicateUuidError, "/dev/vdc"),
        (SPEC, replace(PERFECT, header=replace(HEADER, label="redis")), ForeignHeaderError, "label is redis"),
        (SPEC, replace(PERFECT, header=replace(HEADER, label="")), ForeignHeaderError, "label is empty"),
        (SPEC, replace(PERFECT, header=FOREIGN), ForeignHeaderError, "pinned to"),
        (SPEC, replace(PERFECT, pin=None), ForeignHeaderError, "no record"),
        (SPEC, replace(BLANK, pin=PIN), DamagedHeaderError, "cannot be read"),
        (SPEC, replace(BLANK, pin=PIN, header_error=""), DamagedHeaderError, "there is none any more"),
        (SPEC, replace(BLANK, pin=PIN, unfinished=unfinished(TO_FORMAT)), DamagedHeaderError, "cannot be read"),
        (SPEC, RESTORED, DamagedHeaderError, "cannot be read"),
        (SPEC, replace(RESTORED, unfinished=unfinished(BEFORE_FORMAT)), DamagedHeaderError, "cannot be read"),
        (SPEC, replace(BLANK, pin=Pin(OTHER_IDENTITY, UUID)), IdentityError, "serial"),
        (FILE_SPEC, replace(NO_FILE, pin=PIN), DeviceNotFoundError, "is gone"),
        (FILE_SPEC, replace(NO_FILE, unfinished=unfinished(TO_FORMAT)), DeviceNotFoundError, "is gone"),
        (FILE_SPEC, replace(NO_FILE, unfinished=unfinished((), "format")), DeviceNotFoundError, "is gone"),
        (FILE_SPEC, replace(NO_FILE, device_presence=Presence.UNKNOWN), DeviceUnknownError, "cannot be told"),
    ],
)
def test_a_device_that_is_missing_unknown_or_anothers(
    spec: VolumeSpec, seen: Observation, error: type[VolwardError], text: str
) -> None:
    with pytest.raises(error, match=text) as raised:
        ownership(spec, seen)
    assert raised.value.resolution


@pytest.mark.parametrize(
    ("seen", "remedy"),
    [
        (replace(BLANK, pin=Pin(OTHER_IDENTITY, UUID)), "repin pgdata"),
        (
            replace(BLANK, unfinished=replace(unfinished(()), identity=OTHER_IDENTITY)),
            "abort provision-pgdata-0123abcd",
        ),
    ],
)
def test_another_identity_says_which_command_settles_it(seen: Observation, remedy: str) -> None:
    with pytest.raises(IdentityError) as raised:
        refuse_formatting(SPEC, seen, Ownership.UNFORMATTED)
    assert remedy in raised.value.resolution


@pytest.mark.parametrize(
    ("spec", "seen", "owned"),
    [
        (SPEC, BLANK, Ownership.UNFORMATTED),
        (SPEC, PINNED, Ownership.UNFORMATTED),
        (SPEC, CUT, Ownership.HALF_FORMATTED),
        (SPEC, CUT_WITH_HEADER, Ownership.HALF_FORMATTED),
        (
            SPEC,
            replace(CUT, probe=_found(Finding("LUKS2 header (primary)", 0), Finding("data", 32768))),
            Ownership.HALF_FORMATTED,
        ),
        (FILE_SPEC, NO_FILE, Ownership.NO_FILE),
    ],
)
def test_what_may_be_formatted(spec: VolumeSpec, seen: Observation, owned: Ownership) -> None:
    refuse_formatting(spec, seen, owned)


SMALL = replace(DEVICE, identity=replace(IDENTITY, size_bytes=63 * MIB))
UNREADABLE = BlankProbe(Presence.UNKNOWN, (Finding("read error", 512),))


@pytest.mark.parametrize(
    ("seen", "error", "text"),
    [
        (replace(BLANK, probe=None), DeviceUnknownError, "not read"),
        (replace(BLANK, probe=UNREADABLE), DeviceUnknownError, "read error at byte 512"),
        (
            replace(BLANK, probe=_found(Finding("ext4 file system", 1080))),
            NotBlankError,
            "ext4 file system at byte 1080",
        ),
        (replace(BLANK, header_presence=Presence.PRESENT), NotBlankError, "LUKS2 header"),
        (replace(BLANK, header=FOREIGN, header_presence=Presence.PRESENT), NotBlankError, "LUKS2 header"),
        (replace(BLANK, device=replace(DEVICE, mounted_at=(Path("/mnt"),))), DeviceBusyError, "mounted at /mnt"),
        (replace(BLANK, device=replace(DEVICE, swap=True)), DeviceBusyError, "swap"),
        (replace(BLANK, device=replace(DEVICE, holders=("md0",))), DeviceBusyError, "held by md0"),
        (replace(BLANK, device=replace(DEVICE, read_only=True)), DeviceBusyError, "read-only"),
        (replace(BLANK, device=SMALL), DeviceTooSmallError, "63 MiB"),
        (replace(BLANK, pin=Pin(OTHER_IDENTITY, UUID)), IdentityError, "serial"),
        *(
            (replace(BLANK, mapping=replace(CLOSED, state=state)), DeviceBusyError, str(state))
            for state in MappingState
            if state is not MappingState.ABSENT
        ),
    ],
)
def test_what_is_never_formatted(seen: Observation, error: type[VolwardError], text: str) -> None:
    with pytest.raises(error, match=text):
        refuse_formatting(SPEC, seen, Ownership.UNFORMATTED)


@pytest.mark.parametrize(
    ("seen", "error", "text"),
    [
        (replace(CUT, probe=None), DeviceUnknownError, "not read"),
        (replace(CUT, probe=UNREADABLE), DeviceUnknownError, "read error"),
        (replace(CUT, probe=_found(Finding("LUKS1 header", 0))), NotBlankError, "LUKS1"),
        (replace(CUT, probe=_found(Finding("data", 0))), NotBlankError, "data at byte 0"),
        (replace(CUT, probe=_found(Finding("data", 2047 * MIB))), NotBlankError, "data at byte"),
        (replace(CUT_WITH_HEADER, header=HEADER), NotBlankError, "2 keyslots and 2 tokens"),
        (
            replace(CUT_WITH_HEADER, header=replace(FRESH_HEADER, keyslots=(keyslot(0), keyslot(1)))),
            NotBlankError,
            "2 keyslots and 0 tokens",
        ),
        (replace(CUT, device=replace(DEVICE, holders=("dm-3",))), DeviceBusyError, "dm-3"),
        (replace(CUT, device=replace(DEVICE, identity=OTHER_IDENTITY)), IdentityError, "serial"),
    ],
)
def test_a_cut_format_that_somebody_used_since_is_left_alone(
    seen: Observation, error: type[VolwardError], text: str
) -> None:
    with pytest.raises(error, match=text):
        refuse_formatting(SPEC, seen, Ownership.HALF_FORMATTED)


def test_a_file_is_not_made_below_an_open_mapping() -> None:
    with pytest.raises(DeviceBusyError):
        refuse_formatting(FILE_SPEC, replace(NO_FILE, mapping=OPEN), Ownership.NO_FILE)


@pytest.mark.parametrize(
    ("file_system", "least_mib"), [(FileSystem.EXT4, 64), (FileSystem.XFS, 320), (FileSystem.SWAP, 32)]
)
def test_the_least_size_follows_the_file_system(file_system: FileSystem, least_mib: int) -> None:
    spec = replace(SPEC, file_system=file_system)
    for size_bytes, refused in ((least_mib * MIB - 1, True), (least_mib * MIB, False)):
        seen = replace(BLANK, device=replace(DEVICE, identity=replace(IDENTITY, size_bytes=size_bytes)))
        if refused:
            with pytest.raises(DeviceTooSmallError):
                refuse_formatting(spec, seen, Ownership.UNFORMATTED)
        else:
            refuse_formatting(spec, seen, Ownership.UNFORMATTED)
