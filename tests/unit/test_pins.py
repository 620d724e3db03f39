"""The pinned identity of a volume: what was written comes back, damage is loud, nothing pinned is None."""

from pathlib import Path

import pytest
from tests.unit.builders import IDENTITY, UUID

from volward import pins
from volward.errors import JournalError
from volward.model import Pin

PIN = Pin(IDENTITY, UUID)


def test_a_pin_comes_back_until_it_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "pins"
    assert pins.read("pgdata", directory=directory) is None
    pins.write("pgdata", PIN, directory=directory)
    assert pins.read("pgdata", directory=directory) == PIN
    assert pins.read("redis", directory=directory) is None
    pins.remove("pgdata", directory=directory)
    pins.remove("pgdata", directory=directory)
    assert pins.read("pgdata", directory=directory) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"identity": {}}',
        '{"identity": {"device_class": "tape", "size_bytes": 1}, "luks_uuid": ""}',
        '{"identity": {"device_class": "disk", "size_bytes": 1, "colour": "red"}, "luks_uuid": ""}',
        '{"identity": {"device_class": "disk", "size_bytes": 1}}',
        "\udcff",
    ],
)
def test_a_damaged_pin_is_not_taken_for_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "pgdata.json").write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(JournalError, match="repin pgdata"):
        pins.read("pgdata", directory=tmp_path)


def test_a_pin_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "pgdata.json").mkdir()

    with pytest.raises(JournalError):
        pins.read("pgdata", directory=tmp_path)
