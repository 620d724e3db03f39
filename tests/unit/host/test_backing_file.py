"""The backing file of a `file:` volume: whole and allocated, or not there."""

import errno
import os
from pathlib import Path

import pytest

from volward.errors import NoSpaceError
from volward.host import backing_file
from volward.model import MIB


def test_a_file_is_made_whole_private_and_allocated(tmp_path: Path) -> None:
    path = tmp_path / "images" / "pgdata.img"
    backing_file.create(path, 2 * MIB)

    status = path.stat()
    assert status.st_size == 2 * MIB
    assert status.st_blocks * 512 >= 2 * MIB
    assert status.st_mode & 0o7777 == 0o600
    assert status.st_nlink == 1
    assert not any(path.read_bytes())
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_file_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "pgdata.img"
    path.write_bytes(b"data")

    with pytest.raises(FileExistsError):
        backing_file.create(path, MIB)

    assert path.read_bytes() == b"data"
    assert list(tmp_path.iterdir()) == [path]


def test_the_remains_of_a_run_that_was_cut_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pgdata.img"
    remains = tmp_path / ".pgdata.img.volward-new"
    remains.write_bytes(b"half")
    backing_file.create(path, MIB)

    assert list(tmp_path.iterdir()) == [path]
    assert not any(path.read_bytes())


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, NoSpaceError), (errno.EDQUOT, NoSpaceError), (errno.EFBIG, NoSpaceError), (errno.EIO, OSError)],
)
def test_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(expected):
        backing_file.create(tmp_path / "pgdata.img", MIB)

    assert list(tmp_path.iterdir()) == []
