"""A row of the board as the control socket tells it."""

from dataclasses import replace

import pytest

from volward.service.board import Row, Sight, State
from volward.service.live import Failure
from volward.service.live_volume import live_volume
from volward.service.task import Ended, Watched
from volward.service.wall_clock import WallClock

DATA = Watched("data", "/dev/disk/by-id/virtio-data", "volward-data", "/srv/data", consumers=("db.service",))
CLOCK = WallClock(monotonic=100.0, wall=1_000_000.0)
SEALED = Ended("data", code="VW0407", error="Vault is sealed.", resolution="Unseal it.")
READ_ONLY = Sight(device=True, mapping=True, mounted=True, read_only=True)


def test_one_that_waits() -> None:
    told = live_volume(Row(DATA, State.WAITING, 110.0, next_try=130.0, last_try=110.0, last=SEALED), CLOCK)
    assert (told.since, told.last_try, told.next_try) == (1_000_010.0, 1_000_010.0, 1_000_030.0)
    assert told.failure == Failure("VW0407", "Vault is sealed.", "Unseal it.")
    assert (told.waits_for, told.consumers_waiting) == ("Vault is sealed.", ("db.service",))


def test_one_that_is_open() -> None:
    last = Ended("data", "tpm2", ("vault: sealed",))
    told = live_volume(Row(DATA, State.OPEN, 110.0, sight=READ_ONLY, last=last), CLOCK)
    assert (told.opened_by, told.failure, told.consumers_waiting) == ("tpm2", None, ())
    assert told.degraded == ("vault: sealed", "its file system is read-only")


def test_an_open_one_that_failed_before_has_no_failure() -> None:
    told = live_volume(Row(DATA, State.OPEN, 110.0, last=SEALED), CLOCK)
    assert (told.failure, told.opened_by, told.degraded) == (None, "", ())


def test_another_mapping_of_its_name_is_told_of_in_every_state() -> None:
    other = Sight(device=True, mapping=False, mounted=False, read_only=True, other="something else")
    assert live_volume(Row(DATA, State.BY_HAND, 110.0, sight=other), CLOCK).degraded == ("something else",)


@pytest.mark.parametrize(
    ("state", "waits_for"),
    [
        (State.AWAY, "its device"),
        (State.LOST, "its device"),
        (State.WAITING, "the next try"),
        (State.STOPPED, "a person"),
        (State.BY_HAND, "a person"),
        (State.UNMOUNTED, "a person"),
        (State.CLOSED, ""),
        (State.IDLE, ""),
    ],
)
def test_what_is_waited_for(state: State, waits_for: str) -> None:
    told = live_volume(replace(Row(DATA, state, 110.0)), CLOCK)
    assert (told.state, told.waits_for) == (str(state), waits_for)
