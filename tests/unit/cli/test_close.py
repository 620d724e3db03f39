"""`volward close`: one after another, never by force, and it stops between two volumes."""

import signal
from typing import Any

import pytest
from tests.unit.cli.driver import Cli

from volward.errors import BusyError
from volward.model import VolumeSpec

BUSY = BusyError("cache is in use and stays open:\n  process 7 (postgres)", resolution="Stop these.")


@pytest.fixture
def close(cli: Cli) -> dict[str, Any]:
    """What closing answers by volume: True, False, an error, or something to be done in that moment."""
    answers: dict[str, Any] = {"cache": True, "queue": True, "calls": []}

    def close_volume(spec: VolumeSpec, *, stop_consumers: bool) -> bool:
        answers["calls"].append((spec.name, stop_consumers))
        answer = answers[spec.name]
        if isinstance(answer, BaseException):
            raise answer
        return bool(answer() if callable(answer) else answer)

    cli.replace("volward.operations.close.close_volume", close_volume)
    return answers


def test_all(cli: Cli, close: dict[str, Any]) -> None:
    close["queue"] = False
    done = cli("close", "--all")
    assert (done.status, done.err) == (0, "")
    assert done.out == "cache: closed\nqueue: nothing to do, because it is closed\n"
    assert close["calls"] == [("cache", False), ("queue", False)]


def test_consumers_are_stopped_when_that_is_said(cli: Cli, close: dict[str, Any]) -> None:
    cli("close", "--stop-consumers", "queue")
    assert close["calls"] == [("queue", True)]


@pytest.mark.parametrize("arguments", [(), ("--all", "cache")])
def test_a_command_line_that_says_too_little_or_too_much(
    cli: Cli, close: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    assert cli("close", *arguments).status == 2
    assert close["calls"] == []


def test_a_busy_volume_stays_open_and_the_next_is_closed(cli: Cli, close: dict[str, Any]) -> None:
    close["cache"] = BUSY
    done = cli("close", "--all")
    assert done.status == 75
    assert "process 7 (postgres)" in done.err
    assert done.out == "queue: closed\n"


def test_an_error_of_the_kernel_is_no_bug(cli: Cli, close: dict[str, Any]) -> None:
    close["cache"] = OSError(30, "Read-only file system", "/run/volward")
    done = cli("close", "cache")
    assert done.status == 71
    assert "Closing cache stopped: /run/volward: Read-only file system." in done.err


def test_ctrl_c_finishes_the_volume_in_hand(cli: Cli, close: dict[str, Any]) -> None:
    def interrupted() -> bool:
        signal.raise_signal(signal.SIGINT)
        return True

    close["cache"] = interrupted
    done = cli("close", "--all")
    assert done.status == 130
    assert done.out == "cache: closed\n"
    assert "queue: left open, because volward was interrupted" in done.err
