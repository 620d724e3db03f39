import struct

import pytest

from volward.host import signatures
from volward.host.signatures import GIB, KIB, MIB, TIB


def offsets(size_bytes: int, what: str) -> set[int]:
    return {place.offset_bytes for place in signatures.places(size_bytes) if place.what.startswith(what)}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4095, 70 * KIB, MIB, MIB + 513, 64 * MIB])
def test_every_place_lies_on_the_device(size: int) -> None:
    assert all(0 <= one.offset_bytes <= size - len(one.magic) for one in signatures.places(size))
    assert all(0 <= offset <= size - 256 * KIB for offset in signatures.zfs_labels(size))


def test_backups_of_large_devices_are_looked_for() -> None:
    assert 256 * GIB + 64 in offsets(300 * GIB, "btrfs")
    assert 128 * MIB + 0x38 in offsets(GIB, "ext file system (backup")
    assert {8 * MIB + KIB + 0x38, 32 * MIB + 0x38} <= offsets(GIB, "ext file system (backup")
    assert 100 * MIB in offsets(400 * MIB, "xfs file system (copy")
    assert TIB - 4 * KIB in offsets(5 * TIB, "xfs file system (copy")


def test_both_ends_for_both_sector_sizes() -> None:
    size = 64 * MIB + 512
    assert offsets(size, "GPT partition table (backup)") == {size - 512, 64 * MIB - 4096}
    assert offsets(size, "GPT partition table") >= {512, 4096}
    assert offsets(size, "md array member (0.90)") == {64 * MIB - 64 * KIB}
    assert offsets(size, "md array member (1.0)") == {64 * MIB - 8 * KIB}


def test_every_place_of_a_second_luks2_header() -> None:
    assert offsets(64 * MIB, "LUKS2 header (secondary)") == {0x4000 << shift for shift in range(9)}


@pytest.mark.parametrize("order", ["<Q", ">Q"])
@pytest.mark.parametrize("slot", [0, 1, 127])
def test_uberblock_anywhere_in_the_ring(order: str, slot: int) -> None:
    label = bytearray(256 * KIB)
    assert not signatures.has_uberblock(bytes(label))
    struct.pack_into(order, label, 128 * KIB + slot * KIB, 0x00BAB10C)
    assert signatures.has_uberblock(bytes(label))


def test_zfs_labels_are_aligned_at_the_end() -> None:
    assert signatures.zfs_labels(64 * MIB + 4096) == (0, 256 * KIB, 64 * MIB - 512 * KIB, 64 * MIB - 256 * KIB)
