"""The directory: a file has its name only once it is proven, and nothing is ever overwritten."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.header_backup.builders import FACTS, sealed_file

from volward.errors import NoHeaderBackupError, VerificationError
from volward.header_backup import files, sealing
from volward.header_backup.facts import LATEST, Facts, Kind
from volward.secret import SecretBytes


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes.random(64) as secret:
        yield secret


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "lib" / "header-backups"


def write(directory: Path, key: SecretBytes, facts: Facts = FACTS) -> Path:
    return files.write(directory, facts, sealed_file(key, facts), prove=lambda path: None)


def test_a_file_is_proven_before_it_has_its_name(directory: Path, key: SecretBytes) -> None:
    seen: list[list[str]] = []

    def prove(path: Path) -> None:
        assert sealing.read_facts(path).volume == "pgdata"
        seen.append([one.name for one in directory.iterdir() if not one.name.startswith(".")])

    path = files.write(directory, FACTS, sealed_file(key), prove=prove)

    assert seen == [[]]
    assert path.name.startswith("pgdata.20251125T222103Z.") and path.suffix == ".header"
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in directory.iterdir()] == [path.name]


def test_what_cannot_be_proven_leaves_nothing(directory: Path, key: SecretBytes) -> None:
    def prove(path: Path) -> None:
        raise VerificationError("It does not open.", resolution="Look.")

    with pytest.raises(VerificationError):
        files.write(directory, FACTS, sealed_file(key), prove=prove)
    assert list(directory.iterdir()) == []


def test_what_a_cut_left_goes_with_the_next_one_and_nothing_else_does(directory: Path, key: SecretBytes) -> None:
    write(directory, key)
    name = "20251125T222103Z.01234567.header.89abcdef.new"
    (directory / f".pgdata.{name}").write_bytes(b"half")
    others = {f".pgdata-2.{name}", ".pgdata.mine.new"}
    for other in others:
        (directory / other).write_bytes(b"half")
    write(directory, key)
    assert {one.name for one in directory.iterdir() if one.name.startswith(".")} == others


def test_the_newest_comes_first(directory: Path, key: SecretBytes) -> None:
    old, new = (write(directory, key, replace(FACTS, created_at=at)) for at in (1000, 2000))
    kept = write(directory, key, replace(FACTS, kind=Kind.KEPT, created_at=3000))
    write(directory, key, replace(FACTS, volume="pgdata-2"))
    assert [one.path for one in files.of(directory, "pgdata")] == [kept, new, old]
    assert [path for path, _ in files.backups(directory, "pgdata")] == [new, old]
    assert set(files.listing(directory)) == {"pgdata", "pgdata-2"}


def test_names_alone(directory: Path, key: SecretBytes) -> None:
    old, new = (write(directory, key, replace(FACTS, created_at=at)) for at in (1000, 2000))
    other = write(directory, key, replace(FACTS, volume="pgdata-2"))
    (directory / "notes.txt").write_bytes(b"x")
    assert files.names(directory) == {"pgdata": [new, old], "pgdata-2": [other]}


def test_newest_is_what_was_written_last_and_not_what_the_clock_says(directory: Path, key: SecretBytes) -> None:
    """The clock was set back: a file that is written later has to be the newest all the same."""
    assert files.moment(directory, "pgdata", FACTS.luks_uuid, now=1000) == 1000
    write(directory, key, replace(FACTS, created_at=2000))
    write(directory, key, replace(FACTS, created_at=3000, kind=Kind.KEPT))
    write(directory, key, replace(FACTS, created_at=9000, luks_uuid="another"))
    write(directory, key, replace(FACTS, created_at=9000, volume="pgdata-2"))
    assert files.moment(directory, "pgdata", FACTS.luks_uuid, now=1000) == 3001
    assert files.moment(directory, "pgdata", FACTS.luks_uuid, now=5000) == 5000
    write(directory, key, replace(FACTS, created_at=LATEST))
    assert files.moment(directory, "pgdata", FACTS.luks_uuid, now=5000) == LATEST


def test_nothing_is_listed_where_there_is_nothing(directory: Path) -> None:
    assert files.listing(directory) == {}
    assert files.of(directory, "pgdata") == ()


def test_damage_is_listed_and_counts_as_no_backup(directory: Path, key: SecretBytes) -> None:
    path = write(directory, key)
    path.write_bytes(b"x")
    borrowed = directory / path.name.replace("pgdata", "other")
    borrowed.write_bytes(sealed_file(key))
    (directory / "notes.txt").write_bytes(b"x")
    (found,) = files.of(directory, "pgdata")
    assert found.facts is None and "damaged" in found.error
    assert files.backups(directory, "pgdata") == ()
    assert "is a backup of pgdata" in files.of(directory, "other")[0].error


def test_one_that_cannot_be_read_hides_no_other(
    directory: Path, key: SecretBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = write(directory, key), write(directory, key)
    read = sealing.read_facts

    def failing(path: Path) -> Facts:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read(path)

    monkeypatch.setattr(sealing, "read_facts", failing)
    found = {one.path: one for one in files.of(directory, "pgdata")}
    assert found[bad].facts is None and "Input/output error" in found[bad].error
    assert found[good].facts is not None
    assert [path for path, _ in files.backups(directory, "pgdata")] == [good]


def test_a_directory_with_a_backups_name(directory: Path, key: SecretBytes) -> None:
    path = write(directory, key)
    path.with_name(path.name.replace("2025", "2024")).mkdir()
    assert [one.facts is None for one in files.of(directory, "pgdata")] == [False, True]


def test_one_that_expires_meanwhile(directory: Path, key: SecretBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    write(directory, key)

    def gone(path: Path) -> Facts:
        raise FileNotFoundError(path)

    monkeypatch.setattr(sealing, "read_facts", gone)
    assert files.listing(directory) == {"pgdata": ()}


def test_by_name_or_path(directory: Path, key: SecretBytes, tmp_path: Path) -> None:
    path = write(directory, key)
    assert files.named(directory, "pgdata", path.name) == path
    assert files.named(tmp_path, "pgdata", str(path)) == path
    with pytest.raises(NoHeaderBackupError, match="volward header list pgdata"):
        files.named(tmp_path, "pgdata", path.name)


def test_removed_for_good(directory: Path, key: SecretBytes) -> None:
    path = write(directory, key)
    files.remove([path, directory / "gone"])
    assert list(directory.iterdir()) == []
