"""verify: each way in which a host can differ from an open, mounted, provisioned volume is named."""

from dataclasses import replace

import pytest
from tests.unit.builders import AT_BOOT, CLAIMED, HEADER, MOUNT, OPEN, OTHER_UUID, PERFECT, SCRATCH, SPEC, SWAP, token

from volward.model import (
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Pin,
    ProviderKind,
    Token,
    VolumeSpec,
)
from volward.verify import verify

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
    assert verify(spec, seen, provisioned=True) == ()
    assert verify(spec, seen, provisioned=False) == ()


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
    assert {str(one) for one in verify(SPEC, seen, provisioned=False)} == expected


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
            {"mount unit: expected current, found different"},
        ),
    ],
)
def test_provisioning_promises_the_header_and_the_store_too(seen: Observation, expected: set[str]) -> None:
    assert {str(one) for one in verify(SPEC, seen, provisioned=True)} == expected
    assert verify(SPEC, seen, provisioned=False) == ()


def test_swap_that_is_not_in_use_is_named() -> None:
    seen = replace(OPEN_SWAP, swap_active=False)

    assert [str(one) for one in verify(SWAP, seen, provisioned=True)] == ["swap: expected in use, found not in use"]
