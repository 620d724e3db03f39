"""The records that are more than fields: what an identity compares, what counts as left by a cut format."""

from dataclasses import replace

import pytest
from tests.unit.builders import HEADER, IDENTITY, MOUNT, SPEC, TO_FORMAT, token, unfinished

from volward.model import (
    IDENTITY_FIELDS,
    MIB,
    Action,
    CopyState,
    DeviceClass,
    Finding,
    Identity,
    Plan,
    ProviderKind,
    Step,
    Token,
)

FULL = {"serial": "a", "wwn": "b", "partition": "1@2048", "dm_uuid": "c", "md_uuid": "d", "path": "/e"}


@pytest.mark.parametrize("device_class", DeviceClass)
def test_exactly_the_fields_of_the_class_count(device_class: DeviceClass) -> None:
    pinned = Identity(device_class, 4 * MIB, **FULL)
    changed = Identity(device_class, 8 * MIB, **{name: f"{value}x" for name, value in FULL.items()})

    told = tuple(difference.partition(":")[0] for difference in changed.differences(pinned))

    assert told == IDENTITY_FIELDS[device_class]
    assert pinned.differences(pinned) == ()


@pytest.mark.parametrize(
    ("found", "pinned", "expected"),
    [
        (IDENTITY, replace(IDENTITY, serial=""), ()),  # not known when pinned
        (replace(IDENTITY, serial=""), IDENTITY, ("serial: pinned PG1, found none",)),
        (replace(IDENTITY, device_class=DeviceClass.LOOP), IDENTITY, ("class: pinned disk, found loop",)),
    ],
)
def test_what_was_unknown_when_pinned_does_not_count(
    found: Identity, pinned: Identity, expected: tuple[str, ...]
) -> None:
    assert found.differences(pinned) == expected


@pytest.mark.parametrize(
    ("identity", "typed"),
    [
        (IDENTITY, "PG1"),
        (Identity(DeviceClass.FILE, 1024, path="/a.img"), "1024 /a.img"),
        (Identity(DeviceClass.LOGICAL_VOLUME, 1024, dm_uuid="LVM-x"), "1024 LVM-x"),
        (Identity(DeviceClass.MD, 1024, md_uuid="m"), "1024 m"),
        (Identity(DeviceClass.DISK, 1024), "1024"),
    ],
)
def test_what_an_owner_types_is_never_empty(identity: Identity, typed: str) -> None:
    assert identity.typed_confirmation == typed


@pytest.mark.parametrize(
    ("what", "offset_bytes", "ours"),
    [
        ("LUKS2 header (primary)", 0, True),
        ("LUKS2 header (secondary)", 16384, True),
        ("LUKS header", 0, True),
        ("data", 32768, True),
        ("LUKS1 header", 0, False),
        ("data", 0, False),
        ("data", 4095, False),
        ("data", 16 * MIB, False),
        ("LUKS2 header (secondary)", 16 * MIB, False),
        ("ext4 file system", 1080, False),
        ("MBR partition table", 510, False),
    ],
)
def test_a_cut_format_leaves_luks2_remains_and_noise_behind_them(what: str, offset_bytes: int, ours: bool) -> None:
    assert Finding(what, offset_bytes).left_by_luks_format is ours


@pytest.mark.parametrize(
    ("token", "provider", "confirmed"),
    [
        (token("credential", 0), "credential", False),
        (token("recovery", 1), "recovery", False),
        (token("recovery", 1, confirmed=True), "recovery", True),
        (token("credential", 1, confirmed=True), "credential", False),
        (Token(0, "systemd-tpm2", (0,), {"volward": {"provider": "recovery", "confirmed": True}}), "", False),
        (Token(0, "volward", (0,)), "", False),
        (Token(0, "volward", (0,), {"volward": "recovery"}), "", False),
        (Token(0, "volward", (0,), {"volward": {"provider": "recovery", "confirmed": "yes"}}), "recovery", False),
    ],
)
def test_a_token_says_whose_key_it_is_only_in_our_own_form(token: Token, provider: str, confirmed: bool) -> None:
    assert (token.provider, token.confirmed_recovery) == (provider, confirmed)


def test_a_header_finds_its_tokens_and_knows_damage() -> None:
    assert HEADER.token_of(1, "volward") is HEADER.tokens[1]
    assert HEADER.token_of(0, "clevis") is None
    assert not HEADER.damaged
    assert replace(HEADER, secondary=CopyState.STALE).damaged


def test_small_words() -> None:
    assert str(SPEC.mapping_path) == "/dev/mapper/volward-pgdata"
    assert not MOUNT.read_only
    assert Action(Step.PIN, "", "").name == "pin"
    assert Action(Step.ENROL_KEY, "", "", provider=ProviderKind.PROMPT).name == "enrol-key:prompt"
    assert Plan("a", (Action(Step.FORMAT, "", "", destructive=True),)).destructive
    assert not Plan("a", (Action(Step.OPEN, "", ""),)).destructive


@pytest.mark.parametrize(
    ("done", "begun", "cut"),
    [
        (TO_FORMAT[:2], (), False),
        (TO_FORMAT[:2], ("format",), True),
        (TO_FORMAT[:2], ("format", "pin"), True),
        (TO_FORMAT, ("open",), False),
    ],
)
def test_a_format_is_cut_from_its_beginning_to_its_end(
    done: tuple[str, ...], begun: tuple[str, ...], cut: bool
) -> None:
    assert unfinished(done, *begun).format_was_cut is cut
