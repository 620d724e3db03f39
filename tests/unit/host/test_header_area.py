"""The header area: the same bytes as cryptsetup's own backup, and cryptsetup restores them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.host import luks_image

from volward.errors import BusyError, ToolFailedError
from volward.host import cryptsetup, header, header_area, run
from volward.host.cryptsetup import Pbkdf2
from volward.model import CopyState
from volward.secret import SecretBytes

MIB = 1024 * 1024
needs_cryptsetup = pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes.random(64) as secret:
        yield secret


@pytest.fixture
def device(tmp_path: Path, key: SecretBytes) -> Path:
    path = tmp_path / "device"
    with path.open("wb") as file:
        file.truncate(20 * MIB)
    cryptsetup.format(
        path,
        key=key,
        uuid="5f1e1a53-0000-4000-8000-000000000001",
        label="pgdata",
        subsystem="volward",
        cipher="aes-xts-plain64",
        key_bits=512,
        sector_size_bytes=512,
        kdf=Pbkdf2(),
    )
    return path


def _area_bytes(device: Path) -> int:
    found = header.read(device).header
    assert found is not None
    return found.area_bytes


@needs_cryptsetup
def test_it_is_what_cryptsetup_backs_up(device: Path, tmp_path: Path) -> None:
    run.mutate(["cryptsetup", "luksHeaderBackup", "--header-backup-file", tmp_path / "theirs", device])
    assert header_area.read(device, _area_bytes(device)) == (tmp_path / "theirs").read_bytes()


@needs_cryptsetup
@pytest.mark.parametrize("wrecked", [0, 8 * MIB], ids=["whole", "both copies gone"])
def test_cryptsetup_restores_it(device: Path, tmp_path: Path, key: SecretBytes, wrecked: int) -> None:
    area = header_area.read(device, _area_bytes(device))
    image = tmp_path / "image"
    image.write_bytes(area)
    with device.open("r+b") as file:
        file.write(bytes(wrecked))
    cryptsetup.restore_header(device, image)
    assert header_area.read(device, len(area)) == area
    assert cryptsetup.test_key(device, key, keyslot=0)


@needs_cryptsetup
def test_cryptsetup_refuses_what_is_no_header(device: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB))
    with pytest.raises(ToolFailedError):
        cryptsetup.restore_header(device, image)


@needs_cryptsetup
def test_reading_mends_nothing_which_luks_header_backup_does(device: Path, tmp_path: Path) -> None:
    with device.open("r+b") as file:
        file.seek(16384)
        file.write(bytes(4096))
    before = device.read_bytes()
    header_area.read(device, 16 * MIB)
    assert device.read_bytes() == before
    run.mutate(["cryptsetup", "luksHeaderBackup", "--header-backup-file", tmp_path / "theirs", device])
    assert device.read_bytes() != before, "no reason left to read the area ourselves"


def test_the_content_of_an_area_is_parsed_as_the_device_is(tmp_path: Path) -> None:
    path = luks_image.write(tmp_path / "image", secondary=b"")
    reading = header.parse(path.read_bytes(), name="the backup")
    assert reading.header is not None and reading.header.secondary is CopyState.ABSENT
    assert reading == header.parse(path.read_bytes(), name="the backup")
    assert reading.header == header.read(path).header
    assert "the backup" in reading.error


def test_a_short_device(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    assert header_area.read(tmp_path / "short", 10) == b"abc"
    assert header_area.read_data(tmp_path / "short", 1, 1) == b"b"


def test_a_header_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [b"1", b"2", b"2"]
    monkeypatch.setattr(header_area, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(header_area, "_read", lambda node, offset, length: answers.pop(0))
    assert header_area.read(tmp_path, 1) == b"2"
    answers += [b"%d" % number for number in range(6)]
    with pytest.raises(BusyError, match="keeps writing"):
        header_area.read(tmp_path, 1)
