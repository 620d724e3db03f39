"""Scratch volumes: claimed once by proof, then made anew at each opening, on that device alone."""

from dataclasses import replace

import pytest
from tests.unit.builders import (
    BLANK,
    CLAIMED,
    CLOSED,
    DEVICE,
    IDENTITY,
    MOUNT,
    NO_FILE,
    OPEN,
    OTHER_IDENTITY,
    OTHER_UUID,
    SCRATCH,
    SWAP,
    UUID,
)

from volward.errors import (
    DeviceBusyError,
    DeviceNotFoundError,
    DeviceUnknownError,
    FileSystemError,
    ForeignHeaderError,
    IdentityError,
    MappingError,
    MountPointError,
    NotBlankError,
    NotProvisionedError,
    VolwardError,
)
from volward.model import (
    BlankProbe,
    Finding,
    Goal,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Pin,
    Presence,
    VolumeSpec,
)
from volward.plan import plan_scratch

FILE = replace(SCRATCH, is_file=True)
SEALED = replace(CLAIMED, mount_point=MountPointState.SEALED)
HALF_OPEN = replace(SEALED, mapping=OPEN)
MOUNTED = replace(HALF_OPEN, mapping_file_system="ext4", mount=MOUNT, mount_point=MountPointState.MOUNTED)
PINNED = replace(BLANK, pin=Pin(IDENTITY, UUID))


@pytest.mark.parametrize(
    ("spec", "seen", "goal", "steps"),
    [
        (
            SCRATCH,
            BLANK,
            Goal.PROVISION,
            "pin claim-scratch open make-file-system seal-mount-point write-units mount prepare-store",
        ),
        (SWAP, BLANK, Goal.PROVISION, "pin claim-scratch open make-file-system write-units swap-on"),
        (SWAP, PINNED, Goal.PROVISION, "pin claim-scratch open make-file-system write-units swap-on"),
        (
            replace(SWAP, is_file=True),
            NO_FILE,
            Goal.PROVISION,
            "create-file pin claim-scratch open make-file-system write-units swap-on",
        ),
        (SCRATCH, SEALED, Goal.OPEN, "open make-file-system mount prepare-store"),
        (SCRATCH, SEALED, Goal.PROVISION, "open make-file-system mount prepare-store"),
        (SCRATCH, HALF_OPEN, Goal.OPEN, "close open make-file-system mount prepare-store"),
        (SCRATCH, replace(HALF_OPEN, mapping_file_system="ext4"), Goal.OPEN, "mount"),
        (SCRATCH, MOUNTED, Goal.OPEN, ""),
        (SWAP, replace(CLAIMED, opens_at_boot=False), Goal.PROVISION, "open make-file-system write-units swap-on"),
        (SWAP, CLAIMED, Goal.OPEN, "open make-file-system swap-on"),
        (SWAP, replace(CLAIMED, mapping=OPEN, mapping_file_system="swap"), Goal.OPEN, "swap-on"),
        (SWAP, replace(CLAIMED, mapping=OPEN, mapping_file_system="swap", swap_active=True), Goal.OPEN, ""),
    ],
)
def test_what_leads_to_a_scratch_volume_in_use(spec: VolumeSpec, seen: Observation, goal: Goal, steps: str) -> None:
    plan = plan_scratch(spec, seen, goal)

    assert " ".join(action.step for action in plan.actions) == steps
    assert plan.destructive is ("claim-scratch" in steps)
    assert bool(plan.nothing_because) is (steps == "")
    assert all(action.reason for action in plan.actions)


@pytest.mark.parametrize(
    ("spec", "seen", "goal", "error"),
    [
        (SCRATCH, replace(BLANK, probe=None), Goal.OPEN, NotProvisionedError),
        (FILE, NO_FILE, Goal.OPEN, NotProvisionedError),
        (SCRATCH, replace(SEALED, mount_unit=MountUnitState.ABSENT), Goal.OPEN, NotProvisionedError),
        (SCRATCH, NO_FILE, Goal.PROVISION, DeviceNotFoundError),
        (FILE, replace(NO_FILE, pin=Pin(IDENTITY, UUID)), Goal.PROVISION, DeviceNotFoundError),
        (FILE, replace(NO_FILE, mapping=OPEN), Goal.PROVISION, DeviceBusyError),
        (SCRATCH, replace(BLANK, probe=None), Goal.PROVISION, DeviceUnknownError),
        (
            SCRATCH,
            replace(BLANK, probe=BlankProbe(Presence.PRESENT, (Finding("data", 0),))),
            Goal.PROVISION,
            NotBlankError,
        ),
        (SCRATCH, replace(BLANK, mapping=OPEN), Goal.PROVISION, DeviceBusyError),
        (SCRATCH, replace(CLAIMED, pin=None), Goal.OPEN, ForeignHeaderError),
        (SCRATCH, replace(CLAIMED, scratch_uuid=OTHER_UUID), Goal.OPEN, ForeignHeaderError),
        (SCRATCH, replace(CLAIMED, device=replace(DEVICE, identity=OTHER_IDENTITY)), Goal.OPEN, IdentityError),
        (SCRATCH, replace(CLAIMED, device=replace(DEVICE, swap=True)), Goal.OPEN, DeviceBusyError),
        (SCRATCH, replace(CLAIMED, device=replace(DEVICE, holders=("md0",))), Goal.OPEN, DeviceBusyError),
        (SCRATCH, replace(CLAIMED, mapping=replace(CLOSED, state=MappingState.ZOMBIE)), Goal.OPEN, MappingError),
        (FILE, replace(NO_FILE, mapping=replace(CLOSED, state=MappingState.UNKNOWN)), Goal.PROVISION, MappingError),
        (SCRATCH, replace(HALF_OPEN, mapping_file_system="xfs"), Goal.OPEN, FileSystemError),
        (SCRATCH, replace(HALF_OPEN, mapping_file_system="unknown"), Goal.OPEN, FileSystemError),
        (SCRATCH, replace(SEALED, mount_point=MountPointState.OCCUPIED), Goal.OPEN, MountPointError),
    ],
)
def test_what_is_refused(spec: VolumeSpec, seen: Observation, goal: Goal, error: type[VolwardError]) -> None:
    with pytest.raises(error) as raised:
        plan_scratch(spec, seen, goal)
    assert raised.value.resolution
