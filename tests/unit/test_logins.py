"""How long a login lasts is remembered, and a useless record is none."""

import os
from pathlib import Path

import pytest

from volward import logins
from volward.logins import LoginLife

LIFE = LoginLife("https://vault.example:8200", 5.0, 6.0, 3)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    for life in (LIFE, LoginLife("https://other.example", 5.0)):
        logins.write(life, directory=tmp_path)
        assert logins.read(life.address, directory=tmp_path) == life
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"address": "https://another"}', b"\xff"])
def test_no_or_a_damaged_record_is_none(tmp_path: Path, content: bytes | None) -> None:
    logins.write(LIFE, directory=tmp_path)
    (file,) = tmp_path.iterdir()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert logins.read(LIFE.address, directory=tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/self is read-only for everybody")
def test_a_record_that_cannot_be_written_is_no_error() -> None:
    logins.write(LIFE, directory=Path("/proc/self/logins"))
