"""repin: only over the volume's own header, and only what a person has seen."""

from dataclasses import replace

import pytest
from tests.unit.builders import (
    BLANK,
    CLAIMED,
    DEVICE,
    HEADER,
    IDENTITY,
    OTHER_IDENTITY,
    OTHER_UUID,
    PERFECT,
    SCRATCH,
    SPEC,
    UUID,
)
from tests.unit.operations.stage import Stage

from volward import lock, pins
from volward.errors import BusyError, DeviceNotFoundError, DuplicateUuidError, ForeignHeaderError, VolwardError
from volward.model import Observation, Pin, Presence
from volward.operations.repin import look, record

NEW_DEVICE = replace(DEVICE, identity=OTHER_IDENTITY)


def test_as_pinned(stage: Stage) -> None:
    found = look(SPEC)
    assert found.differences == ()
    assert found.pin == Pin(IDENTITY, UUID)


def test_another_disk_with_the_same_volume(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(PERFECT, device=NEW_DEVICE)
    found = look(SPEC)
    assert found.differences == ("serial: pinned PG1, found PG2",)
    assert found.pin == Pin(OTHER_IDENTITY, UUID)


def test_a_volume_that_was_moved_here(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(PERFECT, pin=None)
    assert look(SPEC).differences == (f"not pinned yet; LUKS UUID {UUID}",)


def test_another_volume_of_the_same_name(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(PERFECT, header=replace(HEADER, uuid=OTHER_UUID))
    assert look(SPEC).differences == (f"LUKS UUID: pinned {UUID}, found {OTHER_UUID}",)


def test_the_pinned_header_under_another_label(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(PERFECT, header=replace(HEADER, label=""), device=NEW_DEVICE)
    assert look(SPEC).pin.luks_uuid == UUID


def test_a_scratch_device(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(CLAIMED, device=NEW_DEVICE)
    assert look(SCRATCH).pin == Pin(OTHER_IDENTITY, UUID)


@pytest.mark.parametrize(
    ("seen", "error", "words"),
    [
        (BLANK, ForeignHeaderError, "no LUKS2 header"),
        (replace(PERFECT, header=replace(HEADER, uuid=OTHER_UUID, label="x")), ForeignHeaderError, 'labelled "x"'),
        (replace(PERFECT, header=replace(HEADER, subsystem=""), pin=None), ForeignHeaderError, "pgdata"),
        (replace(PERFECT, same_uuid_elsewhere=("/dev/vdc",)), DuplicateUuidError, "/dev/vdc"),
        (replace(PERFECT, device=None, device_presence=Presence.ABSENT), DeviceNotFoundError, "not there"),
    ],
)
def test_what_is_not_the_volume_is_not_pinned(
    stage: Stage, seen: Observation, error: type[VolwardError], words: str
) -> None:
    stage.seen["pgdata"] = seen
    with pytest.raises(error, match=words):
        look(SPEC)


def test_a_blank_scratch_device_is_not_pinned(stage: Stage) -> None:
    stage.seen["pgdata"] = BLANK
    with pytest.raises(ForeignHeaderError):
        look(SCRATCH)


def test_what_was_seen_is_recorded(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(PERFECT, device=NEW_DEVICE)
    record(SPEC, look(SPEC))
    assert pins.read("pgdata") == Pin(OTHER_IDENTITY, UUID)
    assert stage.audited == [("pgdata repin", "intent", ""), ("pgdata repin", "done", "")]


def test_not_while_another_volward_works_on_it(stage: Stage) -> None:
    found = look(SPEC)
    with lock.held("pgdata"), pytest.raises(BusyError):
        record(SPEC, found)
    assert pins.read("pgdata") is None


def test_a_full_root_disk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(volume: str, pin: Pin) -> None:
        raise OSError(28, "No space left on device", "/var/lib/volward/pins")

    monkeypatch.setattr(pins, "write", full)
    with pytest.raises(VolwardError, match="Pinning pgdata stopped") as refused:
        record(SPEC, look(SPEC))
    assert refused.value.code == "VW0206"
