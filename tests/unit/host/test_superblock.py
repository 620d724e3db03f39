"""Superblocks of real file systems, made in files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from volward.host import superblock

UUID = "5f407946-de57-47b8-91fb-eb547538bf0a"


def _file(tmp_path: Path, size_bytes: int = 8192) -> Path:
    path = tmp_path / "image"
    with path.open("wb") as image:
        image.truncate(size_bytes)
    return path


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["mkfs.ext4", "-q", "-F", "-U", UUID], "ext4"),
        (["mkfs.ext2", "-q", "-F", "-U", UUID], "ext2"),
        (["mkswap", "-q", "-U", UUID], "swap"),
        (["mkfs.xfs", "-q", "-m", f"uuid={UUID}"], "xfs"),
    ],
)
def test_what_the_tools_make_is_recognised(tmp_path: Path, argv: list[str], kind: str) -> None:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    image = _file(tmp_path, 320 * 1024 * 1024)
    subprocess.run([*argv, image], check=True, capture_output=True)
    assert superblock.read(image) == (kind, UUID)


def test_zeros_are_nothing_and_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert superblock.read(_file(tmp_path)) == ("", "")
    assert superblock.read(_file(tmp_path, 100)) == ("unknown", "")
    assert superblock.read(tmp_path / "nowhere") == ("unknown", "")


def test_ext4_counts_its_mounts(tmp_path: Path) -> None:
    image = _file(tmp_path, 64 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    assert not superblock.may_hold_data(image)
    subprocess.run(["tune2fs", "-C", "1", image], check=True, capture_output=True)
    assert superblock.may_hold_data(image)


def test_xfs_is_in_progress_until_its_maker_ends(tmp_path: Path) -> None:
    image = _file(tmp_path, 320 * 1024 * 1024)
    subprocess.run(["mkfs.xfs", "-q", image], check=True, capture_output=True)
    assert superblock.may_hold_data(image)
    with image.open("r+b") as file:
        file.seek(126)
        file.write(b"\1")
    assert not superblock.may_hold_data(image)


def test_what_cannot_be_told_may_hold_data(tmp_path: Path) -> None:
    assert superblock.may_hold_data(_file(tmp_path))
    assert superblock.may_hold_data(_file(tmp_path, 100))
    assert superblock.may_hold_data(tmp_path / "nowhere")
