"""What the journal and `systemctl status` say of each state is a sentence that a person can act on."""

import time
from collections.abc import Iterator

import pytest

from volward.service import lines
from volward.service.board import Change, Row, State
from volward.service.task import Ended, Watched
from volward.service.wall_clock import WallClock

DATA = Watched("data", "/dev/disk/by-id/virtio-data", "volward-data", "/srv/data")
SEALED = Ended("data", code="VW0407", error="Vault is sealed.", resolution="Unseal it.")
CLOCK = WallClock(monotonic=10.0, wall=1_000_000.0)  # 13:46:40 in Greenwich


@pytest.fixture
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time zone is UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def row(state: State, last: Ended | None = None, next_try: float | None = None) -> Row:
    return Row(DATA, state, 0.0, last=last, next_try=next_try)


@pytest.mark.parametrize(
    ("state", "last", "said"),
    [
        (State.OPEN, None, "<5>data: open and in use"),
        (
            State.OPEN,
            Ended("data", "tpm2", ("vault: sealed", "x"), ("a.service",)),
            "<5>data: open and in use (key: tpm2); degraded: vault: sealed; x; started a.service, which waited for it",
        ),
        (State.WAITING, SEALED, "<4>data: not open, and tried again later: Vault is sealed. (VW0407)"),
        (State.WAITING, None, "<4>data: waiting"),
        (State.STOPPED, SEALED, "<4>data: not open, and a person has to look: Vault is sealed. Unseal it. (VW0407)"),
        (
            State.LOST,
            None,
            "<4>data: its device went away while it was open; its mapping is closed, and opened again when it is back",
        ),
        (State.AWAY, None, f"<5>data: its device {DATA.device} is not there; it is opened when it appears"),
        (State.UNMOUNTED, None, "<4>data: somebody unmounted it; `volward open data` mounts it"),
        (
            State.BY_HAND,
            None,
            "<5>data: somebody closed it; it stays closed until `volward open data` or `volward reload`",
        ),
        (State.OPENING, None, "<6>data: opening"),
    ],
)
def test_a_change(state: State, last: Ended | None, said: str) -> None:
    assert lines.of_change(Change(row(state, last), State.CLOSED)) == said


def test_what_is_noticed() -> None:
    change = Change(row(State.OPEN), State.OPEN, "its file system is read-only")
    assert lines.of_change(change) == "<4>data: its file system is read-only"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((), "No volumes are configured"),
        ((row(State.OPEN), row(State.IDLE)), "1 of 2 volumes open"),
        ((row(State.OPEN), row(State.AWAY)), "1 of 2 volumes open; data is away"),
        ((row(State.WAITING, SEALED, 12.4),), "0 of 1 volumes open; data is tried again at 13:46:42 (VW0407)"),
        ((row(State.WAITING, None, 5.0),), "0 of 1 volumes open; data is tried again at 13:46:35"),
        ((row(State.STOPPED, SEALED),), "0 of 1 volumes open; data needs a person (VW0407)"),
        ((row(State.STOPPED),), "0 of 1 volumes open; data needs a person"),
    ],
)
def test_the_status(rows: tuple[Row, ...], said: str, greenwich: None) -> None:
    assert lines.status(rows, CLOCK) == said


def test_a_configuration_that_cannot_be_read_comes_first() -> None:
    text = lines.status((row(State.OPEN),), CLOCK, "volumes.x:\n  wrong " + "y" * 300)
    assert text.startswith("The configuration cannot be read: volumes.x: wrong yyy")
    assert len(text) < 250
