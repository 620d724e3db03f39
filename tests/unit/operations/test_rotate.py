"""Rotation as an operation: what it refuses, what it tells, and what stays when it fails."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.apply.machine import KEY
from tests.unit.builders import OTHER_IDENTITY, OTHER_UUID, UUID
from tests.unit.operations import rotation_world
from tests.unit.operations.rotation_world import (
    BIRTH,
    CREDENTIAL,
    DAY,
    FIRST_RECOVERY,
    RECOVERY,
    TPM2,
    WANTED,
    Cut,
    World,
    error_of,
)

from volward import journal, lock
from volward.apply import Work, apply
from volward.errors import (
    BugError,
    BusyError,
    ConfirmationError,
    DuplicateUuidError,
    IdentityError,
    InterruptedRunError,
    JournalError,
    KeyDeniedError,
    KeyExistsError,
    KeyRejectedError,
    NoOpenerError,
    NoTerminalError,
    ProviderUnavailableError,
    ToolTimeoutError,
    UnfinishedOperationError,
    UnknownOperationError,
    VerificationError,
    VolwardError,
)
from volward.host import cryptsetup
from volward.host.cryptsetup import Pbkdf2
from volward.keys import header_token, recovery_pair
from volward.keys.header_token import fingerprint
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import (
    Action,
    Observation,
    Pin,
    ProviderKind,
    Rotation,
    Step,
    VaultLogin,
    VaultLoginMethod,
    VaultPlace,
    VaultServer,
)
from volward.operations import header_backup, login_life, proof, rotate, unrotate
from volward.operations.rotate import Pass
from volward.operations.watcher import Watcher
from volward.plan.rotation import Wish
from volward.secret import SecretBytes

world = rotation_world.world
ANY = Wish()


def outcomes() -> list[str | None]:
    return [record.outcome for record in journal.every()]


def run(world: World, wish: Wish = ANY, **more: object) -> rotate.Rotated:
    options = {"recovery": world.owner, "watcher": Watcher(), "approved": set(), "deadline_seconds": 0.0} | more
    return rotate.rotate([WANTED], Pass(wish, clock=lambda: world.now, **options))[0]  # type: ignore[arg-type]


# --- the way it goes --------------------------------------------------------------------------------------


def test_a_new_key_takes_over_and_the_old_one_opens_until_its_grace_is_over(world: World) -> None:
    done = world.rotate()
    assert done is not None
    assert (done.error, done.remarks, done.resumed) == (None, (), "")
    assert world.picture() == {
        0: ("credential", BIRTH),
        1: ("recovery", None),
        2: ("tpm2", None),
        3: ("credential", None),
    }
    assert world.machine.slots[0] == KEY
    assert outcomes() == ["done"]
    (purpose,) = world.machine.purposes
    assert (purpose.volume, purpose.reason, purpose.device) == ("pgdata", "rotation", "PG1")
    assert (purpose.luks_uuid, purpose.versions) == (UUID, 4)
    assert {(one.provider, one.version) for one in purpose.beside} == {(CREDENTIAL, 1), (RECOVERY, 1)}
    world.now += 30 * DAY
    ended = world.rotate(due=True)
    assert ended is not None
    assert [plan.rotation.revoked for plan in ended.plans if plan.rotation] == [(0,)]
    assert sorted(world.picture()) == [1, 2, 3]
    world.check_rest()


def test_a_key_that_an_earlier_rotation_retired_is_wrapped_anew_too(world: World) -> None:
    def rewrap(ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        return replace(ref, details={"ciphertext": f"vault:v{world.now}:new"})

    world.rotate()
    world.machine.sources[CREDENTIAL].rewrap = rewrap  # type: ignore[attr-defined]
    born, world.now = world.now, world.now + DAY
    world.rotate()
    _, *retired = header_token.of_provider(world.machine.present, CREDENTIAL)
    assert {one.retired for one in retired} == {born, world.now}, "and the dates stay"
    assert {one.ref.details["ciphertext"] for one in retired} == {f"vault:v{world.now}:new"}
    world.check_rest()


@pytest.mark.parametrize("error", [None, KeyDeniedError("No policy says so.", resolution="Print it.")])
def test_a_retired_key_is_wrapped_anew_where_its_store_wraps_keys(world: World, error: VolwardError | None) -> None:
    def rewrap(ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        if error:
            raise error
        return replace(ref, details={"ciphertext": "vault:v2:new"})

    world.machine.sources[CREDENTIAL].rewrap = rewrap  # type: ignore[attr-defined]
    done = world.rotate()
    assert done is not None
    assert done.error is None
    present, retired = header_token.of_provider(world.machine.present, CREDENTIAL)
    assert retired.retired == BIRTH
    assert present.ref.details == {}
    if error:
        assert retired.ref.details == {}
        assert [remark for remark in done.remarks if "stays wrapped as it was: No policy says so." in remark]
    else:
        assert retired.ref.details == {"ciphertext": "vault:v2:new"}
        assert done.remarks == ()
    world.check_rest()


def test_what_is_due_is_revoked_and_rotated_in_one_run(world: World) -> None:
    world.rotate()
    world.now += 90 * DAY
    ended = world.rotate(due=True)
    assert ended is not None
    assert len(ended.plans) == 2
    assert world.picture() == {
        0: ("credential", None), 1: ("recovery", None), 2: ("tpm2", None), 3: ("credential", world.now),
    }  # fmt: skip
    calm = world.rotate(due=True)
    assert calm is not None
    assert calm.nothing_because == "the key of credential is 0 days old and due in 90"


def test_the_costly_keyslot_of_a_typed_key_is_not_tried_with_another_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_of(world.rotate()) is None
    real, tried = cryptsetup.test_key, set[int | None]()

    def test_key(node: Path, key: SecretBytes, *, keyslot: int | None) -> bool:
        tried.add(keyslot)
        return real(node, key, keyslot=keyslot)

    monkeypatch.setattr(cryptsetup, "test_key", test_key)
    assert error_of(world.rotate()) is None
    assert tried.isdisjoint({None, world.current(RECOVERY)}), tried


def test_a_look_changes_nothing_and_an_unfinished_one_is_named(world: World) -> None:
    looked = rotate.look(WANTED, Wish())
    assert looked.plan is not None
    assert (looked.resumes, looked.error) == ("", None)
    world.rotate(cut=20)
    again = rotate.look(WANTED, Wish(TPM2))
    assert again.resumes.startswith("rotate-pgdata-")
    assert again.plan is not None
    assert again.plan.rotation is not None
    assert again.plan.rotation.provider is CREDENTIAL


def test_a_key_that_an_abort_left_is_passed_over_and_that_is_said(world: World) -> None:
    world.rotate(cut=24)
    world.abort()
    assert 2 in world.machine.sources[CREDENTIAL].later
    done = world.rotate()
    assert done is not None
    assert any("credential:volward.pgdata.v2 is in its store" in text for text in done.remarks)
    assert sorted(world.machine.sources[CREDENTIAL].later) == [2, 3]


def test_the_wished_one_follows_one_that_was_cut(world: World) -> None:
    world.rotate(CREDENTIAL, cut=20)
    done = world.rotate(RECOVERY)
    assert done is not None
    assert (done.error, len(done.plans)) == (None, 2)
    assert world.picture()[1] == ("recovery", BIRTH)
    world.check_rest()


def test_whose_removal_was_not_shown_is_asked_for_again(world: World) -> None:
    world.rotate(RECOVERY, cut=20)
    done = world.rotate(CREDENTIAL, at_once=True)
    assert done is not None
    assert isinstance(done.error, ConfirmationError)
    assert f"{done.resumed} was finished, and nothing else was done." in str(done.error)
    assert 0 in world.machine.slots
    assert error_of(world.rotate(CREDENTIAL, at_once=True)) is None
    assert 0 not in world.machine.slots


def test_a_key_that_is_to_go_at_once_is_not_merely_retired(world: World) -> None:
    world.rotate(CREDENTIAL, cut=20)
    for kind in (None, CREDENTIAL):
        error = error_of(world.rotate(kind, at_once=True))
        assert isinstance(error, UnfinishedOperationError)
        assert "would only retire the key" in error.what
        assert rotate.look(WANTED, Wish(kind, at_once=True)).error is not None
    world.abort()
    assert error_of(world.rotate(at_once=True)) is None
    assert 0 not in world.machine.slots


# --- what it refuses --------------------------------------------------------------------------------------


def test_not_while_another_volward_works_on_it(world: World) -> None:
    with lock.held("pgdata"):
        assert isinstance(error_of(world.rotate()), BusyError)


def test_a_removal_that_was_not_confirmed(world: World) -> None:
    assert isinstance(run(world, Wish(at_once=True)).error, ConfirmationError)
    assert outcomes() == []


def test_a_recovery_key_that_nobody_could_see(world: World) -> None:
    assert isinstance(run(world, Wish(RECOVERY), recovery=None).error, NoTerminalError)
    assert outcomes() == []


def test_a_host_that_has_lost_its_key_gets_another_by_the_recovery_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.machine.sources[CREDENTIAL]
    world.machine.source(RECOVERY, FIRST_RECOVERY)
    read = store.read

    def here_no_more(ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        if ref.version == 1:
            raise KeyDeniedError("The PCRs have changed.", resolution="Seal it anew.")
        return read(ref, deadline_seconds=deadline_seconds)

    monkeypatch.setattr(store, "read", here_no_more)
    assert isinstance(run(world, Wish(CREDENTIAL)).error, NoOpenerError | KeyDeniedError)
    assert outcomes() == [], "there is nothing to abort first"
    done = run(world, Wish(CREDENTIAL), ask_recovery=True)
    assert done.error is None, done.error
    assert [provider for provider, retired in world.picture().values() if retired is None].count("credential") == 1


def test_header_backups_can_be_sealed_to_a_new_recovery_key(world: World) -> None:
    assert error_of(world.rotate(RECOVERY)) is None
    (new,) = [one for one in header_token.of_provider(world.machine.present, RECOVERY) if one.retired is None]
    assert recovery_pair.is_complete(new.ref.details)


def elsewhere(world: World, what: str) -> Observation:
    if what == "copy":
        return replace(world.seen, same_uuid_elsewhere=("/dev/vdz",))
    if what == "disk":
        return replace(world.seen, pin=Pin(OTHER_IDENTITY, world.machine.present.uuid))
    other = replace(world.machine.present, uuid=OTHER_UUID)
    return replace(world.seen, header=other, pin=Pin(world.machine.device.identity, OTHER_UUID))


@pytest.mark.parametrize(
    ("what", "error"),
    [("copy", DuplicateUuidError), ("disk", IdentityError), ("header", UnfinishedOperationError)],
)
def test_one_that_was_cut_goes_on_where_it_began_and_nowhere_else(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str, error: type[VolwardError]
) -> None:
    world.rotate(CREDENTIAL, cut=20)
    before, seen = dict(world.machine.slots), elsewhere(world, what)
    with monkeypatch.context() as meanwhile:
        for module in (rotate, unrotate):
            meanwhile.setattr(module, "observe", lambda spec: seen)
        assert isinstance(error_of(world.rotate()), error)
        if what == "header":
            assert world.abort() == (), "the numbers of another header mean nothing in this one"
            assert outcomes() == ["aborted"]
        else:
            with pytest.raises(error):
                world.abort()
            assert outcomes() == [None]
    assert world.machine.slots == before


def test_giving_up_reads_the_journal_under_the_lock(world: World) -> None:
    world.rotate(CREDENTIAL, cut=20)
    (record,) = journal.unfinished("pgdata")
    assert error_of(world.rotate()) is None
    before = world.picture()
    with pytest.raises(UnknownOperationError):
        unrotate.give_up(WANTED, record, deadline_seconds=0.0)
    assert world.picture() == before


def test_an_interrupted_one_is_left_to_be_resumed(world: World) -> None:
    class Impatient(Watcher):
        def interrupted(self) -> bool:
            return True

    assert isinstance(run(world, watcher=Impatient()).error, InterruptedRunError)
    assert outcomes() == [None]
    assert error_of(world.rotate()) is None


# --- what goes wrong --------------------------------------------------------------------------------------


def test_somebody_else_was_first_in_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.machine.sources[CREDENTIAL]
    monkeypatch.setattr(store, "refs", lambda volume, deadline_seconds: (store.first_ref(volume),))
    store.later[2] = b"of another host"
    error = error_of(world.rotate())
    assert isinstance(error, KeyExistsError)
    assert "Somebody else has just created credential:volward.pgdata.v2" in error.what
    assert store.later == {2: b"of another host"}
    assert outcomes() == ["no key was made"], "resumed, it would adopt a key of somebody else"
    world.check_rest()


@pytest.mark.parametrize("kind", [CREDENTIAL, TPM2])
def test_without_a_key_that_authorises_it_none_is_made(world: World, kind: ProviderKind) -> None:
    """Such as a version that was deleted in Vault: a new one beside it would open nothing."""
    store = world.machine.sources[CREDENTIAL]
    before, store.key = world.machine.present, None
    assert isinstance(error_of(world.rotate(kind)), NoOpenerError | KeyDeniedError)
    assert (store.later, store.adopted, world.machine.present, outcomes()) == ({}, [], before, [])
    store.key = KEY
    assert error_of(world.rotate(kind)) is None
    world.check_rest()


def test_without_a_free_keyslot_no_key_is_made(world: World) -> None:
    for number in range(3, 32):
        world.machine.add(number, b"somebody's", Pbkdf2())
    assert isinstance(error_of(world.rotate()), KeyRejectedError)
    assert (world.machine.sources[CREDENTIAL].later, outcomes()) == ({}, [])


def test_a_store_that_is_away_changes_nothing(world: World) -> None:
    store = world.machine.sources[CREDENTIAL]
    store.error = ProviderUnavailableError("Sealed.", resolution="Wait.")
    assert isinstance(error_of(world.rotate()), NoOpenerError)
    assert (store.adopted, outcomes()) == ([], [])
    store.error = None
    assert error_of(world.rotate()) is None
    world.check_rest()


def test_a_store_that_goes_away_while_it_makes_a_key_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.machine.sources[CREDENTIAL]

    def unclear(ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        raise ProviderUnavailableError("Sealed.", resolution="Wait.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "create", unclear)
        assert isinstance(error_of(world.rotate()), ProviderUnavailableError)
    assert outcomes() == [None], "it may be there"
    done = world.rotate()
    assert done is not None
    assert done.resumed
    world.check_rest()


def test_a_recovery_key_that_was_not_typed_back_is_nothing_to_resume(world: World) -> None:
    class Nobody:
        def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
            raise ConfirmationError("Not typed back.", resolution="Again.")

    assert isinstance(run(world, Wish(RECOVERY), recovery=Nobody()).error, ConfirmationError)
    assert outcomes() == ["no key was made"]
    world.check_rest()


@pytest.mark.parametrize("reason", ["enrol", "does not open"])
def test_the_tpm_s_token_is_put_back_when_it_cannot_be_enrolled(world: World, reason: str) -> None:
    opener = world.machine.opener
    if reason == "enrol":
        opener.enrol = lambda node, existing: (_ for _ in ()).throw(  # type: ignore[method-assign]
            ProviderUnavailableError("No TPM.", resolution="Wait.")
        )
    opener.works = reason == "enrol"
    assert isinstance(error_of(world.rotate(TPM2)), ProviderUnavailableError | KeyRejectedError)
    there = [token.keyslots for token in world.machine.present.tokens if token.type == "systemd-tpm2"]
    assert (2,) in there
    opener.works = True
    world.abort()
    assert sorted(world.picture()) == [0, 1, 2]
    world.check_rest()


def test_a_tool_that_still_runs_is_not_met_by_a_second_writer(world: World) -> None:
    def slow(node: object, existing: object) -> tuple[str, ...]:
        raise ToolTimeoutError("It still runs.", resolution="Wait.")

    world.machine.opener.enrol = slow  # type: ignore[method-assign]
    assert isinstance(error_of(world.rotate(TPM2)), ToolTimeoutError)
    assert [token.type for token in world.machine.present.tokens].count(header_token.PARKED) == 1


@pytest.mark.parametrize("kind", [CREDENTIAL, RECOVERY])
def test_tools_that_do_nothing_are_noticed(world: World, kind: ProviderKind) -> None:
    world.machine.obedient = False
    assert isinstance(error_of(world.rotate(kind)), KeyRejectedError)


def test_a_keyslot_that_stays_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryptsetup, "kill_slot", lambda *words, **named: None)
    assert isinstance(error_of(world.rotate(at_once=True)), VerificationError)


def test_a_header_that_is_not_as_planned_stays_unfinished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotate, "verify_rotation", lambda *words: ("keyslot 7: expected there, found gone",))
    assert isinstance(error_of(world.rotate()), VerificationError)
    assert outcomes() == [None]


def test_a_provider_that_does_not_open_it_is_told_and_stops_nothing(world: World) -> None:
    world.machine.opener.works = False
    done = world.rotate()
    assert done is not None
    assert done.error is None
    (remark,) = done.remarks
    assert remark.startswith("tpm2 was left as it was, and could not be shown to open the volume: its token does not")
    assert ("key-doubt", "alert", "") in world.machine.audited


def test_the_key_of_a_rotation_of_the_tpm_is_shown_to_open(world: World) -> None:
    store = world.machine.sources[CREDENTIAL]
    world.rotate()
    store.later[2] = b"exchanged"
    with Work.on(WANTED, world.seen, Providers()) as work:
        work.deadline_seconds = 0.0
        found = proof.doubts(WANTED, world.machine.present, TPM2, work)
        store.error = KeyDeniedError("No.", resolution="Look.")
        denied = proof.doubts(WANTED, world.machine.present, TPM2, work)
        bare = replace(world.machine.present, tokens=())
        assert proof.doubts(WANTED, bare, None, work) == ()
    assert "its key opens none of its keyslots" in found[0]
    assert denied[0].endswith("No.")


# --- single steps -----------------------------------------------------------------------------------------


def step(name: Step, kind: ProviderKind | None = CREDENTIAL, keyslot: int | None = None) -> Action:
    return Action(name, f"do {name}", "a test wants it", provider=kind, keyslot=keyslot)


@pytest.mark.parametrize(
    "action",
    [
        step(Step.CREATE_SUCCESSOR),
        step(Step.RETIRE_KEYSLOT, keyslot=None),
        step(Step.CREATE_SUCCESSOR, None),
        step(Step.CREATE_SUCCESSOR, RECOVERY),
        step(Step.REENROL_TPM2, TPM2),
        step(Step.REVOKE_KEYSLOT, keyslot=0),
    ],
)
def test_a_step_without_what_it_needs_is_a_bug(world: World, action: Action) -> None:
    with Work.on(WANTED, world.seen, Providers()) as work, pytest.raises(BugError):
        apply(action, work)


def rotating(world: World, rotation: Rotation) -> Work:
    work = Work.on(WANTED, world.seen, Providers())
    work.rotation, work.deadline_seconds, work.clock = rotation, 0.0, lambda: world.now
    return work


def test_a_place_in_the_store_is_known_before_a_key_is_made(world: World) -> None:
    with rotating(world, Rotation(CREDENTIAL)) as work, pytest.raises(BugError, match="without a place"):
        apply(step(Step.CREATE_SUCCESSOR), work)


@pytest.mark.parametrize("number", [1, 2, 0])
def test_a_keyslot_that_is_not_the_one_any_more_stays(world: World, number: int) -> None:
    rotation = Rotation(CREDENTIAL, old=(1,), revoked=(0, 2), at_once=True)
    with rotating(world, rotation) as work, pytest.raises(VerificationError, match="not the one any more"):
        apply(step(Step.REVOKE_KEYSLOT, keyslot=number), work)
    assert sorted(world.machine.slots) == [0, 1, 2]


def test_a_keyslot_that_was_filled_since_is_none_of_the_old_ones(world: World) -> None:
    rotation = Rotation(CREDENTIAL, old=(0,), at_once=True, begun_at=BIRTH - 1)
    with rotating(world, rotation) as work, pytest.raises(VerificationError, match="not the one any more"):
        apply(step(Step.REVOKE_KEYSLOT, keyslot=0), work)


def test_the_only_key_that_is_not_retired_is_no_proof_for_itself(world: World) -> None:
    world.rotate()
    store = world.machine.sources[CREDENTIAL]
    store.later.clear()
    world.now += 40 * DAY
    assert isinstance(error_of(world.rotate(due=True)), VolwardError)
    assert 0 in world.machine.slots, "the retired key is the only one at hand"


def test_a_token_that_does_not_change_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryptsetup, "import_token", lambda *words, **named: None)
    with rotating(world, Rotation(RECOVERY, old=(1,))) as work, pytest.raises(VerificationError, match="the old one"):
        apply(step(Step.RETIRE_KEYSLOT, RECOVERY, 1), work)


def test_a_key_that_opens_no_keyslot_is_neither_described_nor_trusted(world: World) -> None:
    rotation = Rotation(CREDENTIAL, old=(0,), successor_name="volward.pgdata", successor_version=2)
    world.machine.sources[CREDENTIAL].later[2] = b"of nothing"
    for name, number in ((Step.DESCRIBE_SUCCESSOR, None), (Step.RETIRE_KEYSLOT, 0)):
        with rotating(world, rotation) as work, pytest.raises(KeyRejectedError):
            apply(step(name, keyslot=number), work)


def test_a_keyslot_that_is_not_the_rotations_is_not_dropped(world: World) -> None:
    machine = world.machine
    machine.add(3, b"the owner's own", cryptsetup.Pbkdf2())
    rotation = Rotation(CREDENTIAL, old=(0,), successor_name="volward.pgdata", successor_version=2)
    for number in (1, 3, 9):
        with rotating(world, rotation) as work:
            apply(step(Step.DROP_SUCCESSOR, keyslot=number), work)
    assert sorted(machine.slots) == [0, 1, 2, 3]


def test_a_passphrase_is_made_by_its_owner(world: World) -> None:
    from volward.model import ProviderKind as Kind

    prompt = world.machine.source(Kind.PROMPT, None)
    with rotating(world, Rotation(Kind.PROMPT, old=(5,))) as work:
        apply(step(Step.CREATE_SUCCESSOR, Kind.PROMPT), work)
        assert work.successor is not None
        assert work.successor.ref == prompt.first_ref("pgdata")
        held = work.successor.key
    assert held.wiped


def test_giving_up_needs_another_key(world: World) -> None:
    world.rotate(cut=22)
    store = world.machine.sources[CREDENTIAL]
    kept, store.key = store.key, None
    with pytest.raises((NoOpenerError, KeyDeniedError)):
        world.abort()
    assert outcomes() == [None]
    store.key = kept
    world.abort()
    world.check_rest()


# --- the login to Vault -----------------------------------------------------------------------------------


def test_the_timer_tells_of_a_login_that_no_key_was_needed_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    server = VaultServer("https://vault.example:8200", VaultLogin(VaultLoginMethod.APPROLE))
    asked: list[list[str]] = []

    def warnings(server: VaultServer, volumes: list[str], *_: object, **__: object) -> tuple[str, ...]:
        asked.append(volumes)
        return ("The login ends soon.",)

    monkeypatch.setattr(login_life, "warnings", warnings)
    spec = replace(WANTED, vault=VaultPlace(server))
    for wish, told in ((Wish(due=True), ("The login ends soon.",)), (Wish(RECOVERY), ())):
        shared = Pass(wish, world.owner, Watcher(), set(), deadline_seconds=0.0, clock=lambda: world.now)
        (done,) = rotate.rotate([spec], shared)
        assert (done.error, done.remarks) == (None, told)
    assert asked == [["pgdata"]]


# --- header backups ---------------------------------------------------------------------------------------


def test_the_header_is_backed_up_and_the_backups_of_a_revoked_key_go(world: World) -> None:
    old = fingerprint(SecretBytes(KEY))
    world.rotate(CREDENTIAL)
    assert world.backups == ["made"]  # both keys open it: nothing expires
    world.now += 30 * DAY
    world.rotate(due=True)
    assert world.backups == ["made", "made", old]


def test_the_backups_of_a_key_that_is_revoked_at_once(world: World) -> None:
    world.rotate(CREDENTIAL, at_once=True)
    assert world.backups == ["made", fingerprint(SecretBytes(KEY))]


def test_a_resumed_rotation_still_knows_whose_backups_expire(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keyslot is gone by then, and the header says nothing of that key any more."""

    def cut(*_: object, **__: object) -> None:
        raise Cut

    with monkeypatch.context() as until_then:
        until_then.setattr(header_backup, "after_change", cut)
        assert world.rotate(CREDENTIAL, at_once=True) is None
    assert 0 not in world.picture()
    world.rotate()
    assert world.backups == ["made", fingerprint(SecretBytes(KEY))]


def test_what_the_backup_has_to_say_is_told(world: World) -> None:
    world.backup_remarks = ("There is none. Make one.",)
    done = world.rotate(at_once=True)
    assert done is not None
    assert done.error is None
    assert "There is none. Make one." in done.remarks


def test_a_rotation_that_was_given_up_is_backed_up(world: World) -> None:
    world.rotate(CREDENTIAL, cut=16)
    assert world.backups == []
    world.abort()
    assert world.backups == ["made"]


# --- the journal ------------------------------------------------------------------------------------------


def test_what_a_rotation_is_about_is_read_back_from_its_journal(world: World) -> None:
    rotation = Rotation(CREDENTIAL, (0,), (3,), True, 7, "kv/pgdata", 4, {"mount": "kv"}, ("0123",))
    journal.begin(journal.ROTATE, "pgdata", journal.rotation_facts(rotation, "uuid"))
    record = journal.unfinished_rotation("pgdata")
    assert record is not None
    assert record.as_rotation() == rotation
    assert journal.unfinished_rotation("other") is None


@pytest.mark.parametrize("facts", [{}, {"rotation": {"provider": "none"}}, {"rotation": {"provider": "credential"}}])
def test_a_journal_that_is_not_about_a_rotation(world: World, facts: dict[str, object]) -> None:
    journal.begin(journal.ROTATE, "pgdata", facts)
    (record,) = journal.unfinished("pgdata")
    with pytest.raises(JournalError, match="it lacks"):
        record.as_rotation()


def test_the_keyslots_of_a_rotation_are_not_for_apply_to_clear(world: World) -> None:
    world.rotate(cut=16)
    (record,) = journal.unfinished("pgdata")
    assert record.ever_announced
    assert journal.announced("pgdata") == ()


def test_a_rotation_has_no_secret_in_its_journal(world: World) -> None:
    world.rotate()
    (record,) = journal.every()
    assert "credential" in json.dumps(dict(record.facts))
    assert KEY.hex() not in json.dumps(dict(record.facts))
