"""The manifest: whole or not there, and read back as it was written."""

import json
from pathlib import Path

import pytest

from volward import manifest
from volward.errors import JournalError
from volward.manifest import Entry, Manifest, digest

PATH = Path("/etc/systemd/system/x.timer")
OLD, NEW, OTHER = b"old\n", b"new\n", b"other\n"


@pytest.mark.parametrize(
    "entry",
    [Entry(digest(NEW), 0o644, "0.1.0"), Entry(digest(NEW), 0o600, "1", pending=True, replaces=digest(OLD))],
    ids=["settled", "pending"],
)
def test_it_is_read_as_it_was_written(tmp_path: Path, entry: Entry) -> None:
    written = Manifest({PATH: entry}, {"x.timer": True, "y.timer": False})
    manifest.write(written, root=tmp_path)
    assert manifest.read(root=tmp_path) == written


def test_an_empty_one_leaves_no_file(tmp_path: Path) -> None:
    manifest.write(Manifest(), root=tmp_path)
    assert not (tmp_path / "var").exists()
    manifest.write(Manifest(enabled={"x.timer": True}), root=tmp_path)
    manifest.write(Manifest(), root=tmp_path)
    assert list((tmp_path / "var/lib/volward").iterdir()) == []
    assert manifest.read(root=tmp_path) == Manifest()


def test_what_it_knows_for_its_own() -> None:
    settled = Entry(digest(NEW), 0o644, "0.1.0")
    assert settled.is_of(NEW, 0o644)
    assert not settled.is_of(NEW, 0o600)
    assert not settled.is_of(OLD, 0o644)
    pending = Entry(digest(NEW), 0o644, "0.1.0", pending=True, replaces=digest(OLD))
    assert pending.is_of(OLD, 0o644)
    assert pending.is_of(NEW, 0o644)
    assert not pending.is_of(OTHER, 0o644)
    assert not pending.is_of(b"", 0o644)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": 2, "files": {}, "enabled": {}}',
        b'{"format": 1, "files": {"/etc/x": {"sha256": "1"}}, "enabled": {}}',
        b'{"format": 1, "files": {"/etc/x": {"sha256": "1", "mode": "9", "version": "1"}}, "enabled": {}}',
        b"\xff",
    ],
)
def test_a_damaged_one_is_never_taken_for_none(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "var/lib/volward/system.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    with pytest.raises(JournalError) as raised:
        manifest.read(root=tmp_path)
    assert f"Move {path} away" in raised.value.resolution


def test_there_is_no_secret_in_it_and_everybody_may_read_it(tmp_path: Path) -> None:
    manifest.write(Manifest({PATH: Entry(digest(NEW), 0o644, "0.1.0")}), root=tmp_path)
    path = tmp_path / "var/lib/volward/system.json"
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(path.read_bytes())["format"] == 1
