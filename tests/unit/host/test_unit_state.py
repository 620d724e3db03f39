"""What is made of `systemctl show`."""

import pytest
from tests.unit.host.recording import Recording

from volward.errors import ToolFailedError
from volward.host import unit_state

_REDIS = """\
ConditionResult=yes
Id=redis-server.service
ActiveEnterTimestampMonotonic=17000000
InactiveEnterTimestampMonotonic=18000000
StateChangeTimestampMonotonic=18000000
LoadState=loaded
ActiveState=inactive
UnitFileState=enabled
"""
_MASKED = """\
Id=postgresql@17-main.service
LoadState=masked
ActiveState=activating
UnitFileState=masked
Job=4711
"""


def test_units_are_asked_for_at_once_and_answered_in_order(recording: Recording) -> None:
    recording.answer(stdout=f"{_REDIS}\n{_MASKED}")

    redis, postgres = unit_state.show(["redis.service", "postgresql@17-main.service"])

    assert len(recording.calls) == 1
    assert recording.calls[0][:2] == ["systemctl", "show"]
    assert recording.calls[0][-3:] == ["--", "redis.service", "postgresql@17-main.service"]
    assert (redis.name, redis.identifier) == ("redis.service", "redis-server.service")
    assert (redis.enabled, redis.stopped, redis.has_job, redis.condition_held) == (True, True, False, True)
    assert (redis.active_enter_usec, redis.inactive_enter_usec, redis.state_change_usec) == (
        17_000_000,
        18_000_000,
        18_000_000,
    )
    assert (postgres.enabled, postgres.stopped, postgres.has_job, postgres.condition_held) == (
        False,
        False,
        True,
        False,
    )
    assert postgres.active_enter_usec == 0


@pytest.mark.parametrize(
    ("state", "enabled"),
    [
        ("enabled", True),
        ("enabled-runtime", True),
        ("static", True),
        ("generated", True),
        ("indirect", True),
        ("disabled", False),
        ("masked", False),
        ("masked-runtime", False),
        ("linked", False),
        ("bad", False),
        ("", False),
    ],
)
def test_enabled_is_what_is_enabled_says(recording: Recording, state: str, enabled: bool) -> None:
    recording.answer(stdout=_REDIS.replace("UnitFileState=enabled", f"UnitFileState={state}"))
    (redis,) = unit_state.show(["redis.service"])
    assert redis.enabled is enabled


def test_nothing_is_asked_about_nothing(recording: Recording) -> None:
    assert unit_state.show([]) == ()
    assert recording.calls == []


def test_an_answer_that_cannot_be_told_apart_is_refused(recording: Recording) -> None:
    recording.answer(stdout=_REDIS)
    with pytest.raises(ToolFailedError, match="told of 1 units where 2 were asked for"):
        unit_state.show(["redis.service", "b.service"])
