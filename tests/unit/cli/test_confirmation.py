"""What has to be typed for each class of device, and that the question does not give it away."""

from dataclasses import replace

import click
import pytest
from tests.unit.builders import DEVICE

from volward.cli.confirmation import confirm_overwriting
from volward.errors import ConfirmationError
from volward.model import DeviceClass, Identity

CASES = [
    (Identity(DeviceClass.DISK, 1024, serial="A B", wwn="0x5"), "A B", "Type its serial number"),
    (Identity(DeviceClass.DISK, 1024, wwn="0x5"), "0x5", "Type its WWN"),
    (Identity(DeviceClass.DISK, 1024), "1024", "Type its size in bytes"),
    (Identity(DeviceClass.FILE, 1024, path="/a b"), "1024 /a b", "Type its size in bytes, a space and its path"),
    (
        Identity(DeviceClass.LOGICAL_VOLUME, 1, dm_uuid="LVM-x"),
        "1 LVM-x",
        "Type its size in bytes, a space and its UUID",
    ),
    (
        Identity(DeviceClass.PARTITION, 1024, serial="A", partition="2@4096"),
        "A 2",
        "Type its serial number, a space and the number of the partition",
    ),
]


@pytest.mark.parametrize(("identity", "typed", "question"), CASES)
def test_the_identity(identity: Identity, typed: str, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def prompt(text: str, **options: object) -> str:
        asked.append(text)
        return f" {typed.replace(' ', '  ')} "

    monkeypatch.setattr(click, "prompt", prompt)
    confirm_overwriting("data", replace(DEVICE, identity=identity), "", terminal=True)
    assert asked == [question]


@pytest.mark.parametrize(("identity", "typed", "question"), CASES)
def test_a_part_of_it_is_not_enough(identity: Identity, typed: str, question: str) -> None:
    with pytest.raises(ConfirmationError) as refused:
        confirm_overwriting("data", replace(DEVICE, identity=identity), typed[:-1] or "x", terminal=False)
    assert question.removeprefix("Type ") in refused.value.resolution
    assert typed not in str(refused.value)


def test_the_serial_of_the_disk_does_not_give_a_partition_away() -> None:
    partition = Identity(DeviceClass.PARTITION, 1024, serial="PG1", partition="3@4096")
    with pytest.raises(ConfirmationError):
        confirm_overwriting("data", replace(DEVICE, identity=partition), "PG1", terminal=False)
