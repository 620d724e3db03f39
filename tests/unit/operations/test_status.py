"""The look at many volumes: one child process at most, and what cannot be read is unknown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit import builders
from tests.unit.host import luks_image

from volward import journal, openings, pins
from volward.errors import JournalError, ToolMissingError
from volward.host import crypt_table, mapping, mount, run
from volward.host.crypt_table import CryptTable
from volward.model import Mapping, MappingState, Mount, Presence, VolumeSpec
from volward.openings import Opening
from volward.operations import status
from volward.report import condition
from volward.report.state import State
from volward.report.volume import SeenVolume

DAMAGED = JournalError("It is damaged.", resolution="Look.")


@pytest.fixture
def specs(tmp_path: Path) -> tuple[VolumeSpec, ...]:
    """Three `file:` volumes: whole header, no header, no file."""
    luks_image.write(tmp_path / "whole.img")
    (tmp_path / "empty.img").write_bytes(bytes(1024))
    return tuple(
        replace(
            builders.FILE_SPEC,
            name=name,
            device=tmp_path / f"{name}.img",
            mount_point=tmp_path / "mount" / name,
            consumers=("never-heard-of.service",),
        )
        for name in ("whole", "empty", "gone")
    )


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """No record of volward's own, and no child process without being noticed."""
    calls: list[list[str]] = []

    def refuse(argv: Sequence[object], **_: object) -> None:
        calls.append([str(word) for word in argv])
        raise ToolMissingError(f"{argv[0]} is not installed.", resolution="Install it.")

    monkeypatch.setattr(run, "read", refuse)
    monkeypatch.setattr(run, "mutate", refuse)
    monkeypatch.setattr(pins, "read", lambda _: None)
    monkeypatch.setattr(journal, "unfinished", lambda *_: ())
    monkeypatch.setattr(openings, "read", lambda _: None)
    return calls


def opened(specs: Sequence[VolumeSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all volumes open on some device-mapper device."""

    def of_volume(spec: VolumeSpec, *_: object, **__: object) -> Mapping:
        return Mapping(spec.mapping_name, MappingState.ACTIVE, Path("/dev/null"), "253:77")

    monkeypatch.setattr(mapping, "of_volume", of_volume)


def test_closed_volumes_need_no_child_process(specs: tuple[VolumeSpec, ...], host: list[list[str]]) -> None:
    whole, empty, gone = status.look_at(specs)
    assert whole.seen.header and whole.seen.header.uuid == luks_image.UUID
    assert empty.seen.header_presence is Presence.ABSENT
    assert gone.seen.device_presence is Presence.ABSENT
    assert host == []


def test_open_volumes_need_one_for_all(
    specs: tuple[VolumeSpec, ...], host: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(specs, monkeypatch)
    tables = {"volward-whole": CryptTable("volward-whole", "aes-xts-plain64", 512, True, "7:0", 0, 0, ())}
    asked: list[str] = []

    def ask() -> dict[str, CryptTable]:
        asked.append("dmsetup")
        return tables

    monkeypatch.setattr(crypt_table, "tables", ask)
    looked = status.look_at(specs)
    assert asked == ["dmsetup"]
    assert host == []
    assert [one.table is None for one in looked] == [False, True, True]


def test_a_table_that_cannot_be_read_is_told(specs: tuple[VolumeSpec, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    opened(specs, monkeypatch)

    def missing() -> dict[str, CryptTable]:
        raise ToolMissingError("dmsetup is not installed.", resolution="Install it.")

    monkeypatch.setattr(crypt_table, "tables", missing)
    assert all("dmsetup is not installed" in one.table_error for one in status.look_at(specs))


def test_damaged_records_make_a_volume_unknown_and_not_the_others(
    specs: tuple[VolumeSpec, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pin(volume: str) -> None:
        if volume == "whole":
            raise DAMAGED

    def unfinished(volume: str | None = None) -> tuple[journal.Record, ...]:
        if volume in (None, "empty"):
            raise DAMAGED
        return ()

    monkeypatch.setattr(pins, "read", pin)
    monkeypatch.setattr(journal, "unfinished", unfinished)
    whole, empty, gone = status.look_at(specs)
    assert (whole.pin_error, whole.operations_error) == ("It is damaged.", "")
    assert (empty.pin_error, empty.operations_error) == ("", "It is damaged.")
    assert (gone.pin_error, gone.operations_error) == ("", "")
    assert condition.judge(whole).state is State.CLOSED


def test_without_sysfs_the_mapping_is_unknown(specs: tuple[VolumeSpec, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(**_: object) -> dict[str, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mapping, "names", unreadable)
    assert {one.seen.mapping.state for one in status.look_at(specs)} == {MappingState.UNKNOWN}


def test_the_mount_table_is_read_once(specs: tuple[VolumeSpec, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    table = mount.table

    def read() -> tuple[Mount, ...]:
        reads.append("mountinfo")
        return table()

    monkeypatch.setattr(mount, "table", read)
    status.look_at(specs * 5)
    assert reads == ["mountinfo"]


def _last(opening: Opening, spec: VolumeSpec, monkeypatch: pytest.MonkeyPatch) -> SeenVolume:
    monkeypatch.setattr(openings, "read", lambda _: opening)
    [found] = status.look_at([spec])
    return found


def test_an_opening_is_told_of_the_mapping_that_it_made(
    specs: tuple[VolumeSpec, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(specs, monkeypatch)
    monkeypatch.setattr(crypt_table, "tables", dict)
    monkeypatch.setattr(mapping, "disk_sequence", lambda _: "7")
    made = Opening(1.0, by="credential", disk_sequence="7")
    assert _last(made, specs[0], monkeypatch).opening == made
    assert _last(replace(made, disk_sequence="6"), specs[0], monkeypatch).opening is None
    failed = Opening(1.0, code="VW0407", error="Nobody.", resolution="Type it.")
    assert _last(failed, specs[0], monkeypatch).opening == failed  # open and not mounted: it failed half-way
