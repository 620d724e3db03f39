"""Which key gets a successor, when, and what becomes of each keyslot."""

import json
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import (
    FRESH_HEADER,
    HEADER,
    IDENTITY,
    OTHER_IDENTITY,
    OTHER_UUID,
    PERFECT,
    SCRATCH,
    SPEC,
    keyslot,
    unfinished,
)

from volward.errors import (
    DamagedHeaderError,
    DeviceNotFoundError,
    DuplicateUuidError,
    ForeignHeaderError,
    IdentityError,
    KeyRejectedError,
    NotEnrolledError,
    NoWayBackError,
    UnfinishedOperationError,
    VolwardError,
)
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef
from volward.model import (
    AnnouncedKeyslot,
    Fate,
    Header,
    Observation,
    Pin,
    Presence,
    ProviderKind,
    Rotation,
    RotationPlan,
    Token,
    VolumeSpec,
)
from volward.plan.rotation import Wish, overdue_keyslots, plan_rotation
from volward.plan.rotation_steps import steps_back, steps_left, steps_of, successors

CREDENTIAL, PROMPT, RECOVERY, TPM2 = (
    ProviderKind.CREDENTIAL, ProviderKind.PROMPT, ProviderKind.RECOVERY, ProviderKind.TPM2,
)  # fmt: skip
DAY = 24 * 3600
NOW = 1_700_000_000
WANTED = replace(SPEC, providers=(CREDENTIAL, TPM2))


def own(
    kind: ProviderKind, number: int, *, version: int = 1, age: int | None = 12, retired: int | None = None
) -> Token:
    """A token of volward; ages are days."""
    content = HeaderToken(
        "pgdata",
        KeyRef(kind, f"volward.{kind}", version),
        (number,),
        created=None if age is None else NOW - age * DAY,
        retired=None if retired is None else NOW - retired * DAY,
    )
    return as_token(header_token.build(content), number)


def as_token(text: str, number: int) -> Token:
    fields = json.loads(text)
    return Token(number, fields["type"], tuple(map(int, fields["keyslots"])), MappingProxyType(fields))


def tpm(number: int, **more: object) -> Token:
    return Token(number, "systemd-tpm2", (number,), MappingProxyType({"type": "systemd-tpm2", **more}))


def with_tokens(*tokens: Token, keyslots: tuple[int, ...] | None = None) -> Header:
    numbers = sorted({number for token in tokens for number in token.keyslots}) if keyslots is None else keyslots
    return replace(HEADER, tokens=tokens, keyslots=tuple(map(keyslot, numbers)))


def seen(*tokens: Token) -> Observation:
    return replace(PERFECT, header=with_tokens(*tokens))


def due(*tokens: Token, spec: VolumeSpec = WANTED) -> RotationPlan:
    return plan_rotation(spec, seen(*tokens), Wish(due=True), NOW)


def names(plan: RotationPlan) -> list[str]:
    return [action.name for action in plan.actions]


def fates(plan: RotationPlan) -> dict[int, tuple[str, Fate]]:
    return {one.keyslot: (one.opened_by, one.fate) for one in plan.fates}


FRESH, OLD = own(CREDENTIAL, 0), own(CREDENTIAL, 0, age=90)


# --- what is due ------------------------------------------------------------------------------------------


def test_a_young_key_is_left_and_the_days_are_told() -> None:
    plan = due(FRESH, own(RECOVERY, 1, age=900))
    assert plan.actions == ()
    assert plan.nothing_because == "the key of credential is 12 days old and due in 78"


@pytest.mark.parametrize(
    ("age", "reason"),
    [(90, "is 90 days old, and 90 days are allowed"), (91, "is 91 days old"), (None, "the age of the key of cred")],
)
def test_an_old_key_gets_a_successor_and_so_does_one_of_unknown_age(age: int | None, reason: str) -> None:
    plan = due(own(CREDENTIAL, 0, age=age), own(RECOVERY, 1, age=None), tpm(2))
    assert names(plan) == [
        "create-successor:credential", "enrol-successor:credential", "describe-successor:credential",
        "retire-keyslot:0",
    ]  # fmt: skip
    assert reason in plan.actions[0].reason
    assert not plan.destructive
    assert fates(plan) == {
        0: ("credential", Fate.RETIRED), 1: ("recovery", Fate.STAYS), 2: ("tpm2", Fate.STAYS),
        3: ("credential", Fate.NEW),
    }  # fmt: skip
    assert plan.fates[0].until == NOW + 30 * DAY


def test_a_key_of_tomorrow_is_a_wrong_clock() -> None:
    assert "dated 3 days ahead (is the clock right?)" in due(own(CREDENTIAL, 0, age=-3)).nothing_because


def test_what_a_person_types_is_never_due() -> None:
    plan = due(own(PROMPT, 0, age=900), own(RECOVERY, 1, age=900), spec=replace(SPEC, providers=(PROMPT, TPM2)))
    assert plan.nothing_because == "none of its keys can be replaced without a person"


def test_a_configured_key_that_is_not_enrolled_is_not_due() -> None:
    assert due(own(RECOVERY, 1)).actions == ()


def test_a_retired_keyslot_goes_first_and_by_itself() -> None:
    plan = due(own(CREDENTIAL, 0, retired=30), own(CREDENTIAL, 1, version=2, age=95))
    assert names(plan) == ["revoke-keyslot:0"]
    assert plan.destructive
    (warning,) = plan.warnings
    assert warning.startswith("afterwards a new key, because the key of credential is 95 days old")
    assert fates(plan) == {0: ("credential", Fate.REMOVED), 1: ("credential", Fate.STAYS)}
    assert due(own(CREDENTIAL, 0, retired=30), own(CREDENTIAL, 1, version=2)).warnings == ()


def test_a_retired_keyslot_stays_until_its_grace_is_over() -> None:
    plan = due(own(CREDENTIAL, 0, retired=29), own(CREDENTIAL, 1, version=2))
    assert plan.actions == ()
    asked = plan_rotation(WANTED, seen(own(CREDENTIAL, 0, retired=29), own(CREDENTIAL, 1, version=2)), Wish(), NOW)
    assert asked.fates[0].until == NOW + DAY
    assert fates(asked)[1] == ("credential", Fate.RETIRED)


def test_a_keyslot_that_another_token_names_too_is_never_removed() -> None:
    both = (own(CREDENTIAL, 0, retired=99), replace(tpm(0), number=7))
    assert overdue_keyslots(WANTED, with_tokens(*both), NOW) == ()
    gone = own(CREDENTIAL, 0, retired=99)
    assert overdue_keyslots(WANTED, with_tokens(gone, keyslots=(1,)), NOW) == ()


@given(age=st.integers(0, 200), retired=st.integers(0, 60), maximum=st.integers(1, 150), grace=st.integers(1, 60))
def test_the_configuration_decides(age: int, retired: int, maximum: int, grace: int) -> None:
    profile = replace(SPEC.rotation, max_age_seconds=maximum * DAY, grace_seconds=grace * DAY)
    plan = due(
        own(CREDENTIAL, 0, retired=retired),
        own(CREDENTIAL, 1, version=2, age=age),
        spec=replace(WANTED, rotation=profile),
    )
    assert ("revoke-keyslot:0" in names(plan)) is (retired >= grace)
    wants = any(name.startswith("create") for name in names(plan)) or bool(plan.warnings)
    assert wants is (age >= maximum)
    assert bool(plan.actions) is not bool(plan.nothing_because)


# --- what is asked for ------------------------------------------------------------------------------------


def test_the_first_key_that_needs_no_person_is_rotated() -> None:
    plan = plan_rotation(replace(SPEC, providers=(TPM2, PROMPT, CREDENTIAL)), seen(FRESH, own(PROMPT, 1)), Wish(), NOW)
    assert plan.rotation == Rotation(CREDENTIAL, old=(0,))


def test_at_once_the_old_keyslot_goes() -> None:
    plan = plan_rotation(WANTED, seen(FRESH, tpm(1)), Wish(at_once=True), NOW)
    assert names(plan)[-1] == "revoke-keyslot:0"
    assert plan.destructive


def test_the_tpm_has_no_grace_and_what_its_owner_enrolled_otherwise_stays() -> None:
    plan = plan_rotation(WANTED, seen(FRESH, tpm(1), tpm(2, **{"tpm2-pin": True}), tpm(3, tpm2_pcrlock=True)),
                         Wish(TPM2), NOW)  # fmt: skip
    assert names(plan) == ["park-token:tpm2", "reenrol-tpm2:tpm2", "revoke-keyslot:1"]
    assert fates(plan)[2] == ("tpm2", Fate.STAYS)
    assert plan.rotation == Rotation(TPM2, old=(1,), at_once=True)


@pytest.mark.parametrize(
    ("wish", "advice"), [(Wish(), "--provider recovery"), (Wish(RECOVERY), "recovery enrol"), (Wish(TPM2), "apply")]
)
def test_what_is_not_enrolled_cannot_be_rotated(wish: Wish, advice: str) -> None:
    with pytest.raises(NotEnrolledError) as raised:
        plan_rotation(WANTED, seen(own(PROMPT, 0)), wish, NOW)
    assert advice in raised.value.resolution


@pytest.mark.parametrize(
    ("observation", "error"),
    [
        (replace(PERFECT, header=None, header_error="zeros"), DamagedHeaderError),
        (replace(PERFECT, header=replace(HEADER, requirements=("online-reencrypt-v2",))), DamagedHeaderError),
        (replace(PERFECT, same_uuid_elsewhere=("/dev/vdz",)), DuplicateUuidError),
        (replace(PERFECT, pin=None), ForeignHeaderError),
        (replace(PERFECT, pin=Pin(IDENTITY, OTHER_UUID)), ForeignHeaderError),
        (replace(PERFECT, unfinished=unfinished(())), UnfinishedOperationError),
        (replace(PERFECT, pin=Pin(OTHER_IDENTITY, HEADER.uuid)), IdentityError),
        (replace(PERFECT, header=with_tokens(FRESH, keyslots=tuple(range(32)))), KeyRejectedError),
    ],
)
def test_where_nothing_may_be_done(observation: Observation, error: type[VolwardError]) -> None:
    with pytest.raises(error):
        plan_rotation(WANTED, observation, Wish(), NOW)


def test_where_there_is_nothing_to_rotate() -> None:
    assert "new at each boot" in plan_rotation(SCRATCH, PERFECT, Wish(due=True), NOW).nothing_because
    new = replace(PERFECT, header=None, pin=None)
    assert "not provisioned" in plan_rotation(WANTED, new, Wish(due=True), NOW).nothing_because
    away = replace(seen(FRESH), device=None, device_presence=Presence.ABSENT, header=None)
    with pytest.raises(DeviceNotFoundError):
        plan_rotation(WANTED, away, Wish(due=True), NOW)


def test_a_keyslot_without_a_token_is_told() -> None:
    plan = plan_rotation(WANTED, replace(PERFECT, header=with_tokens(FRESH, keyslots=(0, 4))), Wish(), NOW)
    assert fates(plan)[4] == ("no token names it", Fate.STAYS)
    assert fates(plan)[1] == ("credential", Fate.NEW)


# --- what was cut -----------------------------------------------------------------------------------------

STORED = Rotation(CREDENTIAL, old=(0,), successor_name="volward.credential", successor_version=2)
TYPED = Rotation(RECOVERY, old=(1,))
OF_TPM = Rotation(TPM2, old=(1,), at_once=True)
ORPHAN = replace(keyslot(2), kdf_hash="sha512")
ANNOUNCED = (
    AnnouncedKeyslot(2, "pbkdf2", 1000, kdf_hash="sha512"),
    AnnouncedKeyslot(2, "pbkdf2", 1000),  # as with_tokens makes them
)


def with_orphan(*tokens: Token) -> Header:
    found = with_tokens(*tokens)
    return replace(found, keyslots=(*found.keyslots, ORPHAN))


def left(rotation: Rotation, header: Header) -> list[str]:
    return [action.name for action in steps_left(rotation, header, ANNOUNCED)]


def test_a_stored_key_takes_the_same_way_again() -> None:
    header = with_tokens(FRESH)
    assert left(STORED, header) == [action.name for action in steps_of(STORED, "")]
    assert left(Rotation(None, revoked=(0,)), header) == ["revoke-keyslot:0"]


def test_a_key_that_a_person_was_to_have_is_made_anew_unless_it_was_described() -> None:
    assert left(TYPED, with_orphan(FRESH, own(RECOVERY, 1)))[:2] == ["remove-keyslot:2", "create-successor:recovery"]
    assert left(TYPED, with_tokens(FRESH, own(RECOVERY, 1), own(RECOVERY, 2))) == ["retire-keyslot:1"]


def test_the_tpm_is_enrolled_where_it_was_not() -> None:
    parked = as_token(header_token.park(replace(tpm(1), keyslots=(1,))), 1)
    assert left(OF_TPM, with_tokens(FRESH, tpm(1))) == ["park-token:tpm2", "reenrol-tpm2:tpm2", "revoke-keyslot:1"]
    assert left(OF_TPM, with_orphan(FRESH, parked)) == ["remove-keyslot:2", "reenrol-tpm2:tpm2", "revoke-keyslot:1"]
    assert left(OF_TPM, with_tokens(FRESH, parked, tpm(2))) == ["reenrol-tpm2:tpm2", "revoke-keyslot:1"]


def back(rotation: Rotation, header: Header, *begun: str) -> list[str]:
    steps = steps_back(rotation, header, announced=ANNOUNCED, begun=begun, operation="rotate-pgdata-1")
    return [action.name for action in steps]


def test_giving_up_takes_everything_back() -> None:
    new = own(CREDENTIAL, 2, version=2)
    assert back(STORED, with_tokens(FRESH)) == ["reinstate-keyslot:0"]
    assert back(STORED, with_tokens(own(CREDENTIAL, 0, retired=0), new)) == ["reinstate-keyslot:0", "drop-successor:2"]
    assert back(STORED, with_orphan(FRESH)) == ["reinstate-keyslot:0", "drop-successor:2"]
    assert back(Rotation(None, revoked=(0,)), with_tokens(FRESH)) == []
    parked = as_token(header_token.park(replace(tpm(1), keyslots=(1,))), 1)
    assert back(OF_TPM, with_tokens(FRESH, parked, tpm(2))) == [
        "reinstate-keyslot:1", "drop-successor:2", "unpark-token:tpm2",
    ]  # fmt: skip


def test_there_is_no_way_back_once_the_old_keyslot_began_to_go() -> None:
    at_once = replace(STORED, at_once=True)
    assert back(at_once, with_tokens(FRESH), "create-successor:credential")
    with pytest.raises(NoWayBackError, match="only be finished"):
        back(at_once, with_tokens(FRESH), "revoke-keyslot:0")
    with pytest.raises(NoWayBackError, match="only be finished"):
        back(Rotation(None, revoked=(0, 1)), with_tokens(FRESH), "revoke-keyslot:1")  # a token without one may be left


def test_whose_the_new_keyslot_is() -> None:
    others = (own(CREDENTIAL, 3, version=3), own(CREDENTIAL, 4, version=2, retired=1), own(RECOVERY, 5))
    every = tuple(AnnouncedKeyslot(number, "pbkdf2", 1000) for number in range(32))
    assert successors(STORED, with_tokens(FRESH, own(CREDENTIAL, 2, version=2), *others), every) == (2,)
    assert successors(TYPED, with_tokens(FRESH, own(RECOVERY, 1), *others), every) == (5,)
    assert successors(STORED, replace(FRESH_HEADER, tokens=(own(CREDENTIAL, 9, version=2),)), every) == ()


def test_a_key_that_its_owner_enrolled_since_is_not_the_rotations() -> None:
    """The same provider, another keyslot than the announced one, or another cost in the same place."""
    since = with_tokens(FRESH, own(RECOVERY, 1), own(RECOVERY, 3))
    assert successors(TYPED, since, ANNOUNCED) == ()
    assert left(TYPED, since)[0] == "create-successor:recovery"
    assert back(TYPED, since) == ["reinstate-keyslot:1"]
    costly = with_tokens(FRESH, own(RECOVERY, 1), own(RECOVERY, 2))
    costly = replace(costly, keyslots=tuple(replace(one, iterations=4000) for one in costly.keyslots))
    assert successors(TYPED, costly, ANNOUNCED) == ()


@pytest.mark.parametrize("policy", ["tpm2-pin", "tpm2_pcrlock"])
def test_a_tpm_keyslot_with_a_policy_of_its_owners_is_not_the_rotations(policy: str) -> None:
    parked = as_token(header_token.park(replace(tpm(1), keyslots=(1,))), 1)
    for number in (2, 3):  # in the announced place as well: systemd-cryptenroll takes the lowest that is free
        since = with_tokens(FRESH, parked, tpm(number, **{policy: True}))
        assert successors(OF_TPM, since, ANNOUNCED) == ()
        assert back(OF_TPM, since) == ["reinstate-keyslot:1", "unpark-token:tpm2"]
    assert successors(OF_TPM, with_tokens(FRESH, parked, tpm(3)), ANNOUNCED) == (), "plain, and not announced"
