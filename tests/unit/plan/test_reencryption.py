"""A new volume key: each keyslot's fate, what is refused, and what is left of one that was cut."""

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.unit import builders
from tests.unit.builders import DEVICE, FILE_SPEC, FRESH_HEADER, OPEN, PERFECT, SPEC, keyslot

from volward.errors import (
    BusyError,
    ConfirmationError,
    DamagedHeaderError,
    DeviceBusyError,
    KeyRejectedError,
    MappingError,
    NoOpenerError,
    VolwardError,
)
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef
from volward.model import (
    AnnouncedKeyslot,
    Device,
    Fate,
    Header,
    Mapping,
    MappingState,
    Observation,
    ProviderKind,
    Reencryption,
    Step,
    StoreKind,
    Token,
    VolumeSpec,
)
from volward.plan.reencryption import has_begun, plan_reencryption, plan_rest, refuse_unasked, refuse_use

CREDENTIAL, RECOVERY, TPM2, VAULT = (
    ProviderKind.CREDENTIAL,
    ProviderKind.RECOVERY,
    ProviderKind.TPM2,
    ProviderKind.VAULT,
)


def token(number: int, kind: ProviderKind, *keyslots: int, retired: int | None = None) -> Token:
    ref = KeyRef(kind, "volward.pgdata", number + 1)
    body = json.loads(header_token.build(HeaderToken("pgdata", ref, keyslots, retired=retired)))
    return Token(number, "volward", keyslots, MappingProxyType(body))


def tpm2(number: int, *keyslots: int, **fields: object) -> Token:
    return Token(number, "systemd-tpm2", keyslots, MappingProxyType({"type": "systemd-tpm2", **fields}))


def header(*tokens: Token, slots: int = 0, **more: object) -> Header:
    numbers = range(slots or 1 + max(number for one in tokens for number in one.keyslots))
    made = replace(FRESH_HEADER, keyslots=tuple(map(keyslot, numbers)), tokens=tokens, volume_key_digest="old")
    return replace(made, **more)  # type: ignore[arg-type]


USUAL = header(token(0, CREDENTIAL, 0), token(1, RECOVERY, 1), tpm2(2, 2))


WITH_TPM = replace(SPEC, providers=(CREDENTIAL, TPM2))


def closed(present: Header) -> Observation:
    return replace(builders.AT_BOOT, header=present)


def fates(present: Header, *, typed: bool = True) -> dict[int, Fate]:
    plan = plan_reencryption(WITH_TPM, closed(present), online=False, typed=typed)
    return {one.keyslot: one.fate for one in plan.fates}


def test_keys_at_hand_are_carried_over_and_the_tpm_comes_back() -> None:
    plan = plan_reencryption(WITH_TPM, closed(USUAL), online=False, typed=True)
    assert [one.fate for one in plan.fates] == [Fate.CARRIED, Fate.CARRIED, Fate.ENROLLED_ANEW]
    assert [action.name for action in plan.actions] == ["leave-keyslot:2", "reencrypt", "enrol-tpm2:tpm2"]
    assert plan.reencryption == Reencryption("old", False, (2,), (0, 1), True)
    assert plan.destructive
    assert "while it is closed" in plan.actions[1].what
    unwanted = plan_reencryption(SPEC, closed(USUAL), online=False, typed=True)
    assert [one.fate for one in unwanted.fates] == [Fate.CARRIED, Fate.CARRIED, Fate.REMOVED]
    assert [action.name for action in unwanted.actions] == ["leave-keyslot:2", "reencrypt"]


def test_what_nobody_can_show_is_left_behind() -> None:
    present = header(
        token(0, CREDENTIAL, 0),
        token(1, VAULT, 1),
        token(2, VAULT, 2, retired=7),
        token(3, RECOVERY, 3),
        tpm2(4, 4, **{"tpm2-pin": True}),
        Token(5, "systemd-recovery", (5,), MappingProxyType({"type": "systemd-recovery"})),
        Token(6, "clevis", (6,), MappingProxyType({"type": "clevis"})),
        slots=8,
    )
    away = {2: Fate.REMOVED, 4: Fate.REMOVED, 6: Fate.REMOVED, 7: Fate.REMOVED}
    assert fates(present) == {0: Fate.CARRIED, 1: Fate.CARRIED, 3: Fate.CARRIED, 5: Fate.CARRIED, **away}
    plan = plan_reencryption(SPEC, closed(present), online=False, typed=True)
    assert [one.opened_by for one in plan.fates][6:] == ["clevis", "no token names it"]
    assert Step.ENROL_TPM2 not in [action.step for action in plan.actions]


def test_a_keyslot_that_two_tokens_name_is_not_taken_for_one_of_ours() -> None:
    present = header(token(0, CREDENTIAL, 0), token(1, VAULT, 0, 1), token(2, VAULT, 2), token(3, RECOVERY, 3))
    assert fates(present)[0] is Fate.REMOVED


@pytest.mark.parametrize(
    "key", [token(3, RECOVERY, 3), Token(3, "systemd-recovery", (3,), MappingProxyType({"type": "systemd-recovery"}))]
)
def test_no_recovery_key_goes_because_nobody_is_there_to_type_it(key: Token) -> None:
    present = header(token(0, CREDENTIAL, 0), token(1, VAULT, 1), key, token(2, ProviderKind.PROMPT, 2))
    with pytest.raises(NoOpenerError, match="The recovery key of pgdata would be gone") as caught:
        fates(present, typed=False)
    assert "`--recovery-vault` or `--recovery-fd N` hands a new recovery key over" in caught.value.resolution
    without = header(token(0, CREDENTIAL, 0), token(1, VAULT, 1), token(2, ProviderKind.PROMPT, 2))
    assert fates(without, typed=False) == {0: Fate.CARRIED, 1: Fate.CARRIED, 2: Fate.REMOVED}


def test_two_keys_have_to_be_at_hand() -> None:
    with pytest.raises(NoOpenerError, match=r"1 key of pgdata can be shown.*On a terminal"):
        fates(USUAL, typed=False)
    with pytest.raises(NoOpenerError, match="1 key of pgdata can be shown, and two are needed while") as caught:
        fates(header(token(0, CREDENTIAL, 0), tpm2(1, 1)))
    assert "On a terminal" not in str(caught.value)


SYSTEMD_RECOVERY = Token(3, "systemd-recovery", (3,), MappingProxyType({"type": "systemd-recovery"}))


@pytest.mark.parametrize("typed", [False, True])
def test_a_new_recovery_key_replaces_those_that_there_are(typed: bool) -> None:
    present = header(*USUAL.tokens, SYSTEMD_RECOVERY, token(4, RECOVERY, 4, retired=7))
    plan = plan_reencryption(WITH_TPM, closed(present), online=False, typed=typed, new_recovery=True)
    assert [one.fate for one in plan.fates] == [
        Fate.CARRIED, Fate.REPLACED, Fate.ENROLLED_ANEW, Fate.REPLACED, Fate.REPLACED,
    ]  # fmt: skip
    names = [action.name for action in plan.actions]
    left = [f"leave-keyslot:{number}" for number in (1, 2, 3, 4)]
    assert names == ["enrol-recovery:recovery", *left, "reencrypt", "enrol-tpm2:tpm2"], "before any keyslot goes"
    assert plan.actions[1].reason == "the new recovery key takes its place"
    assert plan.actions[2].reason.startswith("its key is not at hand")
    assert plan.reencryption == Reencryption("old", False, (1, 2, 3, 4), (0,), True, True)
    assert plan.destructive


def test_a_new_recovery_key_is_one_of_the_two_keys() -> None:
    alone = header(token(0, CREDENTIAL, 0))
    with pytest.raises(NoOpenerError, match="1 key of pgdata") as caught:
        fates(alone)
    assert "`--recovery-fd N` hands a new recovery key over" in caught.value.resolution
    plan = plan_reencryption(SPEC, closed(alone), online=False, typed=False, new_recovery=True)
    assert [action.name for action in plan.actions] == ["enrol-recovery:recovery", "reencrypt"]
    nothing = header(tpm2(0, 0))
    with pytest.raises(NoOpenerError, match="1 key of pgdata") as caught:
        plan_reencryption(WITH_TPM, closed(nothing), online=False, typed=False, new_recovery=True)
    assert "--recovery-fd" not in caught.value.resolution


def test_a_new_recovery_key_needs_a_keyslot() -> None:
    full = header(token(0, CREDENTIAL, 0), slots=32)
    with pytest.raises(KeyRejectedError, match="All 32 keyslots of pgdata are in use"):
        plan_reencryption(SPEC, closed(full), online=False, typed=False, new_recovery=True)


def test_what_one_that_was_cut_left_goes_by_its_journal() -> None:
    """Its recovery key was handed over, and the keyslot has no token: nobody is told that the key counts."""
    written = AnnouncedKeyslot(3, "argon2id", 4, 65535, 4)
    orphan = replace(keyslot(3), kdf="argon2id", kdf_hash="", iterations=4, memory_kib=65535, lanes=4)
    present = replace(USUAL, keyslots=(*USUAL.keyslots, orphan))
    seen = replace(closed(present), announced=(written,))
    plan = plan_reencryption(SPEC, seen, online=False, typed=False, new_recovery=True)
    assert [action.name for action in plan.actions][:2] == ["remove-keyslot:3", "enrol-recovery:recovery"]
    assert plan.reencryption is not None
    assert plan.reencryption.left == (1, 2)
    done = replace(present, volume_key_digest="new")
    rest = plan_rest(SPEC, replace(seen, header=done), done, WISH)
    assert [action.name for action in rest.actions] == ["remove-keyslot:3"]


def test_each_keyslot_needs_another_one_meanwhile() -> None:
    many = header(*(token(number, VAULT, number) for number in range(16)))
    with pytest.raises(NoOpenerError, match="16 keyslots to carry over"):
        fates(many)


def test_a_volume_in_use() -> None:
    present = replace(PERFECT, header=USUAL)
    with pytest.raises(BusyError, match="pgdata is open"):
        plan_reencryption(SPEC, present, online=False, typed=True)
    plan = plan_reencryption(SPEC, present, online=True, typed=True)
    assert plan.reencryption is not None
    assert plan.reencryption.online
    assert "while it is in use" in plan.actions[1].what
    offline = plan_reencryption(SPEC, closed(USUAL), online=True, typed=True)
    assert offline.reencryption is not None
    assert not offline.reencryption.online


def test_scratch_has_another_one_at_each_boot() -> None:
    plan = plan_reencryption(replace(SPEC, store=StoreKind.SCRATCH), PERFECT, online=False, typed=True)
    assert plan.nothing_because == "its volume key is new at each boot"


def test_not_in_the_middle_of_another_one() -> None:
    with pytest.raises(DamagedHeaderError, match="unfinished re-encryption"):
        fates(replace(USUAL, requirements=("online-reencrypt-v2",)))


BY_HAND = ("loop0", "by-hand (dm-0)")
OWN = ("loop0", "volward-pgdata (dm-0)")
SUSPENDED = Mapping("volward-pgdata", MappingState.SUSPENDED, detail="It is suspended.")


@pytest.mark.parametrize(
    ("spec", "device", "mapping", "error", "words"),
    [
        (FILE_SPEC, replace(DEVICE, holders=BY_HAND), builders.CLOSED, DeviceBusyError, r"loop0, by-hand \(dm-0\)"),
        (FILE_SPEC, replace(DEVICE, holders=(*OWN, "loop1", "by-hand (dm-1)")), OPEN, DeviceBusyError, "by-hand"),
        (SPEC, replace(DEVICE, holders=("volward-pgdata (dm-0)", "by-hand (dm-1)")), OPEN, DeviceBusyError, "by-hand"),
        (SPEC, replace(DEVICE, holders=("by-hand (dm-0)",)), OPEN, DeviceBusyError, "by-hand"),
        (SPEC, replace(DEVICE, mounted_at=(Path("/mnt"),)), builders.CLOSED, DeviceBusyError, "mounted at /mnt"),
        (FILE_SPEC, replace(DEVICE, swap=True), builders.CLOSED, DeviceBusyError, "in use as swap"),
        (SPEC, DEVICE, SUSPENDED, MappingError, "Never `dmsetup resume` it: reboot"),
    ],
)
@pytest.mark.parametrize("resumed", [False, True])
def test_what_would_be_destroyed_underneath_is_refused(
    *, spec: VolumeSpec, device: Device, mapping: Mapping, error: type[VolwardError], words: str, resumed: bool
) -> None:
    seen = replace(closed(USUAL), device=device, mapping=mapping)
    with pytest.raises(error, match=words):
        if resumed:
            there = replace(USUAL, requirements=("online-reencrypt-v2",))
            plan_rest(spec, seen, there, replace(WISH, online=True))
        else:
            plan_reencryption(spec, seen, online=True, typed=True)


@pytest.mark.parametrize(
    ("spec", "holders"),
    [(SPEC, ()), (SPEC, ("dm-0",)), (SPEC, OWN[1:]), (FILE_SPEC, OWN), (FILE_SPEC, (*OWN, "loop1"))],
)
def test_its_own_mapping_is_nobody_else(spec: VolumeSpec, holders: tuple[str, ...]) -> None:
    refuse_use(spec, replace(PERFECT, device=replace(DEVICE, holders=holders)), online=True)
    refuse_use(spec, replace(PERFECT, device=None), online=True)


def test_one_that_is_complete_may_be_open() -> None:
    done = replace(USUAL, volume_key_digest="new")
    assert plan_rest(SPEC, replace(PERFECT, header=done), done, WISH).actions == ()
    begun = replace(USUAL, requirements=("online-reencrypt-v2",))
    with pytest.raises(BusyError, match="pgdata is open"):
        plan_rest(SPEC, replace(PERFECT, header=begun), begun, WISH)


WISH = Reencryption("old", False, (2,), (0, 1), True)


@pytest.mark.parametrize(
    ("present", "steps"),
    [
        (replace(USUAL, requirements=("online-reencrypt-v2",)), ["reencrypt", "enrol-tpm2:tpm2"]),
        (header(token(0, CREDENTIAL, 3), volume_key_digest="new"), ["enrol-tpm2:tpm2"]),
        (replace(USUAL, volume_key_digest="new"), []),
    ],
    ids=["in the middle", "the TPM is missing", "done"],
)
def test_what_is_left_of_one_that_was_cut(present: Header, steps: list[str]) -> None:
    plan = plan_rest(WITH_TPM, closed(present), present, WISH)
    assert [action.name for action in plan.actions] == steps
    assert plan.resumes
    assert not plan.destructive
    assert plan.reencryption == WISH
    unwanted = plan_rest(SPEC, closed(present), present, WISH)
    assert [action.name for action in unwanted.actions] == steps[: steps.count("reencrypt")]


def test_whether_it_has_begun() -> None:
    assert not has_begun(USUAL, WISH)
    assert has_begun(replace(USUAL, requirements=("online-reencrypt-v2",)), WISH)
    assert has_begun(replace(USUAL, volume_key_digest="new"), WISH)


def test_a_removal_that_was_not_shown() -> None:
    shown = plan_reencryption(WITH_TPM, closed(USUAL), online=False, typed=True)
    refuse_unasked(shown, shown)
    since = header(*USUAL.tokens, Token(3, "clevis", (3,), MappingProxyType({"type": "clevis"})))
    plan = plan_reencryption(WITH_TPM, closed(since), online=False, typed=True)
    with pytest.raises(ConfirmationError, match=r"keyslot 3 \(clevis\), and that was not confirmed"):
        refuse_unasked(plan, shown)
    refuse_unasked(plan_rest(WITH_TPM, closed(since), replace(since, volume_key_digest="new"), WISH), shown)


def test_one_that_was_killed_when_all_data_were_done_wants_its_header_alone() -> None:
    there = replace(USUAL, requirements=("online-reencrypt-v2",), cut_at_the_end=True)
    plan = plan_rest(WITH_TPM, closed(there), there, WISH)
    assert [one.step for one in plan.actions] == [Step.END_REENCRYPTION, Step.ENROL_TPM2]
    assert not plan.destructive
    plan = plan_rest(WITH_TPM, replace(closed(there), mapping=OPEN), there, replace(WISH, enrol_tpm2=False))
    assert [one.step for one in plan.actions] == [Step.END_REENCRYPTION], "open or closed: no data are touched"
