"""A look that only opens: a damaged journal does not hinder it, and it starts no process that is not needed."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import OPEN, SPEC

from volward import journal, pins
from volward.errors import JournalError
from volward.host import file_system, mapping, superblock
from volward.host.file_system import FileSystemFound
from volward.observe import observe


def test_a_damaged_journal_does_not_keep_a_volume_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def damaged(volume: str) -> None:
        raise JournalError(f"The journal of {volume} is damaged.", resolution="Look at it.")

    monkeypatch.setattr(journal, "unfinished_provisioning", damaged)
    monkeypatch.setattr(pins, "read", lambda volume: None)
    spec = replace(SPEC, device=tmp_path / "gone")
    with pytest.raises(JournalError):
        observe(spec)
    assert observe(spec, to_open=True).unfinished is None


@pytest.mark.parametrize(
    ("says", "asked"), [(("ext4", "u"), False), (("", ""), True), (("unknown", ""), True)], ids=["known", "", "unread"]
)
def test_what_only_opens_asks_blkid_for_what_the_superblock_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: tuple[str, str], asked: bool
) -> None:
    questions: list[Path] = []

    def identify(node: Path) -> FileSystemFound:
        questions.append(node)
        return FileSystemFound("zfs_member", "")

    monkeypatch.setattr(mapping, "of_volume", lambda *_, **__: replace(OPEN, node=tmp_path))
    monkeypatch.setattr(superblock, "read", lambda node: says)
    monkeypatch.setattr(file_system, "identify", identify)
    spec = replace(SPEC, device=tmp_path / "gone")
    assert observe(spec, to_open=True).mapping_file_system == ("zfs_member" if asked else "ext4")
    assert bool(questions) == asked
    assert observe(spec).mapping_file_system == "zfs_member", "before anything is made, blkid is asked"
