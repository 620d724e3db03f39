"""Exporting a key and testing a recovery key: nothing is changed, everything is recorded and wiped."""

from dataclasses import replace

import pytest
from tests.unit.apply.machine import KEY, RECOVERY, Machine
from tests.unit.builders import HEADER, OTHER_UUID, PERFECT, SPEC
from tests.unit.operations.stage import Stage

from volward import lock
from volward.errors import (
    BusyError,
    DamagedHeaderError,
    DeviceUnknownError,
    KeyDeniedError,
    NoTerminalError,
    OperatingSystemError,
    VolwardError,
)
from volward.model import Observation, ProviderKind, VolumeSpec
from volward.operations import keys


@pytest.fixture(autouse=True)
def _volume(stage: Stage, machine: Machine) -> None:
    machine.formatted(slots={2: KEY, 5: RECOVERY})
    machine.source(ProviderKind.CREDENTIAL, KEY)
    machine.source(ProviderKind.RECOVERY, RECOVERY)
    stage.seen["pgdata"] = replace(PERFECT, header=machine.present)


def test_the_exported_key_opens_its_keyslot(machine: Machine) -> None:
    exported = keys.export_key(SPEC, deadline_seconds=0.0)
    with exported.key as key, key.view() as view:
        assert bytes(view) == KEY
    assert (exported.provider, exported.keyslot) == (ProviderKind.CREDENTIAL, 2)
    assert all(given.wiped for given in machine.sources[ProviderKind.CREDENTIAL].given)
    assert machine.audited == [("key-export", "intent", ""), ("key-export", "done", "")]
    assert machine.log == []


def test_an_export_that_fails_is_recorded_too(machine: Machine) -> None:
    machine.sources[ProviderKind.CREDENTIAL].error = KeyDeniedError("No.", resolution="Ask.")
    with pytest.raises(KeyDeniedError):
        keys.export_key(SPEC, deadline_seconds=0.0)
    assert machine.audited[-1] == ("key-export", "failed", "VW0402")


def test_not_while_another_volward_works_on_it(machine: Machine) -> None:
    with lock.held("pgdata"), pytest.raises(BusyError):
        keys.export_key(SPEC, deadline_seconds=0.0)


def test_the_recovery_key_opens(machine: Machine) -> None:
    assert keys.test_recovery_key(SPEC) == 5
    assert machine.sources[ProviderKind.RECOVERY].given[0].wiped


def test_a_key_that_opens_nothing(machine: Machine) -> None:
    machine.source(ProviderKind.RECOVERY, b"of another volume")
    assert keys.test_recovery_key(SPEC) is None


def test_nobody_to_type_it(machine: Machine) -> None:
    machine.sources[ProviderKind.RECOVERY].error = NoTerminalError("Nobody.", resolution="Sit down.")
    with pytest.raises(NoTerminalError):
        keys.test_recovery_key(SPEC)


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (replace(PERFECT, header=None, header_error="zeros"), DamagedHeaderError),
        (replace(PERFECT, header=replace(HEADER, uuid=OTHER_UUID)), DeviceUnknownError),
    ],
)
def test_a_device_that_is_not_the_volume_is_not_tried(
    stage: Stage, machine: Machine, seen: Observation, error: type[VolwardError]
) -> None:
    stage.seen["pgdata"] = seen
    with pytest.raises(error):
        keys.test_recovery_key(SPEC)
    assert machine.sources[ProviderKind.RECOVERY].given == []


def test_an_error_of_the_kernel_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def observe(spec: VolumeSpec) -> Observation:
        raise OSError(5, "Input/output error", "/dev/vdb")

    monkeypatch.setattr(keys, "observe", observe)
    for operation in (lambda: keys.export_key(SPEC, deadline_seconds=0.0), lambda: keys.test_recovery_key(SPEC)):
        with pytest.raises(OperatingSystemError, match="/dev/vdb"):
            operation()
