"""The header that ends a re-encryption: as cryptsetup would have written it, and only when all is done."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.host import stuck_header

from volward.host import header, reencryption_end
from volward.host.header_format import DamageError
from volward.model import CopyState

pytestmark = pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")
KEYS = (b"a" * 64, b"b" * 64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    """The content of a disk in that state, and the JSON of the right end."""
    disk = tmp_path_factory.mktemp("stuck") / "disk"
    stuck_header.make(disk, KEYS, "--label", "data")
    stuck_header.RUN(["cryptsetup", "token", "import", disk], input=b'{"type": "volward", "keyslots": ["0"]}')
    ended = stuck_header.cut(disk, KEYS)
    return disk.read_bytes(), ended


@pytest.fixture
def disk(made: tuple[bytes, dict[str, Any]], tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(made[0])
    return path


def area(disk: Path) -> bytes:
    found = header.read(disk).header
    assert found is not None
    return disk.read_bytes()[: found.area_bytes]


def end(disk: Path) -> None:
    content = reencryption_end.ended(area(disk))
    with disk.open("r+b") as image:
        image.write(content)


def opened_by(disk: Path, key: bytes) -> int:
    words = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(disk)]
    return subprocess.run(words, input=key, capture_output=True, check=False).returncode


def test_cryptsetup_is_stuck_and_goes_on_with_that_header(disk: Path, made: tuple[bytes, dict[str, Any]]) -> None:
    before = header.read(disk).header
    assert before is not None
    assert before.cut_at_the_end and before.reencrypting
    assert [opened_by(disk, key) for key in KEYS] == [1, 1]
    resume = ["cryptsetup", "reencrypt", "--batch-mode", "--force-offline-reencrypt", "--resume-only"]
    for key in KEYS:
        words = [*resume, "--key-file", "-", str(disk)]
        assert subprocess.run(words, input=key, capture_output=True, check=False).returncode == 1

    end(disk)

    assert stuck_header.document(disk) == made[1], "it is what cryptsetup itself leaves"
    after = header.read(disk).header
    assert after is not None
    assert not after.damaged and not after.reencrypting and not after.cut_at_the_end
    assert after.sequence == before.sequence + 1
    assert (after.uuid, after.label) == (before.uuid, "data")
    assert [opened_by(disk, key) for key in KEYS] == [0, 0]
    assert opened_by(disk, b"c" * 64) == 2


def test_old_keyslots_that_are_left_go_as_well(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    stuck_header.make(disk, KEYS)
    ended = stuck_header.cut(disk, KEYS, old_left=1)
    old = stuck_header.document(disk)["keyslots"]["1"]["area"]
    end(disk)
    assert stuck_header.document(disk) == ended
    start, size = int(old["offset"]), int(old["size"])
    assert disk.read_bytes()[start : start + size] == bytes(size)


@pytest.mark.parametrize(("offset", "state"), [(0, "primary"), (16384, "secondary")])
def test_by_the_copy_that_is_whole(disk: Path, offset: int, state: str) -> None:
    whole = area(disk)
    with disk.open("r+b") as image:
        image.seek(offset + 4096)
        image.write(b"\xff" * 64)
    found = header.read(disk).header
    assert found is not None
    assert getattr(found, state) is CopyState.DAMAGED and found.cut_at_the_end
    assert reencryption_end.ended(area(disk)) == reencryption_end.ended(whole)


def test_without_a_whole_copy(disk: Path) -> None:
    with pytest.raises(DamageError, match="no copy is whole"):
        reencryption_end.ended(bytes(len(area(disk))))


def _encrypts(one: dict[str, Any]) -> None:
    (working,) = [slot for slot in one["keyslots"].values() if slot["type"] == "reencrypt"]
    working["mode"] = "encrypt"


def _has_data_left(one: dict[str, Any]) -> None:
    one["segments"]["3"] = {**one["segments"]["0"], "offset": "99999744"}


def _is_in_a_hot_zone(one: dict[str, Any]) -> None:
    one["segments"]["0"]["flags"] = ["in-reencryption"]


def _has_begun(one: dict[str, Any]) -> None:
    old, new = one["digests"]["0"], one["digests"]["1"]
    old["segments"], new["segments"] = [*old["segments"], "0"], [s for s in new["segments"] if s != "0"]


def _needs_more(one: dict[str, Any]) -> None:
    one["config"]["requirements"]["mandatory"].append("another")


def _moves_the_data(one: dict[str, Any]) -> None:
    (final,) = [own for own in one["segments"].values() if own.get("flags") == ["backup-final"]]
    final["offset"] = "99999744"


def _has_no_keyslot(one: dict[str, Any]) -> None:
    one["digests"]["1"]["keyslots"] = []


@pytest.mark.parametrize(
    "change",
    [_encrypts, _has_data_left, _is_in_a_hot_zone, _has_begun, _needs_more, _moves_the_data, _has_no_keyslot],
)
def test_every_other_state_is_left_alone(disk: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = stuck_header.document(disk)
    assert reencryption_end.was_cut(document)
    change(document)
    assert not reencryption_end.was_cut(document)
    stuck_header.write(disk, document)
    with pytest.raises(DamageError, match="not at the end"):
        reencryption_end.ended(area(disk))


def test_a_keyslot_outside_of_the_header_is_not_zeroed(disk: Path) -> None:
    whole, document = area(disk), stuck_header.document(disk)
    (working,) = [slot for slot in document["keyslots"].values() if slot["type"] == "reencrypt"]
    working["area"]["offset"] = str(len(whole))
    stuck_header.write(disk, document)
    with pytest.raises(DamageError, match="outside"):
        reencryption_end.ended(disk.read_bytes()[: len(whole)])
