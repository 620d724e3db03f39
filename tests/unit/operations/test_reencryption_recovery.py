"""A new volume key while the recovery key is not at hand: a new one takes its place, and is cut at every write."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.operations import rotation_world
from tests.unit.operations.reencryption_tool import Tool, give_up, outcomes, play, run
from tests.unit.operations.rotation_world import CREDENTIAL, FIRST_RECOVERY, RECOVERY, WANTED, Cut, World

from volward import journal
from volward.errors import (
    ConfirmationError,
    InterruptedRunError,
    KeyRejectedError,
    NoOpenerError,
    NoTerminalError,
    NoWayBackError,
    ProviderUnavailableError,
    VolwardError,
)
from volward.host import cryptsetup as cryptsetup_tool
from volward.model import Fate
from volward.operations import reencrypt
from volward.operations.reencryption_keys import Keys
from volward.operations.reencryption_look import Wanted, look
from volward.operations.watcher import Watcher
from volward.secret import SecretBytes

UNATTENDED = Wanted(new_recovery=True, deadline_seconds=0.0)
world = rotation_world.world


@pytest.fixture
def cryptsetup(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tool:
    return play(world, monkeypatch, tmp_path)


@pytest.mark.parametrize("typed", [False, True])
def test_a_new_recovery_key_takes_the_place_of_the_one_that_nobody_types(
    world: World, cryptsetup: Tool, typed: bool
) -> None:
    world.machine.source(RECOVERY, b"never asked for")
    run(replace(UNATTENDED, typed=typed), recovery=world.owner)
    new_key, new_recovery = world.machine.sources[CREDENTIAL].later[2], world.owner.keys[-1]
    assert new_recovery != FIRST_RECOVERY
    assert sorted(cryptsetup.began.values()) == sorted([new_key, new_recovery])
    assert sorted(world.machine.slots.values()) == sorted([new_key, new_recovery, b"sealed"])
    assert outcomes(journal.REENCRYPT) == ["done"]
    world.check_rest()


def test_its_key_is_wiped(world: World, cryptsetup: Tool) -> None:
    taken: list[SecretBytes] = []

    class Owner:
        def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
            taken.append(recovery_key)

    run(UNATTENDED, recovery=Owner())
    assert [key.wiped for key in taken] == [True]


def test_nobody_is_there_to_take_it(world: World, cryptsetup: Tool) -> None:
    with pytest.raises(NoTerminalError, match="has to be shown to somebody"):
        run(UNATTENDED)
    assert world.machine.sources[CREDENTIAL].later == {}, "and no unlocking key was changed for nothing"
    assert journal.every() == ()


def test_without_one_the_refusal_says_how_it_is_handed_over(world: World, cryptsetup: Tool) -> None:
    with pytest.raises(NoOpenerError) as caught:
        run(replace(UNATTENDED, new_recovery=False), recovery=world.owner)
    assert "--recovery-fd N" in caught.value.resolution


class Nobody:
    """Has nothing to write at hand."""

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        raise ConfirmationError("Not typed back.", resolution="Again.")


def test_one_that_its_owner_does_not_confirm_changes_nothing(world: World, cryptsetup: Tool) -> None:
    with pytest.raises(ConfirmationError):
        run(UNATTENDED, recovery=Nobody())
    assert set(world.picture()) >= {1, 2}
    assert FIRST_RECOVERY in world.machine.slots.values()
    assert cryptsetup.began == {}
    looked = look(WANTED, replace(UNATTENDED, new_recovery=False))
    assert looked.rotates == ()
    assert [one.fate for one in looked.plan.fates if one.opened_by == "recovery"] == [Fate.REPLACED], "as it was begun"
    run(replace(UNATTENDED, new_recovery=False), recovery=world.owner)
    assert outcomes(journal.REENCRYPT) == ["it had not begun", "done"]
    world.check_rest()


def test_a_tool_that_enrols_nothing_is_noticed(world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencrypt, "_rotate_first", lambda *_: None)
    world.machine.obedient = False
    with pytest.raises(KeyRejectedError):
        run(UNATTENDED, recovery=world.owner)
    assert FIRST_RECOVERY in world.machine.slots.values()


def test_one_that_is_not_in_the_header_afterwards_is_noticed(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volward.operations.reencryption_keys.keyslot_of", lambda *_: None)
    with pytest.raises(KeyRejectedError, match="opens no keyslot"):
        run(UNATTENDED, recovery=world.owner)
    assert FIRST_RECOVERY in world.machine.slots.values()


def test_no_keyslot_is_left_with_one_key_in_hand(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keys, "add_successor", lambda self: None)
    with pytest.raises(NoOpenerError, match="Only 1 key of pgdata is at hand, so no keyslot was removed"):
        run(UNATTENDED, recovery=world.owner)
    assert FIRST_RECOVERY in world.machine.slots.values()


# --- cuts -------------------------------------------------------------------------------------------------


def worlds(tmp_path: Path) -> Iterator[tuple[int, World, Tool]]:
    """A fresh world for each number of writes until the power goes; the unlocking keys had their turn before."""
    for number in range(1000):
        with pytest.MonkeyPatch.context() as monkeypatch:
            one = World(tmp_path / str(number), monkeypatch)
            tool = play(one, monkeypatch, tmp_path / str(number))
            monkeypatch.setattr(reencrypt, "_rotate_first", lambda *_: None)
            yield number, one, tool


def ways(world: World) -> set[bytes]:
    """Return the keys that open the volume and are to be had: from a store, or from its owner."""
    store = world.machine.sources[CREDENTIAL]
    return ({store.key or b"", *store.later.values()} | set(world.owner.keys)) & set(world.machine.slots.values())


def test_the_next_run_finishes_what_was_cut(tmp_path: Path) -> None:
    warned = 0
    for number, world, _ in worlds(tmp_path):
        ended = world.until(number, lambda one=world: run(UNATTENDED, recovery=one.owner))  # type: ignore[misc]
        world.check_always()
        assert len(ways(world)) >= 2, number
        if ended is not None:
            world.check_rest()
            assert number > 40, "too few places to cut"
            assert warned, "a key that was handed over in vain is told"
            return
        in_vain = len(world.owner.keys) > 1 and bool(journal.unfinished("pgdata"))
        looked = look(WANTED, UNATTENDED)
        warned += bool(looked.plan.warnings)
        assert looked.plan.warnings or looked.resumes or not in_vain, number
        run(UNATTENDED, recovery=world.owner)
        world.check_rest()


def test_the_next_run_can_be_cut_as_well(tmp_path: Path) -> None:
    for number, world, _ in worlds(tmp_path):
        if world.until(number, lambda one=world: run(UNATTENDED, recovery=one.owner)) is not None:  # type: ignore[misc]
            return
        for again in (1, 4, 7, 10, 13, 16, 19, 22):
            if world.until(again, lambda one=world: run(UNATTENDED, recovery=one.owner)) is not None:  # type: ignore[misc]
                break
            world.check_always()
            assert len(ways(world)) >= 2, (number, again)
        else:
            run(UNATTENDED, recovery=world.owner)
        world.check_rest()


def test_what_was_cut_is_given_up(tmp_path: Path) -> None:
    told: set[str] = set()
    for number, world, _ in worlds(tmp_path):
        if world.until(number, lambda one=world: run(UNATTENDED, recovery=one.owner)) is not None:  # type: ignore[misc]
            break
        if not journal.unfinished("pgdata"):
            continue
        try:
            told.update(give_up())
        except NoWayBackError:
            run(UNATTENDED, recovery=world.owner)
            world.check_rest()
            continue
        assert journal.unfinished("pgdata") == ()
        world.check_always()
        named = {slot for token in world.machine.present.tokens for slot in token.keyslots}
        # A keyslot that was about to go has lost its token, and opens by the key that it always had.
        assert set(world.machine.slots) - named <= {1, 2}, "a keyslot that nobody has a key to"
        assert len(ways(world)) >= 2
    text = " ".join(told)
    assert "Keyslot 3 was removed; nobody had its key." in told
    assert "may open nothing: `volward recovery test pgdata` tells" in text
    assert "The new recovery key of pgdata opens it, and so does an earlier one" in text


def test_an_orphan_that_nobody_can_authorise_to_go_keeps_it_unfinished(
    world: World, cryptsetup: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object, **__: object) -> None:
        raise Cut

    monkeypatch.setattr(reencrypt, "_rotate_first", lambda *_: None)
    monkeypatch.setattr(cryptsetup_tool, "import_token", cut)
    with pytest.raises(Cut):
        run(UNATTENDED, recovery=world.owner)
    world.machine.sources[CREDENTIAL].error = ProviderUnavailableError("It is sealed.", resolution="Wait.")
    with pytest.raises(VolwardError):
        give_up()
    assert 3 in world.machine.slots
    assert outcomes(journal.REENCRYPT) == [None]


def test_interrupted_before_the_old_one_goes_both_open_it(world: World, cryptsetup: Tool) -> None:
    class AfterEnrolment(Watcher):
        asked = False

        def step_done(self, volume: str, action: object) -> None:
            self.asked = "enrol-recovery" in action.name  # type: ignore[attr-defined]

        def interrupted(self) -> bool:
            return self.asked

    with pytest.raises(InterruptedRunError):
        run(UNATTENDED, AfterEnrolment(), recovery=world.owner)
    assert set(world.owner.keys) <= set(world.machine.slots.values())
    looked = look(WANTED, UNATTENDED)
    assert "the newest one counts" in looked.plan.warnings[0]
    assert [one.fate for one in looked.plan.fates].count(Fate.REPLACED) == 2
    run(UNATTENDED, recovery=world.owner)
    assert len(world.owner.keys) == 3
    world.check_rest()
