"""A rotation cut before and after every single write: finished or given up, keyslots, tokens and stores agree."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.unit.operations.rotation_world import CREDENTIAL, DAY, RECOVERY, TPM2, World, error_of

from volward import journal
from volward.errors import ConfirmationError, NoWayBackError, UnfinishedOperationError
from volward.model import ProviderKind

KINDS = [
    pytest.param(CREDENTIAL, False, id="credential"),
    pytest.param(CREDENTIAL, True, id="credential-now"),
    pytest.param(RECOVERY, False, id="recovery"),
    pytest.param(RECOVERY, True, id="recovery-now"),
    pytest.param(TPM2, False, id="tpm2"),
]


def worlds(tmp_path: Path) -> Iterator[tuple[int, World]]:
    """A fresh world for each number of writes until the power goes, for as long as the test cares to go on."""
    for number in range(1000):
        with pytest.MonkeyPatch.context() as monkeypatch:
            yield number, World(tmp_path / str(number), monkeypatch)


@pytest.mark.parametrize(("kind", "at_once"), KINDS)
def test_the_next_run_finishes_what_was_cut(tmp_path: Path, kind: ProviderKind, at_once: bool) -> None:
    for number, world in worlds(tmp_path):
        ended = world.rotate(kind, at_once=at_once, cut=number)
        world.check_always()
        if ended is not None:
            assert error_of(ended) is None
            world.check_rest()
            assert number > 20, "too few places to cut"
            return
        began = bool(journal.unfinished("pgdata"))
        done = world.rotate(kind, at_once=at_once)
        assert error_of(done) is None, (number, done)
        assert done is not None
        assert bool(done.resumed) == began
        world.check_rest()


@pytest.mark.parametrize(("kind", "at_once"), KINDS)
def test_what_was_cut_is_given_up(tmp_path: Path, kind: ProviderKind, at_once: bool) -> None:
    for number, world in worlds(tmp_path):
        before = world.picture()
        ended = world.rotate(kind, at_once=at_once, cut=number)
        if ended is not None:
            return
        if not journal.unfinished("pgdata"):
            continue
        handed_over = len(world.owner.keys)
        try:
            world.abort()
        except NoWayBackError:
            assert error_of(world.rotate()) is None
            world.check_rest()
            continue
        del world.owner.keys[1:handed_over]  # what was given up is of no use to its owner
        world.check_rest()
        assert world.picture() == before, number
        assert error_of(world.rotate()) is None
        world.check_rest()


@pytest.mark.parametrize(("kind", "at_once"), KINDS)
def test_giving_up_can_be_cut_as_well(tmp_path: Path, kind: ProviderKind, at_once: bool) -> None:
    for number, world in worlds(tmp_path):
        before = world.picture()
        if world.rotate(kind, at_once=at_once, cut=number) is not None:
            return
        for again in (0, 3, 5, 6, 7, 9, 11):
            if not journal.unfinished("pgdata"):
                break
            try:
                world.abort(cut=again)
            except NoWayBackError:
                break
            world.check_always()
        else:
            if journal.unfinished("pgdata"):
                world.abort()
            del world.owner.keys[1:]
            world.check_rest()
            assert world.picture() == before


class Rotations(RuleBasedStateMachine):
    """Rotations, their cuts, and time that passes, in any order."""

    directory: Path

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        type(self).number += 1
        self.world = World(self.directory / str(type(self).number), self.patch)

    number = 0

    def teardown(self) -> None:
        try:
            if journal.unfinished("pgdata"):
                assert error_of(self.world.rotate()) is None
            self.world.check_rest()
        finally:
            self.patch.undo()

    @rule(days=st.integers(1, 120))
    def time_passes(self, days: int) -> None:
        self.world.now += days * DAY

    @rule(
        kind=st.sampled_from([None, CREDENTIAL, TPM2, RECOVERY]),
        at_once=st.booleans(),
        cut=st.none() | st.integers(0, 60),
    )
    def rotated(self, kind: ProviderKind | None, at_once: bool, cut: int | None) -> None:
        done = self.world.rotate(kind, at_once=at_once, cut=cut)
        if done is not None and isinstance(done.error, UnfinishedOperationError):
            assert at_once, "one that was cut would only retire the key"
            return
        if done is not None:
            # The plan after one that was cut was not shown: what removes a keyslot is asked for again.
            assert done.error is None or (done.resumed and isinstance(done.error, ConfirmationError)), done.error
            self.world.check_rest()

    @rule(cut=st.none() | st.integers(0, 60))
    def what_is_due(self, cut: int | None) -> None:
        done = self.world.rotate(due=True, cut=cut)
        if done is not None:
            assert done.error is None, done.error
            self.world.check_rest()
            assert all(
                retired is None or self.world.now < retired + 30 * DAY for _, retired in self.world.picture().values()
            )

    @rule(cut=st.none() | st.integers(0, 30))
    def given_up(self, cut: int | None) -> None:
        if not journal.unfinished("pgdata"):
            return
        described = self.world.machine.slots.values()
        try:
            ended = self.world.abort(cut)
        except NoWayBackError:
            return
        if ended is not None:
            # Of the keys that were handed over, the owner keeps those that still open the volume.
            self.world.owner.keys[:] = [key for key in self.world.owner.keys if key in described]
            self.world.check_rest()

    @invariant()
    def a_stored_key_opens_it(self) -> None:
        self.world.check_always()


def test_any_order_of_rotations_and_cuts(tmp_path: Path) -> None:
    Rotations.directory = tmp_path
    run_state_machine_as_test(
        Rotations,
        settings=settings(
            max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
