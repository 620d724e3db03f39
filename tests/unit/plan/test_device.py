"""Is the device there, the one recorded, and free? What is refused says what to do."""

from dataclasses import replace

import pytest
from tests.unit.builders import (
    AT_BOOT,
    BEFORE_FORMAT,
    BLANK,
    DEVICE,
    FILE_SPEC,
    IDENTITY,
    NO_FILE,
    OPEN,
    PERFECT,
    SPEC,
    UUID,
    unfinished,
)

from volward.errors import DeviceBusyError, DeviceNotFoundError, MappingError
from volward.model import MIB, MappingState, Observation, Pin, Presence, VolumeSpec
from volward.plan.device import identity_warnings, present_device, refuse_mapping

PIN = Pin(IDENTITY, UUID)
CUT = replace(BLANK, pin=PIN, unfinished=unfinished(BEFORE_FORMAT, "format"))


@pytest.mark.parametrize("state", MappingState)
def test_only_an_absent_or_active_mapping_is_worked_with(state: MappingState) -> None:
    seen = replace(PERFECT, mapping=replace(OPEN, state=state, detail="why"))
    if state in (MappingState.ABSENT, MappingState.ACTIVE):
        refuse_mapping(SPEC, seen)
    else:
        with pytest.raises(MappingError, match="why"):
            refuse_mapping(SPEC, seen)


def test_a_device_under_another_mapping_is_not_opened_a_second_time() -> None:
    held = replace(DEVICE, holders=("dm-7",))

    with pytest.raises(DeviceBusyError, match="dm-7"):
        refuse_mapping(SPEC, replace(AT_BOOT, device=held))
    refuse_mapping(SPEC, replace(PERFECT, device=held))
    refuse_mapping(SPEC, replace(AT_BOOT, device=None))


def test_opening_only_warns_of_another_identity() -> None:
    grown = replace(DEVICE, identity=replace(IDENTITY, size_bytes=4096 * MIB))

    (warning,) = identity_warnings(SPEC, replace(AT_BOOT, device=grown))

    assert "size_bytes" in warning
    assert "volward repin pgdata" in warning
    assert identity_warnings(SPEC, AT_BOOT) == ()
    assert identity_warnings(SPEC, BLANK) == ()
    assert identity_warnings(SPEC, replace(AT_BOOT, device=None)) == ()


@pytest.mark.parametrize(
    ("spec", "seen", "says"),
    [
        (SPEC, replace(PERFECT, device_presence=Presence.ABSENT, device=None), "Attach it"),
        (FILE_SPEC, NO_FILE, "from its backup otherwise."),
        (FILE_SPEC, replace(NO_FILE, pin=PIN), "remove /var/lib/volward/pins/pgdata.json."),
    ],
)
def test_a_device_that_is_gone_has_a_way_back(spec: VolumeSpec, seen: Observation, says: str) -> None:
    with pytest.raises(DeviceNotFoundError) as refused:
        present_device(spec, seen)
    assert says in refused.value.resolution
