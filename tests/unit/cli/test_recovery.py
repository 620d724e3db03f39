"""`volward recovery`: test and enrol."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.unit.cli.driver import Cli

from volward.apply import RecoveryDelivery
from volward.cli.delivery import DescriptorDelivery, TerminalDelivery
from volward.errors import InterruptedRunError
from volward.model import VolumeSpec


@pytest.mark.parametrize(("keyslot", "status"), [(1, 0), (0, 0), (None, 77)])
def test_whether_it_opens(cli: Cli, keyslot: int | None, status: int) -> None:
    cli.replace("volward.operations.keys.test_recovery_key", lambda spec: keyslot)
    done = cli("recovery", "test", "cache")
    assert done.status == status
    if keyslot is None:
        assert "This key opens no keyslot of cache." in done.err
    else:
        assert done.out == f"cache: the recovery key opens keyslot {keyslot}\n"


@pytest.fixture
def enrolled(cli: Cli) -> list[tuple[str, RecoveryDelivery]]:
    given: list[tuple[str, RecoveryDelivery]] = []

    def enrol(spec: VolumeSpec, delivery: RecoveryDelivery, *, deadline_seconds: float) -> tuple[str, ...]:
        given.append((spec.name, delivery))
        return ("The header has no backup.",)

    cli.replace("volward.operations.enrolment.enrol_recovery_key", enrol)
    return given


@pytest.fixture
def writer() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def test_enrol_on_a_terminal(cli: Cli, enrolled: list[tuple[str, RecoveryDelivery]]) -> None:
    cli.on_a_terminal()
    done = cli("recovery", "enrol", "cache")
    assert done.status == 0
    assert "`volward recovery test cache` proves it" in done.out
    assert done.err == "  warning: The header has no backup.\n"
    assert [(name, type(delivery)) for name, delivery in enrolled] == [("cache", TerminalDelivery)]


def test_enrol_into_an_escrow(cli: Cli, enrolled: list[tuple[str, RecoveryDelivery]], writer: int) -> None:
    assert cli("recovery", "enrol", "--recovery-fd", str(writer), "cache").status == 0
    assert isinstance(enrolled[0][1], DescriptorDelivery)


def test_nobody_to_show_it_to(cli: Cli, enrolled: list[tuple[str, RecoveryDelivery]]) -> None:
    done = cli("recovery", "enrol", "cache")
    assert done.status == 77
    assert "--recovery-fd" in done.err
    assert cli("recovery", "enrol", "--recovery-fd", "2", "cache").status == 73
    assert enrolled == []


def test_ctrl_c_does_not_part_keyslot_and_token(cli: Cli) -> None:
    finished: list[bool] = []

    def enrol(spec: VolumeSpec, delivery: RecoveryDelivery, *, deadline_seconds: float) -> tuple[str, ...]:
        signal.raise_signal(signal.SIGINT)
        finished.append(True)
        return ()

    cli.on_a_terminal()
    cli.replace("volward.operations.enrolment.enrol_recovery_key", enrol)
    assert cli("recovery", "enrol", "cache").status == 0
    assert finished == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_at_the_question(cli: Cli) -> None:
    def enrol(*_: object, **__: object) -> None:
        raise InterruptedRunError("Interrupted.", resolution="Run it again.")

    cli.on_a_terminal()
    cli.replace("volward.operations.enrolment.enrol_recovery_key", enrol)
    assert cli("recovery", "enrol", "cache").status == 130
