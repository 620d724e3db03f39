"""verify: each way in which a host can differ from an open, mounted, provisioned volume is named."""

import json
from dataclasses import replace
from types import MappingProxyType

import pytest
from tests.unit.builders import (
    AT_BOOT,
    CLAIMED,
    HEADER,
    MOUNT,
    OPEN,
    OTHER_UUID,
    PERFECT,
    SCRATCH,
    SPEC,
    SWAP,
    keyslot,
    token,
)

from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef
from volward.model import (
    Goal,
    Header,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Pin,
    ProviderKind,
    Rotation,
    Token,
    VolumeSpec,
)
from volward.verify import verify, verify_rotation

ALL = replace(SPEC, providers=(ProviderKind.CREDENTIAL, ProviderKind.TPM2))
WITH_TPM = replace(HEADER, tokens=(*HEADER.tokens, Token(2, "systemd-tpm2", (2,))))
OPEN_SCRATCH = replace(
    CLAIMED, mapping=OPEN, mapping_file_system="ext4", mount=MOUNT, mount_point=MountPointState.MOUNTED
)
OPEN_SWAP = replace(CLAIMED, mapping=OPEN, mapping_file_system="swap", swap_active=True)


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        (SPEC, PERFECT),
        (ALL, replace(PERFECT, header=WITH_TPM)),
        (replace(SPEC, mount_options=("ro",)), replace(PERFECT, mount=replace(MOUNT, options=("ro",)))),
        (SCRATCH, OPEN_SCRATCH),
        (SWAP, OPEN_SWAP),
    ],
)
def test_a_host_as_planned_has_no_discrepancy(spec: VolumeSpec, seen: Observation) -> None:
    assert verify(spec, seen, Goal.PROVISION) == ()
    assert verify(spec, seen, Goal.OPEN) == ()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (AT_BOOT, {"mapping: expected active, found absent", "mount: expected at /srv/volward/pgdata, found sealed"}),
        (
            replace(PERFECT, mapping=replace(OPEN, state=MappingState.ZOMBIE, detail="vdb is gone")),
            {"mapping: expected active, found zombie (vdb is gone)"},
        ),
        (replace(PERFECT, mapping_file_system="xfs"), {"file system: expected ext4, found xfs"}),
        (replace(PERFECT, mapping_file_system=""), {"file system: expected ext4, found nothing"}),
        (replace(PERFECT, mount=None), {"mount: expected at /srv/volward/pgdata, found mounted"}),
        (
            replace(PERFECT, mount=replace(MOUNT, number="8:1", source="/dev/sda1")),
            {"mount: expected /dev/mapper/volward-pgdata, found /dev/sda1"},
        ),
        (replace(PERFECT, mount=replace(MOUNT, options=("ro",))), {"mount: expected writable, found read-only"}),
    ],
)
def test_opening_promises_mapping_and_mount(seen: Observation, expected: set[str]) -> None:
    assert {str(one) for one in verify(SPEC, seen, Goal.OPEN)} == expected


def test_a_mapping_alone_is_all_that_is_promised_without_mount() -> None:
    assert verify(SPEC, replace(PERFECT, mapping_file_system="", mount=None), Goal.MAP) == ()
    closed = verify(SPEC, AT_BOOT, Goal.MAP)
    assert [str(one) for one in closed] == ["mapping: expected active, found absent"]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (replace(PERFECT, header=None, header_error="damaged"), {"header: expected a LUKS2 header, found damaged"}),
        (replace(PERFECT, header=None), {"header: expected a LUKS2 header, found none"}),
        (replace(PERFECT, opens_at_boot=False), {"boot unit: expected enabled, found missing or disabled"}),
        (replace(PERFECT, pin=None), {f"LUKS UUID: expected nothing, found {HEADER.uuid}"}),
        (
            replace(PERFECT, pin=Pin(PERFECT.pin.identity, OTHER_UUID)) if PERFECT.pin else PERFECT,
            {f"LUKS UUID: expected {OTHER_UUID}, found {HEADER.uuid}"},
        ),
        (replace(PERFECT, header=replace(HEADER, label="")), {"header label: expected pgdata, found none"}),
        (
            replace(PERFECT, header=replace(HEADER, tokens=(token("credential"),))),
            {"keyslot: expected one for credential, found none"},
        ),
        (
            replace(PERFECT, directories_differ=("/srv/volward/pgdata/17 is missing",)),
            {"directory: expected as the store wants it, found /srv/volward/pgdata/17 is missing"},
        ),
        (
            replace(PERFECT, mount_unit=MountUnitState.DIFFERENT),
            {"units: expected current, found different"},
        ),
    ],
)
def test_provisioning_promises_the_header_and_the_store_too(seen: Observation, expected: set[str]) -> None:
    assert {str(one) for one in verify(SPEC, seen, Goal.PROVISION)} == expected
    assert verify(SPEC, seen, Goal.OPEN) == ()


def test_swap_that_is_not_in_use_is_named() -> None:
    seen = replace(OPEN_SWAP, swap_active=False)

    assert [str(one) for one in verify(SWAP, seen, Goal.PROVISION)] == ["swap: expected in use, found not in use"]


# --- rotation ---------------------------------------------------------------------------------------------


def described(number: int, provider: ProviderKind, *, version: int = 1, retired: int | None = None) -> Token:
    ref = KeyRef(provider, f"volward.{provider}", version)
    content = HeaderToken("pgdata", ref, (number,), retired=retired)
    fields = json.loads(header_token.build(content))
    return Token(number, "volward", (number,), MappingProxyType(fields))


def rotated_header(*tokens: Token, keyslots: tuple[int, ...]) -> Header:
    return replace(HEADER, tokens=tokens, keyslots=tuple(keyslot(number) for number in keyslots))


OLD, RETIRED = described(0, ProviderKind.CREDENTIAL), described(0, ProviderKind.CREDENTIAL, retired=1)
PAPER, NEW = described(1, ProviderKind.RECOVERY), described(2, ProviderKind.CREDENTIAL, version=2)
TPM = Token(3, "systemd-tpm2", (3,))
BEFORE = rotated_header(OLD, PAPER, TPM, keyslots=(0, 1, 3, 7))  # nothing is known of keyslot 7
BY_GRACE = Rotation(ProviderKind.CREDENTIAL, old=(0,))
AT_ONCE = replace(BY_GRACE, at_once=True)
ENDED = Rotation(None, revoked=(0,))


@pytest.mark.parametrize(
    ("rotation", "after"),
    [
        (BY_GRACE, rotated_header(RETIRED, PAPER, TPM, NEW, keyslots=(0, 1, 2, 3, 7))),
        (BY_GRACE, rotated_header(RETIRED, PAPER, TPM, NEW, keyslots=(0, 1, 2, 3))),  # 7 was what a cut had left
        (AT_ONCE, rotated_header(PAPER, TPM, NEW, keyslots=(1, 2, 3, 7))),
        (ENDED, rotated_header(PAPER, TPM, keyslots=(1, 3, 7))),
    ],
)
def test_a_rotation_as_it_should_be(rotation: Rotation, after: Header) -> None:
    assert verify_rotation("pgdata", BEFORE, after, rotation) == ()


@pytest.mark.parametrize(
    ("rotation", "after", "what"),
    [
        (BY_GRACE, rotated_header(RETIRED, TPM, NEW, keyslots=(0, 2, 3)), "keyslot 1"),
        (BY_GRACE, rotated_header(RETIRED, PAPER, NEW, keyslots=(0, 1, 2, 3)), "keyslot 3"),
        (BY_GRACE, rotated_header(OLD, PAPER, TPM, NEW, keyslots=(0, 1, 2, 3)), "keyslot 0"),
        (BY_GRACE, rotated_header(RETIRED, PAPER, TPM, keyslots=(0, 1, 3)), "keyslot: expected a new one"),
        (BY_GRACE, rotated_header(RETIRED, PAPER, TPM, NEW, keyslots=(0, 1, 2, 3, 4)), "keyslot 4"),
        (AT_ONCE, rotated_header(RETIRED, PAPER, TPM, NEW, keyslots=(0, 1, 2, 3)), "keyslot 0: expected removed"),
        (AT_ONCE, rotated_header(OLD, PAPER, TPM, NEW, keyslots=(1, 2, 3)), "token 0"),
        (ENDED, rotated_header(RETIRED, PAPER, TPM, keyslots=(0, 1, 3)), "keyslot 0: expected removed"),
    ],
)
def test_a_rotation_that_is_not(rotation: Rotation, after: Header, what: str) -> None:
    found = verify_rotation("pgdata", BEFORE, after, rotation)
    assert any(what in str(one) for one in found), found
