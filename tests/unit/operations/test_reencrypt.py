"""A new volume key as an operation, on the volume of rotation_world.py; cryptsetup's part is played by a function."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.unit.apply.machine import KEY
from tests.unit.builders import CLOSED, OPEN, OTHER_UUID
from tests.unit.operations import rotation_world
from tests.unit.operations.reencryption_tool import Tool, give_up, outcomes, play, run
from tests.unit.operations.rotation_world import CREDENTIAL, FIRST_RECOVERY, RECOVERY, WANTED, Cut, World

from volward import journal
from volward.errors import (
    ConfirmationError,
    DeviceBusyError,
    DuplicateUuidError,
    InterruptedRunError,
    JournalError,
    KeyRejectedError,
    MappingError,
    NoHeaderBackupError,
    NoOpenerError,
    NoTerminalError,
    NoWayBackError,
    ProviderUnavailableError,
    ToolFailedError,
    UnfinishedOperationError,
    UnknownOperationError,
    VerificationError,
)
from volward.host import reencrypt as tool
from volward.host.cryptsetup import Pbkdf2
from volward.host.reencrypt import Target
from volward.model import Fate, MappingState, Observation, ProviderKind, Reencryption, Token
from volward.operations import (
    header_backup_expiry,
    reencrypt,
    reencryption_end,
    reencryption_look,
    unreencrypt,
)
from volward.operations.reencryption_look import Wanted, look
from volward.operations.watcher import Watcher
from volward.secret import SecretBytes

TYPED = Wanted(typed=True, deadline_seconds=0.0)
world = rotation_world.world


@pytest.fixture
def cryptsetup(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tool:
    return play(world, monkeypatch, tmp_path)


def seen_as(monkeypatch: pytest.MonkeyPatch, seen: Callable[[], Observation]) -> None:
    """Let the volume be seen as that, by whoever looks."""
    for module in (reencrypt, reencryption_look):
        monkeypatch.setattr(module, "observe", lambda spec: seen())


def test_what_was_opened_by_hand_on_the_way_is_not_destroyed(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(self: object, number: object) -> None:
        world.machine.device = replace(world.machine.device, holders=("by-hand (dm-7)",))

    monkeypatch.setattr("volward.operations.reencryption_keys.Keys.leave", leave)
    with pytest.raises(DeviceBusyError, match="by-hand"):
        run(TYPED)
    assert cryptsetup.began == {}
    assert not world.machine.present.reencrypting


def test_the_unlocking_key_changes_first_then_every_key_is_carried_over(world: World, cryptsetup: Tool) -> None:
    looked = look(WANTED, TYPED)
    assert (looked.rotates, looked.resumes) == ((CREDENTIAL,), "")
    done = run(TYPED)
    new_key = world.machine.sources[CREDENTIAL].later[2]
    assert KEY not in cryptsetup.began.values()
    assert sorted(cryptsetup.began.values()) == sorted([new_key, FIRST_RECOVERY])
    assert sorted(world.machine.slots.values()) == sorted([new_key, FIRST_RECOVERY, b"sealed"])
    assert world.machine.present.volume_key_digest == "new"
    assert done.volume == "pgdata"
    assert outcomes(journal.ROTATE) == ["done"]
    assert outcomes(journal.REENCRYPT) == ["done"]
    assert world.backups[-5:] == ["demanded", *2 * ["made", "others expired"]]  # the second time with the TPM
    world.owner.keys = [FIRST_RECOVERY]
    world.check_rest()
    assert all(key.wiped for source in world.machine.sources.values() for key in source.given)


def test_one_that_was_paused_goes_on_by_one_key(world: World, cryptsetup: Tool) -> None:
    cryptsetup.stops = True
    with pytest.raises(InterruptedRunError, match="stopped on the way"):
        run(TYPED)
    assert world.machine.present.reencrypting
    cryptsetup.stops = False
    looked = look(WANTED, TYPED)
    assert looked.resumes.startswith("reencrypt-pgdata")
    assert looked.rotates == ()
    run(TYPED)
    assert cryptsetup.resumed_by == world.machine.sources[CREDENTIAL].later[2]
    assert outcomes(journal.REENCRYPT) == ["done"]
    assert outcomes(journal.ROTATE) == ["done"]
    world.check_rest()


@pytest.mark.parametrize("is_open", [True, False])
def test_whether_it_is_open_is_said_anew_each_time(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    mapping, wanted = (OPEN if is_open else CLOSED), replace(TYPED, online=True)
    seen_as(monkeypatch, lambda: replace(world.seen, mapping=mapping))
    cryptsetup.stops = True
    with pytest.raises(InterruptedRunError):
        run(wanted)
    cryptsetup.stops = False
    mapping = CLOSED  # after a reboot
    run(wanted)
    node = world.machine.device.node
    assert cryptsetup.targets == [Target(node, mapping="volward-pgdata" if is_open else ""), Target(node)]


def test_what_was_killed_in_a_hot_zone_is_recovered_first(world: World, cryptsetup: Tool) -> None:
    cryptsetup.cut = True
    with pytest.raises(Cut):
        run(TYPED)
    cryptsetup.cut = False
    world.machine.header = replace(world.machine.present, cut_in_hot_zone=True)
    run(TYPED)
    assert cryptsetup.recovered_by == cryptsetup.resumed_by == world.machine.sources[CREDENTIAL].later[2]
    world.check_rest()


def test_what_a_kill_left_suspended_is_told_at_once(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping, wanted = OPEN, replace(TYPED, online=True)
    seen_as(monkeypatch, lambda: replace(world.seen, mapping=mapping))

    def killed(*_: object, **__: object) -> None:
        nonlocal mapping
        mapping = replace(OPEN, state=MappingState.SUSPENDED, detail="It is suspended.")
        raise ToolFailedError("`cryptsetup reencrypt` was ended by SIGKILL.", resolution="Look.", status=-9)

    monkeypatch.setattr(tool, "begin", killed)
    with pytest.raises(MappingError, match="reboot the host") as caught:
        run(wanted)
    assert isinstance(caught.value.__cause__, ToolFailedError)


@pytest.mark.parametrize("by_volward", [True, False])
def test_one_that_was_killed_when_all_data_were_done_is_ended(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch, by_volward: bool
) -> None:
    """cryptsetup opens no keyslot then, and neither resumes nor repairs."""
    typed: list[bool] = []

    def end(spec: object, seen: object, present: object, providers: object, **options: Any) -> str:
        typed.append(options["typed"])
        cryptsetup.end()
        world.machine.header = replace(world.machine.present, cut_at_the_end=False)
        return "kept"

    monkeypatch.setattr(reencryption_end, "end", end)
    if by_volward:
        cryptsetup.cut = True
        with pytest.raises(Cut):
            run(TYPED)
    requirements = ("online-reencrypt-v2",)
    world.machine.header = replace(world.machine.present, cut_at_the_end=True, requirements=requirements)
    plan = look(WANTED, TYPED).plan
    assert [one.name for one in plan.actions] == ["end-reencryption", *(["enrol-tpm2:tpm2"] if by_volward else [])]
    run(TYPED)
    assert typed == [True]
    assert cryptsetup.resumed_by == b""
    assert outcomes(journal.REENCRYPT) == ["done"]
    if by_volward:
        world.check_rest()


def test_one_that_goes_on_meets_no_copy(world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    cryptsetup.cut = True
    with pytest.raises(Cut):
        run(TYPED)
    twice = replace(world.seen, mapping=CLOSED, mount=None, same_uuid_elsewhere=("/dev/vdz",))
    seen_as(monkeypatch, lambda: twice)
    with pytest.raises(DuplicateUuidError):
        run(TYPED)
    assert cryptsetup.resumed_by == b""


def test_a_power_cut_in_the_middle(world: World, cryptsetup: Tool) -> None:
    cryptsetup.cut = True
    with pytest.raises(Cut):
        run(TYPED)
    cryptsetup.cut = False
    run(TYPED)
    world.check_rest()


def test_a_cut_before_the_end_was_written_down(world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object, **__: object) -> None:
        raise Cut

    with monkeypatch.context() as until_then:
        until_then.setattr(header_backup_expiry, "expire_others", cut)
        with pytest.raises(Cut):
            run(TYPED)
    assert [one.name for one in look(WANTED, TYPED).plan.actions] == ["enrol-tpm2:tpm2"]
    run(TYPED)
    assert world.backups[-2:] == ["made", "others expired"]
    world.check_rest()


def test_one_that_somebody_began_without_volward_is_finished(world: World, cryptsetup: Tool) -> None:
    machine = world.machine
    machine.header = replace(machine.present, requirements=("online-reencrypt-v2",), volume_key_digest="")
    assert "somebody began" in look(WANTED, TYPED).resumes
    run(Wanted(deadline_seconds=0.0))
    assert cryptsetup.resumed_by == KEY
    assert machine.present.volume_key_digest == "new"
    assert "demanded" not in world.backups


def test_a_typed_key_that_fits_nothing(world: World, cryptsetup: Tool) -> None:
    world.machine.source(RECOVERY, b"a wrong key")
    with pytest.raises(KeyRejectedError, match="the recovery key opens none"):
        run(TYPED)
    assert outcomes(journal.REENCRYPT) == []
    assert world.machine.present.volume_key_digest == "old"


@pytest.mark.parametrize(
    ("kind", "words"), [(CREDENTIAL, "Keyslot 4 of pgdata is opened by none"), (RECOVERY, "opens none of the keyslots")]
)
def test_a_keyslot_that_its_key_does_not_open(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch, kind: ProviderKind, words: str
) -> None:
    machine = world.machine
    machine.add(4, b"another key", Pbkdf2())
    tokens = tuple(
        replace(one, keyslots=(*one.keyslots, 4)) if one.provider == kind else one for one in machine.present.tokens
    )
    machine.header = replace(machine.present, tokens=tokens)
    monkeypatch.setattr(reencrypt, "_rotate_first", lambda *_: None)
    with pytest.raises(KeyRejectedError, match=words):
        run(TYPED)
    assert outcomes(journal.REENCRYPT) == []
    assert machine.present.volume_key_digest == "old"


def paused(world: World, cryptsetup: Tool) -> None:
    """Leave a re-encryption in the middle."""
    cryptsetup.stops = True
    with pytest.raises(InterruptedRunError):
        run(TYPED)
    cryptsetup.stops = False


def test_one_key_is_enough_to_go_on_whatever_store_is_away(world: World, cryptsetup: Tool) -> None:
    paused(world, cryptsetup)
    store = world.machine.sources[CREDENTIAL]
    store.error = ProviderUnavailableError("It is sealed.", resolution="Wait.")
    run(TYPED)
    assert cryptsetup.resumed_by == FIRST_RECOVERY
    assert world.machine.present.volume_key_digest == "new"


def test_all_that_was_said_when_no_key_is_at_hand(world: World, cryptsetup: Tool) -> None:
    paused(world, cryptsetup)
    store, typed = world.machine.sources[CREDENTIAL], world.machine.sources[RECOVERY]
    store.error = ProviderUnavailableError("It is sealed.", resolution="Wait.")
    typed.error = NoTerminalError("Nobody is there.", resolution="Run it on a terminal.")
    with pytest.raises(NoOpenerError) as caught:
        run(TYPED)
    said = str(caught.value)
    assert "credential:volward.pgdata.v2: It is sealed. recovery: Nobody is there." in said, "the recovery key last"
    assert outcomes(journal.REENCRYPT) == [None]


def test_two_keys_have_to_be_at_hand(world: World, cryptsetup: Tool) -> None:
    with pytest.raises(NoOpenerError):
        run(Wanted(deadline_seconds=0.0))
    assert outcomes(journal.ROTATE) == []


def test_a_rotation_that_was_cut_comes_first(world: World, cryptsetup: Tool) -> None:
    world.rotate(CREDENTIAL, cut=12)
    with pytest.raises(UnfinishedOperationError):
        look(WANTED, TYPED)


def test_a_tool_that_does_nothing_is_noticed(world: World, cryptsetup: Tool) -> None:
    cryptsetup.does_nothing = True
    with pytest.raises(VerificationError, match="not under a new volume key"):
        run(TYPED)
    assert outcomes(journal.REENCRYPT) == [None]
    assert "others expired" not in world.backups


def test_a_key_that_was_lost_is_noticed_before_the_old_backups_go(world: World, cryptsetup: Tool) -> None:
    cryptsetup.loses = 1
    with pytest.raises(VerificationError, match="keyslot 1 of pgdata does not open"):
        run(TYPED)
    assert "others expired" not in world.backups


def test_what_the_backup_has_to_say_is_told(world: World, cryptsetup: Tool) -> None:
    world.backup_remarks = ("There is none. Make one.",)
    assert "There is none. Make one." in run(TYPED).remarks


def test_old_backups_that_have_to_stay_are_told_when_it_is_given_up(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object, **__: object) -> None:
        raise Cut

    def refuse(spec: object) -> None:
        raise NoHeaderBackupError("There is none.", resolution="Make one.")

    with monkeypatch.context() as until_then:
        until_then.setattr(header_backup_expiry, "expire_others", cut)
        with pytest.raises(Cut):
            run(TYPED)
    monkeypatch.setattr(header_backup_expiry, "expire_others", refuse)
    assert "There is none. Make one." in give_up()


class Stopping(Watcher):
    """Interrupts after the keyslots that are left behind were removed."""

    asked = False

    def step_done(self, volume: str, action: object) -> None:
        self.asked = "leave-keyslot" in action.name  # type: ignore[attr-defined]

    def interrupted(self) -> bool:
        return self.asked


def stopped_before_the_data_are_touched(world: World, cryptsetup: Tool) -> str:
    """Return the operation that was left; keyslot 2, the TPM's, has gone."""
    with pytest.raises(InterruptedRunError, match="Interrupted before this: pgdata: re-encrypt"):
        run(TYPED, Stopping())
    assert cryptsetup.began == {}
    assert 2 not in world.machine.slots
    (record,) = journal.unfinished("pgdata")
    return record.operation


def test_one_that_has_not_begun_is_planned_anew(world: World, cryptsetup: Tool) -> None:
    operation = stopped_before_the_data_are_touched(world, cryptsetup)
    looked = look(WANTED, TYPED)
    assert (looked.replaces, looked.resumes, looked.rotates) == (operation, "", ())
    assert not looked.plan.resumes
    assert not looked.plan.destructive
    run(TYPED)
    assert outcomes(journal.REENCRYPT) == ["it had not begun", "done"]
    assert any(token.is_plain_tpm2 for token in world.machine.present.tokens), "the TPM's keyslot came back"
    world.check_rest()


def test_what_took_the_place_of_a_removed_keyslot_is_not_removed_unseen(world: World, cryptsetup: Tool) -> None:
    stopped_before_the_data_are_touched(world, cryptsetup)
    machine = world.machine
    shown = look(WANTED, TYPED).plan
    machine.add(2, b"the owner's own", Pbkdf2())
    machine.tokens((Token(9, "clevis", (2,), MappingProxyType({"type": "clevis"})),))
    with pytest.raises(ConfirmationError, match=r"keyslot 2 \(clevis\)"):
        reencrypt.run(WANTED, TYPED, Watcher(), shown=shown)
    assert machine.slots[2] == b"the owner's own"
    assert outcomes(journal.REENCRYPT) == [None]
    assert [one.keyslot for one in look(WANTED, TYPED).plan.fates if one.fate is Fate.REMOVED] == [2]


def test_a_keyslot_that_is_not_the_planned_one_any_more_stays(world: World, cryptsetup: Tool) -> None:
    machine = world.machine

    class Meanwhile(Watcher):
        def step(self, volume: str, action: object) -> None:
            if "leave-keyslot" in action.name:  # type: ignore[attr-defined]
                machine.slots[2] = b"the owner's own"
                there = machine.present.keyslots
                changed = tuple(replace(one, iterations=4000) if one.number == 2 else one for one in there)
                machine.header = replace(machine.present, keyslots=changed)

    with pytest.raises(VerificationError, match="Keyslot 2 of pgdata is not the one any more"):
        run(TYPED, Meanwhile())
    assert machine.slots[2] == b"the owner's own"


def test_a_record_of_another_header_is_for_abort(world: World, cryptsetup: Tool) -> None:
    stopped_before_the_data_are_touched(world, cryptsetup)
    world.machine.header = replace(world.machine.present, uuid=OTHER_UUID)
    with pytest.raises(UnfinishedOperationError, match="was begun on a header with the LUKS UUID"):
        look(WANTED, TYPED)


@pytest.mark.parametrize("reason", ["away", "does not open"])
def test_a_tpm_that_is_away_keeps_nothing_unfinished(world: World, cryptsetup: Tool, reason: str) -> None:
    def enrol(node: Path, existing: SecretBytes) -> tuple[str, ...]:
        raise ProviderUnavailableError("There is no TPM.", resolution="Switch it on.")

    if reason == "away":
        world.machine.opener.enrol = enrol  # type: ignore[method-assign]
    world.machine.opener.works = False
    done = run(TYPED)
    (remark,) = [one for one in done.remarks if one.startswith("The TPM does not open the volume any more: ")]
    assert remark.endswith("`volward apply pgdata` enrols it.")
    assert outcomes(journal.REENCRYPT) == ["done"]
    assert "others expired" in world.backups


def test_interrupted_before_the_tpm_it_is_finished_later(world: World, cryptsetup: Tool) -> None:
    class Late(Watcher):
        def interrupted(self) -> bool:
            return "others expired" in world.backups

    with pytest.raises(InterruptedRunError, match="enrol the TPM anew"):
        run(TYPED, Late())
    assert outcomes(journal.REENCRYPT) == [None]
    run(TYPED)
    world.check_rest()


def test_given_up_before_any_data_changed(world: World, cryptsetup: Tool) -> None:
    stopped_before_the_data_are_touched(world, cryptsetup)
    (remark,) = give_up()
    assert remark == "Keyslots that it removed stay away; `volward apply pgdata` enrols configured keys."
    assert outcomes(journal.REENCRYPT) == ["aborted"]
    assert "others expired" not in world.backups


def test_given_up_when_all_data_are_done(world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object, **__: object) -> None:
        raise Cut

    with monkeypatch.context() as until_then:
        until_then.setattr(header_backup_expiry, "expire_others", cut)
        with pytest.raises(Cut):
            run(TYPED)
    assert give_up()[0] == "All data of pgdata are under a new volume key."
    assert world.backups[-1] == "others expired", "restored, they would make the data unreadable"
    assert outcomes(journal.REENCRYPT) == ["aborted"]


def test_in_the_middle_there_is_no_way_back(world: World, cryptsetup: Tool) -> None:
    cryptsetup.cut = True
    with pytest.raises(Cut):
        run(TYPED)
    with pytest.raises(NoWayBackError, match="has re-encrypted a part of the data"):
        give_up()
    assert outcomes(journal.REENCRYPT) == [None]


def test_given_up_on_another_header_nothing_is_touched(world: World, cryptsetup: Tool) -> None:
    cryptsetup.cut = True
    with pytest.raises(Cut):
        run(TYPED)
    world.machine.header = replace(world.machine.present, uuid=OTHER_UUID)
    assert give_up() == ()
    assert outcomes(journal.REENCRYPT) == ["aborted"]


def test_given_up_after_it_ended(world: World, cryptsetup: Tool) -> None:
    stopped_before_the_data_are_touched(world, cryptsetup)
    (record,) = journal.unfinished("pgdata")
    run(TYPED)
    with pytest.raises(UnknownOperationError):
        unreencrypt.give_up(WANTED, record, deadline_seconds=0.0)


def test_a_journal_that_is_not_about_one(world: World) -> None:
    wish = Reencryption("old", True, (1,), (0, 2), True)
    journal.begin(journal.REENCRYPT, "pgdata", journal.reencryption_facts(wish, "uuid"))
    (record,) = journal.unfinished("pgdata")
    assert record.as_reencryption() == wish
    with pytest.raises(JournalError, match="it lacks"):
        replace(record, facts={}).as_reencryption()
