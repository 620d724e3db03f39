"""Times of CLOCK_MONOTONIC as the wall's."""

from volward.service.wall_clock import WallClock

BOOT = WallClock(monotonic=5.0, wall=1_000.0)


def test_a_moment_before_and_one_after() -> None:
    assert (BOOT.tell(4.0), BOOT.tell(65.0)) == (999.0, 1_060.0)


def test_a_clock_that_is_slewed_tells_each_moment_as_before() -> None:
    assert BOOT.now(65.0, 1_060.4) is BOOT


def test_a_clock_that_was_set_tells_earlier_moments_by_the_new_one() -> None:
    for wall in (4_660.0, 460.0):  # an hour forward, ten minutes back
        after = BOOT.now(65.0, wall)
        assert (after.tell(65.0), after.tell(5.0)) == (wall, wall - 60.0)
