"""How a volume was opened is remembered, and a useless record is none."""

import os
from pathlib import Path

import pytest

from volward import openings
from volward.errors import NoOpenerError


def test_an_opening_is_read_as_it_was_written(tmp_path: Path) -> None:
    opening = openings.opened("tpm2", ("credential: It is sealed by another TPM.",), "17")
    openings.write("pg", opening, directory=tmp_path / "opened")
    assert openings.read("pg", directory=tmp_path / "opened") == opening
    assert (tmp_path / "opened/pg.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "opened").stat().st_mode & 0o777 == 0o700


def test_a_failure_keeps_code_and_advice(tmp_path: Path) -> None:
    openings.write("pg", openings.failed(NoOpenerError("Nobody.", resolution="Type it.")), directory=tmp_path)
    found = openings.read("pg", directory=tmp_path)
    assert found and (found.code, found.error, found.resolution, found.by) == ("VW0407", "Nobody.", "Type it.", "")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"at": "x"}', b"\xff"])
def test_no_or_a_damaged_record_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "pg.json").write_bytes(content)
    assert openings.read("pg", directory=tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/self is read-only for everybody")
def test_a_record_that_cannot_be_written_is_no_error() -> None:
    openings.write("pg", openings.opened("tpm2", (), ""), directory=Path("/proc/self/opened"))
