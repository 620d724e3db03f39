"""Fresh, stale or none: told without a secret, and never by a file that cannot be read."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import HEADER
from tests.unit.header_backup.builders import FACTS, sealed_file

from volward.header_backup import files, freshness
from volward.header_backup.facts import Facts, Kind
from volward.header_backup.freshness import BackupState, Freshness
from volward.secret import SecretBytes

PRESENT = replace(HEADER, checksums=("ab",))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "backups"


def write(directory: Path, facts: Facts = FACTS) -> Path:
    with SecretBytes(b"k" * 64) as key:
        return files.write(directory, facts, sealed_file(key, facts), prove=lambda path: None)


def judge(directory: Path, present: bool = True) -> BackupState:
    return freshness.judge(files.names(directory).get("pgdata", ()), PRESENT if present else None)


def test_none(directory: Path) -> None:
    assert judge(directory) == BackupState(Freshness.NONE)


def test_fresh_also_when_a_newer_one_is_of_another_header(directory: Path) -> None:
    path = write(directory)
    write(directory, replace(FACTS, sequence=9, created_at=FACTS.created_at + 60))
    assert judge(directory) == BackupState(Freshness.FRESH, path, FACTS.created_at)


def test_stale(directory: Path) -> None:
    write(directory, replace(FACTS, sequence=2, created_at=FACTS.created_at - 60))
    path = write(directory, replace(FACTS, sequence=3))
    assert judge(directory) == BackupState(Freshness.STALE, path, FACTS.created_at)


def test_a_header_that_cannot_be_read(directory: Path) -> None:
    path = write(directory)
    assert judge(directory, present=False) == BackupState(Freshness.UNKNOWN, path, FACTS.created_at)


def test_what_is_kept_damaged_or_borrowed_does_not_count(directory: Path) -> None:
    write(directory, replace(FACTS, kind=Kind.KEPT))
    write(directory).write_bytes(b"x")
    other = write(directory, replace(FACTS, volume="other"))
    other.rename(other.with_name(other.name.replace("other", "pgdata")))
    assert judge(directory) == BackupState(Freshness.NONE)
