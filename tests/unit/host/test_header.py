import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.host import luks_image

from volward.host import header, header_format
from volward.model import CopyState, Presence


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "_RACE_PAUSE_SECONDS", 0)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as image:
        image.seek(offset)
        image.write(data)


def test_whole_header(tmp_path: Path) -> None:
    reading = header.read(luks_image.write(tmp_path / "disk"))
    found = reading.header
    assert reading.presence is Presence.PRESENT and found is not None and reading.error == ""
    assert (found.uuid, found.label, found.subsystem, found.sequence) == (luks_image.UUID, "volward-pg", "volward", 3)
    assert (found.cipher, found.key_bits, found.sector_size_bytes) == ("aes-xts-plain64", 512, 4096)
    assert found.data_offset_bytes == 16 * 1024 * 1024
    assert [(k.number, k.kdf, k.iterations, k.memory_kib, k.lanes, k.priority) for k in found.keyslots] == [
        (0, "pbkdf2", 1000, 0, 0, 1),
        (1, "argon2id", 4, 262144, 4, 2),
    ]
    token = found.token_of(0, "volward")
    assert token is not None and token.fields["volume"] == "pg"
    assert found.flags == ("allow-discards",) and found.requirements == () and not found.damaged


@pytest.mark.parametrize("size", header_format.SECONDARY_OFFSETS)
def test_every_legal_size_with_a_lost_primary(tmp_path: Path, size: int) -> None:
    disk = luks_image.write(tmp_path / "disk", primary=b"", size=size)
    found = header.read(disk).header
    assert found is not None
    assert (found.primary, found.secondary) == (CopyState.ABSENT, CopyState.VALID)


@pytest.mark.parametrize(("offset", "primary", "secondary"), [
    (5000, CopyState.DAMAGED, CopyState.VALID),
    (0x4000 + 5000, CopyState.VALID, CopyState.DAMAGED),
    (0x4000, CopyState.VALID, CopyState.ABSENT),
])  # fmt: skip
def test_one_wrecked_copy_is_named_and_the_other_serves(
    tmp_path: Path, offset: int, primary: CopyState, secondary: CopyState
) -> None:
    disk = luks_image.write(tmp_path / "disk")
    overwrite(disk, offset, b"\xff")
    reading = header.read(disk)
    assert reading.header is not None
    assert (reading.header.primary, reading.header.secondary) == (primary, secondary)
    assert reading.header.damaged and "not whole" in reading.error


def test_both_wrecked_is_present_without_a_header(tmp_path: Path) -> None:
    disk = luks_image.write(tmp_path / "disk")
    overwrite(disk, 5000, b"\xff")
    overwrite(disk, 0x4000 + 5000, b"\xff")
    reading = header.read(disk)
    assert (reading.presence, reading.header) == (Presence.PRESENT, None)
    assert "damaged" in reading.error and "checksum" in reading.error


@pytest.mark.parametrize("newer", ["primary", "secondary"])
def test_higher_sequence_counts_and_the_other_is_stale(tmp_path: Path, newer: str) -> None:
    disk = luks_image.write(
        tmp_path / "disk",
        primary=luks_image.header_copy(sequence=4 if newer == "primary" else 3, label=b"one"),
        secondary=luks_image.header_copy(sequence=4 if newer == "secondary" else 3, label=b"two", offset=0x4000),
    )
    found = header.read(disk).header
    assert found is not None
    assert (found.sequence, found.label) == (4, "one" if newer == "primary" else "two")
    assert getattr(found, newer) is CopyState.VALID and found.damaged
    assert CopyState.STALE in (found.primary, found.secondary)


def test_copy_that_is_being_written_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = luks_image.write(tmp_path / "disk", secondary=luks_image.header_copy(sequence=2, offset=0x4000))
    monkeypatch.setattr("time.sleep", lambda _: luks_image.write(disk))
    found = header.read(disk).header
    assert found is not None and not found.damaged


def test_luks1_is_named(tmp_path: Path) -> None:
    disk = luks_image.write(tmp_path / "disk", primary=b"LUKS\xba\xbe\x00\x01".ljust(4096, b"\0"), secondary=b"")
    reading = header.read(disk)
    assert (reading.presence, reading.header) == (Presence.PRESENT, None)
    assert "LUKS1" in reading.error


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"not a header" * 1000, b"LUKS"])
def test_nothing_there_is_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "disk").write_bytes(content)
    assert header.read(tmp_path / "disk") == header.HeaderReading(Presence.ABSENT)


def test_missing_device_is_unknown(tmp_path: Path) -> None:
    reading = header.read(tmp_path / "none")
    assert reading.presence is Presence.UNKNOWN and "No such file" in reading.error


def failing_reads(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    real = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        if fails(offset):
            raise OSError(5, "Input/output error")
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", pread)


def test_unreadable_device_is_unknown_and_never_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").write_bytes(bytes(65536))
    failing_reads(monkeypatch, lambda offset: offset == 0)
    reading = header.read(tmp_path / "disk")
    assert reading.presence is Presence.UNKNOWN and "Input/output error" in reading.error


def test_unreadable_primary_does_not_strand_a_readable_secondary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = luks_image.write(tmp_path / "disk")
    failing_reads(monkeypatch, lambda offset: offset < 0x4000)
    found = header.read(disk).header
    assert found is not None and (found.primary, found.secondary) == (CopyState.UNKNOWN, CopyState.VALID)


def test_reencryption_is_told_and_its_area_opens_nothing(tmp_path: Path) -> None:
    document = luks_image.document()
    document["keyslots"]["2"] = {"type": "reencrypt", "mode": "reencrypt", "key_size": 1, "area": {}}
    document["keyslots"]["3"] = document["keyslots"]["0"]  # unbound: no digest names it
    document["segments"]["1"] = {**document["segments"]["0"], "encryption": "aes-old", "flags": ["backup-previous"]}
    document["config"]["requirements"] = {"mandatory": ["online-reencrypt-v2"]}
    disk = luks_image.write(tmp_path / "disk", primary=luks_image.header_copy(document))
    found = header.read(disk).header
    assert found is not None
    assert found.requirements == ("online-reencrypt-v2",) and found.cipher == "aes-xts-plain64"
    assert {k.number: k.opens_data for k in found.keyslots} == {0: True, 1: True, 2: False, 3: False}


def test_a_label_cannot_steer_the_terminal(tmp_path: Path) -> None:
    disk = luks_image.write(tmp_path / "disk", primary=luks_image.header_copy(label=b"\x1b[2Jpg"))
    found = header.read(disk).header
    assert found is not None and "\x1b" not in found.label


BREAKAGES: list[Callable[[dict[str, Any]], object]] = [
    lambda d: d.pop("keyslots"),
    lambda d: d.pop("digests"),
    lambda d: d["segments"]["0"].pop("offset"),
    lambda d: d["segments"]["0"].update(offset="-1"),
    lambda d: d["segments"]["0"].update(offset=True),
    lambda d: d["keyslots"].update({"x": {}}),
    lambda d: d["keyslots"]["0"].update(kdf=[]),
    lambda d: d["keyslots"]["0"].update(key_size=1.5),
    lambda d: d["tokens"].update({"1": {"type": 7, "keyslots": []}}),
    lambda d: d["tokens"].update({"1": {"type": "a", "keyslots": "00"}}),
]


@pytest.mark.parametrize("number", range(len(BREAKAGES)))
def test_json_not_as_specified_is_damage(tmp_path: Path, number: int) -> None:
    document = luks_image.document()
    BREAKAGES[number](document)
    disk = luks_image.write(tmp_path / "disk", primary=luks_image.header_copy(document))
    found = header.read(disk).header
    assert found is not None and found.primary is CopyState.DAMAGED


@pytest.mark.parametrize("copy", [
    luks_image.header_copy(algorithm=b"rot13"),
    luks_image.header_copy(offset=0x8000).replace(b"SKUL", b"LUKS", 1),
    luks_image.header_copy(b"[" * 100_000, size=0x20000),
    luks_image.header_copy(b'{"config":{"json_size":' + b"9" * 5000 + b"}}"),
    luks_image.header_copy(b"{}\0x"),
    luks_image.header_copy(b"{" + b" " * (0x4000 - 4097)),
])  # fmt: skip
def test_hostile_copy_is_damage(tmp_path: Path, copy: bytes) -> None:
    reading = header.read(luks_image.write(tmp_path / "disk", primary=copy, secondary=b"", size=0x40000))
    assert (reading.presence, reading.header) == (Presence.PRESENT, None)
    assert "primary copy damaged" in reading.error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
paths = st.sampled_from([
    ("keyslots",), ("keyslots", "0"), ("keyslots", "0", "kdf"), ("keyslots", "0", "kdf", "iterations"), ("tokens",),
    ("tokens", "0"), ("tokens", "0", "keyslots"), ("segments",), ("segments", "0"), ("segments", "0", "flags"),
    ("segments", "0", "encryption"), ("segments", "0", "sector_size"), ("digests",), ("digests", "0", "keyslots"),
    ("config", "flags"), ("config", "requirements"),
])  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(where=paths, value=json_values)
def test_any_json_is_survived(tmp_path: Path, where: tuple[str, ...], value: object) -> None:
    document = luks_image.document()
    inner = document
    for word in where[:-1]:
        inner = inner[word]
    inner[where[-1]] = value
    (tmp_path / "disk").write_bytes(luks_image.header_copy(document) + luks_image.header_copy(offset=0x4000))
    found = header.read(tmp_path / "disk").header
    assert found is not None and found.secondary in (CopyState.VALID, CopyState.STALE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(offset=st.integers(0, 0x4000 - 1), bits=st.integers(1, 255))
def test_any_damaged_byte_is_noticed(tmp_path: Path, offset: int, bits: int) -> None:
    good = luks_image.header_copy()
    bad = good[:offset] + bytes([good[offset] ^ bits]) + good[offset + 1 :]
    (tmp_path / "disk").write_bytes(bad + luks_image.header_copy(offset=0x4000))
    found = header.read(tmp_path / "disk").header
    unused = 448 + 32 <= offset < 512  # behind a SHA-256 checksum, which does not cover its own field
    assert found is not None and (found.primary is CopyState.VALID) == unused


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(garbage=st.binary(max_size=600))
def test_garbage_behind_the_magic_is_survived(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "disk").write_bytes((b"LUKS\xba\xbe\x00\x02" + garbage).ljust(0x5000, b"\0"))
    assert header.read(tmp_path / "disk").header is None


def test_what_cryptsetup_writes(tmp_path: Path) -> None:
    assert shutil.which("cryptsetup"), "cryptsetup-bin belongs to the test requirements"
    disk = tmp_path / "disk"
    with disk.open("wb") as image:
        image.truncate(32 * 1024 * 1024)
    subprocess.run(
        [
            "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--key-file", "-", "--pbkdf", "pbkdf2",
            "--pbkdf-force-iterations", "1000", "--label", "volward-pg", "--subsystem", "volward",
            "--uuid", luks_image.UUID, "--sector-size", "4096", "--key-size", "512", disk,
        ],
        input=b"key", check=True, capture_output=True,
    )  # fmt: skip
    found = header.read(disk).header
    assert found is not None and not found.damaged
    assert (found.uuid, found.label, found.subsystem) == (luks_image.UUID, "volward-pg", "volward")
    assert (found.cipher, found.key_bits, found.sector_size_bytes) == ("aes-xts-plain64", 512, 4096)
    assert [(k.kdf, k.iterations) for k in found.keyslots] == [("pbkdf2", 1000)]


@pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")
@pytest.mark.parametrize(
    ("flags", "cut"), [(["in-reencryption"], True), (["backup-final", "in-reencryption"], False), ([], False)]
)
def test_a_reencryption_that_was_killed_in_a_hot_zone_is_told(tmp_path: Path, flags: list[str], cut: bool) -> None:
    """As cryptsetup goes by it: a segment of what is there now has the flag."""
    document = luks_image.document()
    document["segments"]["1"] = {**document["segments"]["0"], "offset": "17825792", "flags": flags}
    document["config"]["requirements"] = {"mandatory": ["online-reencrypt-v2"]}
    image = luks_image.write(
        tmp_path / "disk",
        primary=luks_image.header_copy(document),
        secondary=luks_image.header_copy(document, offset=0x4000),
    )
    found = header.read(image).header
    assert found is not None
    assert found.cut_in_hot_zone is cut


def test_in_the_middle_of_a_reencryption_there_is_no_one_volume_key(tmp_path: Path) -> None:
    """Begun by the real tool; one key for each keyslot comes on standard input, a line each, and the tokens follow."""
    disk, keys = tmp_path / "disk", [tmp_path / "first", tmp_path / "second"]
    with disk.open("wb") as image:
        image.truncate(64 * 1024 * 1024)
    for number, path in enumerate(keys):
        path.write_bytes(bytes([number]) * 64)
    fast = ("--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    run = partial(subprocess.run, check=True, capture_output=True)
    run(["cryptsetup", "luksFormat", "--type", "luks2", *fast, "--key-file", keys[0], disk])
    run(["cryptsetup", "luksAddKey", *fast, "--key-file", keys[0], disk, keys[1]])
    run(["cryptsetup", "token", "import", disk], input=b'{"type": "volward", "keyslots": ["1"]}')
    before = header.read(disk).header
    assert before is not None
    assert before.volume_key_digest and not before.reencrypting

    run(["cryptsetup", "reencrypt", "--batch-mode", "--init-only", disk], input=bytes(64) + b"\n" + bytes([1]) * 64)

    within = header.read(disk).header
    assert within is not None
    assert (
        within.volume_key_digest == before.volume_key_digest or not within.volume_key_digest
    ) and within.reencrypting
    assert [token.keyslots for token in within.tokens] == [(1, 3)]
    assert sum(keyslot.kdf == "pbkdf2" for keyslot in within.keyslots) == 4
