import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.host import luks_image

from volward.errors import ToolFailedError
from volward.host import blank, run
from volward.model import MIB, BlankProbe, Finding, Presence

SIZE = 192 * MIB
KIB = 1024


def disk(tmp_path: Path, *pieces: tuple[int, bytes], size: int = SIZE) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as image:
        image.truncate(size)
        for offset, data in pieces:
            image.seek(offset)
            image.write(data)
    return path


def silent(monkeypatch: pytest.MonkeyPatch, printed: str = '{"signatures": []}') -> list[Sequence[run.Word]]:
    """Let libblkid see nothing, so that what is found was found by volward's own reads."""
    calls: list[Sequence[run.Word]] = []

    def read(argv: Sequence[run.Word], **_: object) -> run.Completed:
        calls.append(argv)
        return run.Completed(tuple(map(str, argv)), 0, printed, "")

    monkeypatch.setattr(run, "read", read)
    return calls


@pytest.mark.parametrize("size", [1, 512, 4096, 300 * KIB, MIB, MIB + 1, 2 * MIB, SIZE, SIZE + 512])
def test_zeroes_are_blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    calls = silent(monkeypatch)
    path = disk(tmp_path, size=size)
    assert blank.probe(path, size).content is Presence.ABSENT
    assert calls == [["wipefs", "--no-act", "--json", path]]


def test_real_libblkid_agrees_on_a_blank_disk(tmp_path: Path) -> None:
    assert blank.probe(disk(tmp_path), SIZE).content is Presence.ABSENT


ZFS = struct.pack("<Q", 0x00BAB10C)
MD = struct.pack("<I", 0xA92B4EFC)
PLACES = [
    ("LUKS1 header", 0, b"LUKS\xba\xbe\x00\x01"),
    ("LUKS2 header (primary)", 0, b"LUKS\xba\xbe\x00\x02"),
    ("LUKS2 header (secondary)", 0x4000, b"SKUL\xba\xbe\x00\x02"),
    ("LUKS2 header (secondary)", 0x400000, b"SKUL\xba\xbe\x00\x02"),
    ("MBR partition table or boot sector", 510, b"\x55\xaa"),
    ("GPT partition table", 512, b"EFI PART"),
    ("GPT partition table", 4096, b"EFI PART"),
    ("GPT partition table (backup)", SIZE - 512, b"EFI PART"),
    ("GPT partition table (backup)", SIZE - 4096, b"EFI PART"),
    ("LVM physical volume", 512, b"LABELONE"),
    ("LVM physical volume", 1536, b"LABELONE"),
    ("md array member (0.90)", SIZE - 64 * KIB, MD),
    ("md array member (1.0)", SIZE - 8 * KIB, MD),
    ("md array member (1.1)", 0, MD),
    ("md array member (1.2)", 4096, MD),
    ("btrfs file system", 64 * KIB + 64, b"_BHRfS_M"),
    ("btrfs file system (backup superblock)", 64 * MIB + 64, b"_BHRfS_M"),
    ("swap space", 4086, b"SWAPSPACE2"),
    ("swap space", 64 * KIB - 10, b"SWAPSPACE2"),
    ("ext file system", 1080, b"\x53\xef"),
    ("ext file system (backup superblock)", 128 * MIB + 56, b"\x53\xef"),
    ("xfs file system", 0, b"XFSB"),
    ("xfs file system (copy of the superblock)", SIZE // 4, b"XFSB"),
]


@pytest.mark.parametrize(("what", "offset", "magic"), PLACES)
def test_signature_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, offset: int, magic: bytes
) -> None:
    silent(monkeypatch)
    found = blank.probe(disk(tmp_path, (offset, magic)), SIZE)
    assert found == BlankProbe(Presence.PRESENT, (Finding(what, offset),))


@pytest.mark.parametrize("label", [0, 256 * KIB, SIZE - 512 * KIB, SIZE - 256 * KIB])
def test_each_zfs_label_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: int) -> None:
    silent(monkeypatch)
    found = blank.probe(disk(tmp_path, (label + 128 * KIB + 5 * KIB, ZFS)), SIZE)
    assert found.findings == (Finding("ZFS label", label),)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(offset=st.integers(0, 2 * MIB - 1), value=st.integers(1, 255), size=st.sampled_from([SIZE, 2 * MIB, 5 * MIB]))
def test_one_byte_in_the_first_or_last_mib_is_content(tmp_path: Path, offset: int, value: int, size: int) -> None:
    where = offset if offset < MIB else size - 2 * MIB + offset
    with pytest.MonkeyPatch.context() as patch:
        silent(patch)
        found = blank.probe(disk(tmp_path, (where, bytes([value])), size=size), size)
    assert found.content is Presence.PRESENT
    assert found.findings == (Finding("data", where),)


def test_libblkid_speaks_for_what_we_do_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent(
        monkeypatch,
        '{"signatures": [{"device": "d", "offset": "0x10018", "type": "bcachefs", "uuid": null, "label": null},'
        '{"device": "d", "offset": "0x200003", "type": "VMFS_volume_member", "uuid": null, "label": null}]}',
    )
    found = blank.probe(disk(tmp_path), SIZE)
    assert found.findings == (Finding("bcachefs file system", 0x10018), Finding("VMFS_volume_member", 0x200003))


def test_both_witnesses_make_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent(monkeypatch, '{"signatures": [{"offset": "0x438", "type": "ext4"}, {"offset": "0x1fe", "type": "dos"}]}')
    found = blank.probe(disk(tmp_path, (1080, b"\x53\xef"), (510, b"\x55\xaa")), SIZE)
    assert found.findings == (Finding("MBR partition table", 510), Finding("ext4 file system", 1080))


def test_header_of_cryptsetup_is_named_once_a_copy(tmp_path: Path) -> None:
    found = blank.probe(luks_image.write(tmp_path / "disk"), 32 * MIB)
    assert [one.what for one in found.findings] == ["LUKS2 header (primary)", "LUKS2 header (secondary)"]


def test_real_file_system_and_swap(tmp_path: Path) -> None:
    for command, what, offset in (("mkfs.ext4", "ext4 file system", 1080), ("mkswap", "swap space", 4086)):
        assert shutil.which(command), f"{command} belongs to the test requirements"
        path = disk(tmp_path)
        path.chmod(0o600)
        subprocess.run([command, path], check=True, capture_output=True)
        found = blank.probe(path, SIZE)
        assert found.content is Presence.PRESENT and Finding(what, offset) in found.findings


@pytest.mark.parametrize("bad", [0, 1000, SIZE - 10, SIZE - MIB, 0x400000, 64 * MIB + 10])
def test_unreadable_place_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    silent(monkeypatch)
    real = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        if offset <= bad < offset + length:
            raise OSError(5, "Input/output error")
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    found = blank.probe(disk(tmp_path), SIZE)
    assert found.content is Presence.UNKNOWN
    assert found.findings[0].what == "read error (Input/output error)"


def test_unknown_wins_over_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(argv: Sequence[run.Word], **_: object) -> run.Completed:
        raise ToolFailedError("wipefs failed.", resolution="", status=1, stderr="wipefs: error: I/O\n")

    monkeypatch.setattr(run, "read", read)
    found = blank.probe(disk(tmp_path, (1080, b"\x53\xef")), SIZE)
    assert found.content is Presence.UNKNOWN
    assert [one.what for one in found.findings] == [
        "wipefs could not examine it (wipefs: error: I/O)",
        "ext file system",
    ]


@pytest.mark.parametrize("printed", ["nonsense", '{"signatures": [{"offset": "0x1"}]}', '{"other": 1}', "[]", "3"])
def test_words_of_wipefs_that_are_not_understood_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    silent(monkeypatch, printed)
    assert blank.probe(disk(tmp_path), SIZE).content is Presence.UNKNOWN


@pytest.mark.parametrize("size", [0, SIZE - 512, SIZE + 512, 2 * SIZE])
def test_device_of_another_size_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    silent(monkeypatch)
    found = blank.probe(disk(tmp_path), size)
    assert found.content is Presence.UNKNOWN and any("size is" in one.what for one in found.findings)


def test_missing_device_is_unknown(tmp_path: Path) -> None:
    assert blank.probe(tmp_path / "none", SIZE).content is Presence.UNKNOWN


def test_device_in_use_is_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent(monkeypatch)
    path, real = disk(tmp_path), os.open
    monkeypatch.setattr(stat, "S_ISBLK", lambda _: True)

    def refuse(name: Path, flags: int) -> int:
        if flags & os.O_EXCL:
            raise OSError(16, "Device or resource busy")
        return real(name, flags)

    monkeypatch.setattr(os, "open", refuse)
    found = blank.probe(path, SIZE)
    assert found == BlankProbe(Presence.PRESENT, (Finding("in use", 0),))


def test_probe_never_opens_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    real = os.open
    silent(monkeypatch)
    path = disk(tmp_path)

    def watch(name: Path, how: int) -> int:
        flags.append(how)
        return real(name, how)

    monkeypatch.setattr(os, "open", watch)
    blank.probe(path, SIZE)
    assert flags and all(how & os.O_ACCMODE == os.O_RDONLY for how in flags)
