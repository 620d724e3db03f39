"""File systems: the exact argv, and the difference between nothing and unknown."""

import os
import shutil
from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.errors import DeviceUnknownError
from volward.host import file_system
from volward.host.file_system import FileSystemFound
from volward.model import FileSystem

NODE = Path("/dev/mapper/volward-a")
UUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        (FileSystem.EXT4, f"mkfs.ext4 -q -b 4096 -m 1 -E nodiscard -U {UUID} -L volward-pgdata-l"),
        (FileSystem.XFS, f"mkfs.xfs -q -K -m uuid={UUID} -L volward-pgda"),
        (FileSystem.SWAP, f"mkswap --uuid {UUID} --label volward-pgdata-"),
    ],
)
def test_make(recording: Recording, kind: FileSystem, argv: str) -> None:
    file_system.make(NODE, kind, uuid=UUID, label="volward-pgdata-long")
    assert recording.calls == [[*argv.split(), str(NODE)]]


def test_a_label_is_not_cut_within_a_character(recording: Recording) -> None:
    file_system.make(NODE, FileSystem.XFS, uuid=UUID, label="elevenbytesü")
    assert recording.calls[0][-2] == "elevenbytes"


def test_identify(recording: Recording) -> None:
    recording.answer(stdout=f"DEVNAME=/dev/x\nLABEL=a=b\nUUID={UUID}\nTYPE=ext4\n\n")
    assert file_system.identify(NODE) == FileSystemFound("ext4", UUID)
    assert recording.calls == [["blkid", "--probe", "--output", "export", str(NODE)]]


def test_a_partition_table_is_not_nothing(recording: Recording) -> None:
    recording.answer(stdout="DEVNAME=/dev/x\nPTTYPE=gpt\n")
    assert file_system.identify(NODE).type == "gpt"


def test_nothing_is_nothing_only_where_it_could_be_read(recording: Recording, tmp_path: Path) -> None:
    readable = tmp_path / "readable"
    readable.write_bytes(bytes(4096))
    recording.answer(2)
    assert file_system.identify(readable) == FileSystemFound("", "")
    recording.answer(2)
    with pytest.raises(DeviceUnknownError, match="could not be read: No such file"):
        file_system.identify(tmp_path / "none")
    readable.write_bytes(b"")
    recording.answer(2)
    with pytest.raises(DeviceUnknownError, match="no content"):
        file_system.identify(readable)


def test_contradicting_signatures_are_unknown(recording: Recording) -> None:
    recording.answer(8)
    with pytest.raises(DeviceUnknownError, match="more than one"):
        file_system.identify(NODE)


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="e2fsprogs is not installed")
@pytest.mark.parametrize(("kind", "found"), [(FileSystem.EXT4, "ext4"), (FileSystem.SWAP, "swap")])
def test_make_and_identify_with_the_real_tools(tmp_path: Path, kind: FileSystem, found: str) -> None:
    node = tmp_path / "disk"
    node.touch(mode=0o600)
    os.truncate(node, 64 << 20)
    assert file_system.identify(node) == FileSystemFound("", "")
    file_system.make(node, kind, uuid=UUID, label="volward-a")
    assert file_system.identify(node) == FileSystemFound(found, UUID)


@pytest.mark.parametrize(("kind", "maker"), [(FileSystem.EXT4, "mkfs.ext4"), (FileSystem.XFS, "mkfs.xfs")])
def test_a_file_system_is_whole_when_its_maker_ended(tmp_path: Path, kind: FileSystem, maker: str) -> None:
    """With the real tools, on a file."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(320 * 1024 * 1024)
    file_system.make(image, kind, uuid=UUID, label="x")
    assert file_system.is_whole(image, kind)
    with image.open("r+b") as file:  # what a cut leaves: the superblock, and not all that it speaks of
        file.seek(8192 if kind is FileSystem.EXT4 else 512)
        file.write(bytes(1024 * 1024))
    assert not file_system.is_whole(image, kind)


def test_a_swap_area_is_one_page(recording: Recording) -> None:
    assert file_system.is_whole(NODE, FileSystem.SWAP)
    assert recording.calls == []
