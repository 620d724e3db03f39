"""The marker of a claimed scratch device: whole or not there."""

import hashlib
from pathlib import Path

import pytest
from tests.unit.builders import UUID

from volward.host import marker
from volward.model import MIB


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    node = tmp_path / "disk"
    node.write_bytes(b"\x00" * 2 * MIB)
    marker.write(node, uuid=UUID, volume="swap")
    return node


def test_a_marker_comes_back_and_takes_one_block(claimed: Path) -> None:
    content = claimed.read_bytes()

    assert marker.read(claimed) == UUID
    assert content[: len(marker.MAGIC)] == marker.MAGIC
    assert content[marker.BLOCK_BYTES :] == b"\x00" * (2 * MIB - marker.BLOCK_BYTES)
    assert marker.DATA_OFFSET_BYTES >= marker.BLOCK_BYTES


def test_a_flipped_byte_anywhere_in_the_block_is_no_marker(claimed: Path) -> None:
    whole = claimed.read_bytes()[: marker.BLOCK_BYTES]

    for position in [*range(160), marker.BLOCK_BYTES - 1]:
        claimed.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert marker.read(claimed) == ""


@pytest.mark.parametrize("length", [0, 16, 512, marker.BLOCK_BYTES - 1])
def test_a_torn_block_is_no_marker(claimed: Path, length: int) -> None:
    claimed.write_bytes(claimed.read_bytes()[:length])

    assert marker.read(claimed) == ""


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{\xff", b"7"])
def test_a_whole_block_that_names_no_uuid_is_no_marker(tmp_path: Path, body: bytes) -> None:
    padded = body.ljust(marker.BLOCK_BYTES - 48, b"\x00")
    node = tmp_path / "disk"
    node.write_bytes(marker.MAGIC + hashlib.sha256(padded).digest() + padded)

    assert marker.read(node) == ""


def test_what_cannot_be_read_has_no_marker(tmp_path: Path) -> None:
    assert marker.read(tmp_path / "none") == ""
    assert marker.read(tmp_path) == ""


def test_a_marker_is_written_to_what_is_there_only(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        marker.write(tmp_path / "none", uuid=UUID, volume="swap")
