"""A look that only opens: a damaged journal does not hinder it, and it starts no process that is not needed."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import CLOSED, OPEN, PERFECT, SPEC, UUID

from volward import journal, pins
from volward.errors import JournalError
from volward.host import block, file_system, mapping, superblock
from volward.host.file_system import FileSystemFound
from volward.model import Mapping, Place, VolumeSpec
from volward.observe import look_again, observe
from volward.surroundings import Surroundings


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


def test_after_opening_what_opening_changes_is_looked_at_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str | None, Place | None]] = []

    def of_volume(spec: VolumeSpec, luks_uuid: str | None, place: Place | None, **_: object) -> Mapping:
        asked.append((luks_uuid, place))
        return replace(OPEN, node=tmp_path)

    monkeypatch.setattr(mapping, "of_volume", of_volume)
    monkeypatch.setattr(superblock, "read", lambda node: ("ext4", "u"))
    there, gone = Place(tmp_path, "252:16"), replace(SPEC, device=tmp_path / "gone")
    monkeypatch.setattr(block, "place_of_volume", lambda spec: there)
    before = replace(PERFECT, mapping=CLOSED, mapping_file_system="", mapping_file_system_uuid="", mount=None)
    seen = look_again(SPEC, before, Surroundings())
    assert (seen.mapping.node, seen.mapping_file_system, seen.mapping_file_system_uuid) == (tmp_path, "ext4", "u")
    assert seen.header is before.header and seen.pin is before.pin
    monkeypatch.undo()
    monkeypatch.setattr(mapping, "of_volume", of_volume)
    monkeypatch.setattr(superblock, "read", lambda node: ("ext4", "u"))
    look_again(gone, before, Surroundings())
    assert asked == [(UUID, there), (UUID, None)]
