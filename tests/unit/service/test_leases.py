"""When a token is renewed, and how often one is tried that is not."""

import pytest

from volward.service.leases import Leases
from volward.service.task import Lease

ONE, OTHER = "https://vault.example:8200", "https://other.example:8200"


def leases_of(*servers: str) -> Leases:
    leases = Leases()
    leases.configure(servers, 0.0)
    return leases


def test_without_a_token_nothing_is_due() -> None:
    leases = leases_of("")
    assert not leases.is_due(1e9)
    assert leases.next_wake(0.0) is None
    assert leases.note(Lease(ONE, 60.0), 0.0) == ""


@pytest.mark.parametrize(("seconds", "pause"), [(3600.0, 1200.0), (9.0, 10.0), (1e9, 43200.0), (None, 43200.0)])
def test_a_token_is_renewed_in_the_first_third_of_its_life(seconds: float | None, pause: float) -> None:
    leases = leases_of(ONE)
    assert leases.is_due(0.0)
    assert leases.note(Lease(ONE, seconds), 100.0) == ""
    assert leases.next_wake(100.0) == pause
    assert not leases.is_due(100.0 + pause - 1)
    assert leases.is_due(100.0 + pause)


def test_one_that_fails_is_told_of_and_tried_less_and_less_often() -> None:
    leases = leases_of(ONE)
    pauses = []
    for _ in range(8):
        assert "403." in leases.note(Lease(ONE, error="403."), 0.0)
        pauses.append(leases.next_wake(0.0))
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    leases.note(Lease(ONE, 3600.0), 0.0)
    leases.note(Lease(ONE, error="403."), 0.0)
    assert leases.next_wake(0.0) == 60.0


def test_a_renewal_without_an_answer_is_due_again() -> None:
    leases = leases_of(ONE, OTHER)
    leases.note(Lease(ONE, 3600.0), 0.0)
    leases.missed(5.0)
    assert leases.next_wake(5.0) == 60.0
    assert leases.is_due(65.0)


def test_a_server_that_is_configured_no_more_is_forgotten() -> None:
    leases = leases_of(ONE, OTHER)
    leases.note(Lease(ONE, 3600.0), 0.0)
    leases.configure((ONE, ONE), 10.0)
    assert leases.next_wake(0.0) == 1200.0
