"""Files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from volward import durable
from volward.errors import NoSpaceError


def test_replace_gives_content_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.replace(path, b"one")
    durable.replace(path, b"two", mode=0o644)

    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o7777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_create_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.create(path, b"one")

    with pytest.raises(FileExistsError):
        durable.create(path, b"two")

    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [durable.replace, durable.create])
@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        (("write", errno.ENOSPC), NoSpaceError),
        (("fsync", errno.EDQUOT), NoSpaceError),
        (("write", errno.EIO), OSError),
        (("open", errno.EROFS), OSError),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object, failing: tuple[str, int], expected: type[Exception]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(*_: object) -> int:
        raise OSError(failing[1], os.strerror(failing[1]))

    with monkeypatch.context() as patch:
        patch.setattr(os, failing[0], refuse)
        with pytest.raises(expected):
            write(path, b"new")  # type: ignore[operator]

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_move_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "directory"
    path.mkdir()

    with pytest.raises(OSError, match="directory"):
        durable.replace(path, b"new")

    assert list(tmp_path.iterdir()) == [path]


def test_content_is_synced_before_its_name_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        calls.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    def note_rename(source: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    durable.replace(tmp_path / "file", b"content")

    assert calls == ["file", "rename", "directory"]


def test_directories_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    durable.make_directory(path, mode=0o700)
    path.chmod(0o711)
    durable.make_directory(path, mode=0o700)

    assert path.stat().st_mode & 0o7777 == 0o711


def test_a_file_in_the_way_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(OSError, match="directory"):
        durable.make_directory(tmp_path / "a" / "b", mode=0o700)
