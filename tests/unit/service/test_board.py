"""The board: what is opened when, what is tried again, and what is left to a person."""

from dataclasses import replace

import pytest

from volward.service.board import LONGEST_PAUSE_SECONDS, Board, Change, Sight, State
from volward.service.task import Ended, Task, Watched

DATA = Watched("data", "/dev/disk/by-id/virtio-data", "volward-data", "/srv/data", consumers=("db.service",))
LOGS = Watched("logs", "/dev/disk/by-id/virtio-logs", "volward-logs", "/srv/logs")
IDLE = Watched("idle", "/dev/disk/by-id/virtio-idle", "volward-idle", "/srv/idle", opens=False)
READ_ONLY = "its file system is read-only"
CLOSED = Sight(device=True, mapping=False, mounted=False)
OPEN = Sight(device=True, mapping=True, mounted=True, sequence="9")
AWAY = Sight(device=False, mapping=False, mounted=False)
ZOMBIE = Sight(device=False, mapping=True, mounted=True, zombie=True)
OTHER = Sight(device=True, mapping=True, mounted=False, other="A mapping volward-data exists and is not this volume")
SEALED = Ended("data", code="VW0407", error="Vault is sealed.", resolution="Unseal it.")
DENIED = Ended("data", code="VW0402", error="No.", resolution="Ask.", needs_a_person=True)
GONE = Ended("data", code="VW0301", error="It is not there.", resolution="Plug it in.", away=True)


def board_of(*volumes: Watched) -> Board:
    board = Board(lambda: 1.0)
    board.configure(volumes or (DATA,), 0.0)
    return board


def state(board: Board, name: str = "data") -> State:
    return next(row.state for row in board.rows if row.volume.name == name)


def due(board: Board, now: float = 0.0) -> Task | None:
    return board.take(now, deadline_seconds=5.0)


def opened(board: Board) -> Board:
    due(board)
    board.ended(Ended("data", "vault"), 1.0)
    board.see({"data": OPEN}, 1.0)
    return board


def test_a_device_that_changed_while_the_host_was_down_is_told_of_once_it_is_open() -> None:
    board = board_of()
    changed = ("serial: pinned A, found B",)
    assert board.see({"data": replace(CLOSED, changed=changed)}, 0.0) == ()
    opened(board)
    (change,) = board.see({"data": replace(OPEN, changed=changed)}, 2.0)
    differs = "its device is not as it was pinned (serial: pinned A, found B)"
    assert change.remark == f"{differs}; `volward status` says what to do"
    assert board.see({"data": replace(OPEN, changed=changed)}, 3.0) == ()


def test_it_is_tried_for_as_long_as_it_takes() -> None:
    """A key that comes after hours finds the volume being asked for, once a minute at the least."""
    board = board_of()
    now, tries = 0.0, 0
    while now < 6 * 3600:
        if due(board, now) is not None:
            tries += 1
            board.ended(SEALED, now)
        wake = board.next_wake(now)
        assert wake is not None and wake <= 60.0
        now += max(wake, 0.001)
    assert tries >= 6 * 60


def test_all_closed_volumes_of_the_boot_are_one_pass() -> None:
    board = board_of(DATA, LOGS, IDLE)
    assert board.see({"data": CLOSED, "logs": OPEN, "idle": CLOSED}, 1.0) == (Change(board.rows[1], State.CLOSED),)
    assert due(board) == Task(open=("data",), revive=("logs",), deadline_seconds=5.0)
    assert due(board) is None, "it is being opened"
    assert [row.state for row in board.rows] == [State.OPENING, State.OPEN, State.IDLE]


def test_who_waited_for_a_volume_that_somebody_opened_is_seen_to() -> None:
    board = board_of()
    due(board)
    board.ended(SEALED, 1.0)
    board.see({"data": OPEN}, 1.5)
    assert board.next_wake(1.5) == 0.0
    assert due(board, 1.5) == Task(revive=("data",), deadline_seconds=5.0)
    assert (due(board, 1.5), board.next_wake(1.5)) == (None, 2.0), "until somebody answers"
    assert due(board, 3.5) == Task(revive=("data",), deadline_seconds=5.0)
    board.revived("data")
    assert (due(board, 9e9), board.next_wake(1.5), state(board)) == (None, None, State.OPEN)


def test_who_could_not_be_seen_to_is_tried_again_less_and_less_often() -> None:
    board, now, pauses = opened(board_of()), 1.0, []
    for _ in range(14):
        board.again("data", now)
        board.again("data", now)
        wake = board.next_wake(now)
        assert wake is not None
        pauses.append(wake)
        now += wake
        assert due(board, now) is not None
    assert pauses[:3] == [2.0, 8.0, 16.0] or pauses[0] == 2.0
    assert max(pauses) <= 3600.0
    board.again("unknown", now)
    board.revived("unknown")


def test_one_that_is_closed_again_before_that_has_no_waiters() -> None:
    board = board_of()
    board.see({"data": OPEN}, 1.0)
    board.see({"data": CLOSED}, 1.1)
    assert (due(board, 1.1), board.next_wake(1.1), state(board)) == (None, None, State.BY_HAND)


def test_what_is_being_opened_is_not_judged_meanwhile() -> None:
    board = board_of()
    due(board)
    assert board.see({"data": AWAY, "other": AWAY}, 1.0) == ()
    assert state(board) is State.OPENING


def test_an_opened_volume_is_open() -> None:
    board = board_of()
    due(board)
    (change,) = board.ended(Ended("data", "vault"), 1.0)
    assert (change.before, change.row.state, change.row.since) == (State.OPENING, State.OPEN, 1.0)
    assert board.see({"data": OPEN}, 2.0) == ()
    assert board.next_wake(2.0) is None


def test_what_passes_is_tried_again_with_growing_pauses() -> None:
    board, now, pauses = board_of(), 0.0, []
    for _ in range(8):
        assert due(board, now) is not None
        board.ended(SEALED, now)
        assert state(board) is State.WAITING
        assert due(board, now) is None
        wake = board.next_wake(now)
        assert wake is not None
        pauses.append(wake)
        now += wake
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_a_pause_is_at_least_half_as_long() -> None:
    board = Board(lambda: 0.0)
    board.configure((DATA,), 0.0)
    due(board)
    board.ended(SEALED, 0.0)
    assert board.next_wake(0.0) == 1.0
    assert board.next_wake(5.0) == 0.0


def test_a_change_of_the_network_cuts_the_pause_short() -> None:
    board = board_of(DATA, LOGS)
    due(board)
    board.ended(SEALED, 0.0)
    board.ended(Ended("logs", "vault"), 0.0)
    assert due(board, 2.0) is not None
    board.ended(SEALED, 2.0)
    assert board.next_wake(2.0) == 4.0
    board.hurry(4.5)
    assert due(board, 4.5) == Task(open=("data",), deadline_seconds=5.0)
    board.ended(SEALED, 4.5)
    assert board.next_wake(4.5) == 2.0, "pauses begin anew"


def test_a_network_that_changes_all_the_time_is_no_reason_to_try_all_the_time() -> None:
    board = board_of()
    due(board)
    board.ended(SEALED, 10.0)
    for moment in (10.1, 10.5, 11.0):
        board.hurry(moment)
        assert due(board, moment) is None
    assert due(board, 12.0) is not None


def test_a_person_is_waited_for() -> None:
    board = board_of()
    due(board)
    board.ended(DENIED, 0.0)
    assert state(board) is State.STOPPED
    assert board.see({"data": CLOSED}, 1.0) == ()
    board.hurry(1.0)
    assert (due(board, 9e9), board.next_wake(1.0)) == (None, None)
    board.configure((DATA,), 2.0)
    assert due(board, 2.0) is not None, "they asked for it by a reload"


def test_a_device_that_appears_is_opened() -> None:
    board = board_of()
    due(board)
    board.ended(GONE, 0.0)
    assert (state(board), due(board, 9e9)) == (State.AWAY, None)
    board.see({"data": CLOSED}, 1.0)
    assert due(board, 1.0) is not None


def test_a_device_that_is_away_from_the_beginning_is_waited_for() -> None:
    board = board_of()
    board.see({"data": AWAY}, 0.0)
    assert (state(board), due(board)) == (State.AWAY, None)


def test_one_that_is_not_for_the_boot_is_left_alone_when_its_device_comes() -> None:
    board = board_of(IDLE)
    board.see({"idle": AWAY}, 0.0)
    board.see({"idle": CLOSED}, 1.0)
    assert (state(board, "idle"), due(board)) == (State.IDLE, None)
    board.see({"idle": OPEN}, 2.0)
    assert state(board, "idle") is State.OPEN


def test_what_somebody_closed_stays_closed() -> None:
    board = opened(board_of())
    board.see({"data": CLOSED}, 2.0)
    assert (state(board), due(board, 9e9)) == (State.BY_HAND, None)
    board.see({"data": CLOSED}, 3.0)
    assert state(board) is State.BY_HAND
    board.see({"data": OPEN}, 4.0)
    assert state(board) is State.OPEN, "and opened it again"


def test_what_somebody_unmounted_stays_unmounted() -> None:
    board = opened(board_of())
    unmounted = replace(OPEN, mounted=False)
    board.see({"data": unmounted}, 2.0)
    assert (state(board), due(board, 9e9)) == (State.UNMOUNTED, None)
    board.see({"data": unmounted}, 3.0)
    assert state(board) is State.UNMOUNTED
    board.see({"data": CLOSED}, 4.0)
    assert state(board) is State.BY_HAND


def test_a_mapping_that_another_pass_left_unmounted_is_gone_on_with() -> None:
    board = board_of()
    board.see({"data": replace(OPEN, mounted=False)}, 0.0)
    assert due(board) is not None
    board.ended(DENIED, 1.0)
    board.see({"data": replace(OPEN, mounted=False)}, 2.0)
    assert state(board) is State.STOPPED


def test_a_device_that_is_pulled_and_put_back() -> None:
    board = opened(board_of())
    (lost,) = board.see({"data": ZOMBIE}, 2.0)
    assert (lost.row.state, lost.row.lost_usec) == (State.LOST, 2_000_000)
    assert due(board, 2.0) == Task(release=("data",), lost_usec={"data": 2_000_000}, deadline_seconds=5.0)
    board.released(Ended("data"), 3.0)
    assert (state(board), due(board, 3.0)) == (State.AWAY, None)
    board.see({"data": CLOSED}, 4.0)
    assert due(board, 4.0) == Task(open=("data",), deadline_seconds=5.0)
    board.ended(Ended("data", "vault", started=("db.service",)), 5.0)
    assert (state(board), board.rows[0].lost_usec) == (State.OPEN, None)


def test_one_not_for_the_boot_that_was_lost_while_it_was_used_comes_back() -> None:
    board = board_of(replace(IDLE, name="data"))
    board.see({"data": OPEN}, 0.0)
    board.see({"data": ZOMBIE}, 1.0)
    due(board, 1.0)
    board.released(Ended("data"), 2.0)
    board.see({"data": CLOSED}, 3.0)
    assert due(board, 3.0) is not None


def lost(board: Board) -> Board:
    board.see({"data": ZOMBIE}, 2.0)
    due(board, 2.0)
    return board


def test_a_lost_one_that_something_holds_is_tried_again_with_pauses() -> None:
    board = lost(opened(board_of()))
    held = Ended("data", code="VW0501", error="In use.", resolution="Stop it.")
    (change,) = board.released(held, 3.0)
    assert (change.row.state, change.row.last and change.row.last.code) == (State.LOST, "VW0501")
    board.see({"data": ZOMBIE}, 3.5)
    assert (due(board, 3.5), board.next_wake(3.5)) == (None, 1.5)
    assert due(board, 5.0) == Task(release=("data",), lost_usec={"data": 2_000_000}, deadline_seconds=5.0)
    board.released(held, 5.0)
    assert board.next_wake(5.0) == 4.0


def test_a_lost_one_that_is_not_known_to_be_ours_is_left_to_a_person() -> None:
    board = lost(opened(board_of()))
    board.released(replace(DENIED, name="data"), 3.0)
    board.see({"data": ZOMBIE}, 3.5)
    assert (state(board), due(board, 9e9), board.next_wake(3.5)) == (State.STOPPED, None, None)


def test_a_device_that_is_seen_is_not_away_whatever_opening_it_says() -> None:
    board = board_of()
    board.see({"data": CLOSED}, 0.0)
    due(board)
    board.ended(Ended("data", code="VW0301", error="Gone.", resolution="Plug it.", away=True, needs_a_person=True), 1.0)
    assert (state(board), board.next_wake(1.0)) == (State.WAITING, 2.0)


def test_what_somebody_closed_stays_closed_while_its_device_comes_and_goes_and_over_a_restart() -> None:
    board = opened(board_of())
    board.see({"data": CLOSED}, 2.0)
    board.see({"data": AWAY}, 3.0)
    board.see({"data": CLOSED}, 4.0)
    assert (state(board), due(board, 9e9)) == (State.BY_HAND, None)
    board.configure((DATA,), 5.0)
    assert (state(board), due(board, 9e9)) == (State.BY_HAND, None)
    board.configure((DATA,), 6.0, asked=True)
    assert due(board, 6.0) is not None

    restarted = board_of(replace(DATA, closed_by_hand=True))
    restarted.see({"data": CLOSED}, 1.0)
    assert (state(restarted), due(restarted, 9e9)) == (State.BY_HAND, None)


def test_what_somebody_closes_while_it_cannot_be_mounted_stays_closed() -> None:
    board = board_of()
    due(board)
    board.ended(SEALED, 1.0)
    board.see({"data": replace(OPEN, mounted=False)}, 1.0)
    board.see({"data": CLOSED}, 2.0)
    assert (state(board), due(board, 9e9)) == (State.BY_HAND, None)
    board = board_of()
    due(board)
    board.ended(DENIED, 1.0)
    board.configure((replace(DATA, closed_by_hand=True),), 2.0)
    assert (state(board), due(board, 9e9)) == (State.BY_HAND, None)


def test_one_that_needs_a_person_and_then_loses_its_device_is_released() -> None:
    board = board_of()
    board.see({"data": replace(OPEN, mounted=False)}, 0.0)
    due(board)
    board.ended(DENIED, 1.0)
    board.see({"data": ZOMBIE}, 2.0)
    assert due(board, 2.0) == Task(release=("data",), lost_usec={"data": 2_000_000}, deadline_seconds=5.0)
    board.abandoned(3.0)
    assert (state(board), board.next_wake(3.0)) == (State.LOST, 2.0)


def test_one_not_for_the_boot_that_was_lost_is_opened_after_a_reload_too() -> None:
    board = board_of(replace(IDLE, name="data"))
    board.see({"data": OPEN}, 0.0)
    lost(board)
    board.released(Ended("data"), 3.0)
    board.see({"data": CLOSED}, 4.0)
    due(board, 4.0)
    board.ended(SEALED, 5.0)
    board.configure((replace(IDLE, name="data"),), 6.0)
    assert due(board, 6.0) is not None


def test_what_was_tried_before_says_nothing_of_one_that_somebody_opened() -> None:
    board = board_of()
    due(board)
    board.ended(SEALED, 1.0)
    board.see({"data": OPEN}, 2.0)
    assert board.rows[0].last is None


def test_a_reload_forgets_no_loss() -> None:
    board = lost(opened(board_of()))
    board.released(Ended("data"), 3.0)
    board.see({"data": CLOSED}, 4.0)
    due(board, 4.0)
    board.ended(SEALED, 5.0)
    board.configure((DATA,), 6.0)
    assert board.rows[0].lost_usec == 2_000_000


def test_a_worker_that_dies_is_tried_again() -> None:
    board = board_of(DATA, LOGS)
    due(board)
    board.ended(Ended("logs", "vault"), 0.0)
    (change,) = board.abandoned(1.0)
    assert (change.row.volume.name, change.row.state) == ("data", State.WAITING)
    assert board.next_wake(1.0) == 2.0


def test_the_configuration_changes() -> None:
    board = opened(board_of(DATA, LOGS))
    board.ended(replace(SEALED, name="logs"), 1.0)
    moved = replace(DATA, consumers=("other.service",))
    board.configure((moved, replace(LOGS, opens=False), IDLE), 2.0)
    assert [(row.volume, row.state) for row in board.rows] == [
        (moved, State.OPEN),
        (replace(LOGS, opens=False), State.IDLE),
        (IDLE, State.IDLE),
    ]
    board.configure((LOGS,), 3.0)
    assert [row.volume.name for row in board.rows] == ["logs"]
    assert board.ended(Ended("data"), 4.0) == ()
    assert board.released(Ended("data"), 4.0) == ()


@pytest.mark.parametrize("name", ["data", "unknown"])
def test_a_volume_that_is_asked_for_is_opened(name: str) -> None:
    board = board_of()
    due(board)
    board.ended(DENIED, 0.0)
    board.wake(name)
    assert (due(board) is not None) is (name == "data")


@pytest.mark.parametrize(
    ("sight", "remarks"),
    [
        (OPEN, []),
        (replace(OPEN, read_only=True), [READ_ONLY]),
        (replace(OPEN, used_percent=94), []),
        (
            replace(OPEN, errors=True),
            ["its file system has met errors since it was last checked (the kernel's log has them)"],
        ),
        (
            replace(OPEN, used_percent=95, read_only=True),
            [f"{READ_ONLY}; its file system is full to 95 %"],
        ),
        (replace(OPEN, sequence="10"), ["its mapping is another one than before: somebody closed and opened it"]),
    ],
)
def test_what_is_noticed_of_an_open_volume(sight: Sight, remarks: list[str]) -> None:
    board = opened(board_of())
    changes = board.see({"data": sight}, 2.0)
    assert [(change.remark, change.before, change.row.state) for change in changes] == [
        (remark, State.OPEN, State.OPEN) for remark in remarks
    ]
    assert board.see({"data": sight}, 3.0) == (), "it is said once"


def test_another_mapping_of_its_name_is_told_of_and_nothing_is_done_about_it() -> None:
    board = opened(board_of())
    (change,) = board.see({"data": OTHER}, 2.0)
    assert (change.remark, change.before, change.row.state) == (OTHER.other, State.OPEN, State.OPEN)
    assert change.row.sight == replace(OPEN, other=OTHER.other)
    assert board.see({"data": OTHER}, 3.0) == (), "it is said once"
    assert (due(board, 9e9), board.next_wake(3.0)) == (None, None)
    (change,) = board.see({"data": OPEN}, 4.0)
    assert change.remark == "all is well again"


def test_another_mapping_of_its_name_is_told_of_also_when_it_was_there_before() -> None:
    board = board_of()
    (change,) = board.see({"data": OTHER}, 0.5)
    assert (change.remark, change.row.state) == (OTHER.other, State.CLOSED)
    assert due(board) == Task(open=("data",), deadline_seconds=5.0), "the pass refuses, and says what to do"
    board.ended(DENIED, 1.0)
    board.see({"data": CLOSED}, 2.0)
    assert state(board) is State.STOPPED, "nothing of its own was ever seen"


def test_what_was_noticed_is_over() -> None:
    board = opened(board_of())
    board.see({"data": replace(OPEN, read_only=True)}, 2.0)
    (change,) = board.see({"data": OPEN}, 3.0)
    assert change.remark == "all is well again"
