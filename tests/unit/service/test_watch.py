"""The daemon on a host: its signals, its control socket, and the watchdog."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.service.stage import Stage

from volward.errors import BusyError, DaemonAnswerError
from volward.service import client
from volward.service import watch as watch_module
from volward.service.control import ControlServer
from volward.service.daemon import Daemon
from volward.service.peer import Peer
from volward.service.watch import keep_alive, watch


def test_signals_and_the_control_socket(stage: Stage, tmp_path: Path) -> None:
    """SIGHUP reads the configuration anew, SIGTERM ends it."""
    path = tmp_path / "control.sock"

    async def both() -> None:
        stage.daemon = Daemon(stage.outside)
        running = asyncio.create_task(watch(stage.daemon, control=path))
        await stage.until(lambda: "READY=1" in stage.notified)
        told = await asyncio.to_thread(client.status, path)
        assert [volume.name for volume in told.volumes] == ["data"]
        with pytest.raises(BusyError):
            await watch(Daemon(stage.outside), control=path)
        os.kill(os.getpid(), signal.SIGHUP)
        await stage.until(lambda: stage.notified.count("READY=1") == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    asyncio.run(both())
    assert "STOPPING=1" in stage.notified
    assert not path.exists()


@pytest.mark.parametrize("error", [OSError(105, "No buffer space available"), None])
def test_a_daemon_that_hears_nothing_any_more_ends(
    error: OSError | None, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that systemd starts it anew; a watchdog that is fed says nothing of that."""

    class Deaf:
        def __enter__(self) -> "Deaf":
            return self

        def __exit__(self, *_: object) -> None: ...

        async def __aiter__(self) -> AsyncIterator[object]:
            yield None
            if error is not None:
                raise error

    monkeypatch.setattr(watch_module, "BlockEvents", Deaf)
    with pytest.raises(OSError, match=r"No buffer space|have ended"):
        asyncio.run(watch(Daemon(stage.outside), control=tmp_path / "control.sock"))
    assert stage.notified[-1] == "STOPPING=1"


def test_what_the_control_socket_says_goes_where_the_daemons_lines_go(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is only printed stands in a buffer until something else is said."""
    path = tmp_path / "control.sock"
    monkeypatch.setattr(watch_module, "ControlServer", partial(ControlServer, peer_of=lambda _: Peer(7, 1000)))

    async def both() -> None:
        stage.daemon = Daemon(stage.outside)
        running = asyncio.create_task(watch(stage.daemon, control=path))
        await stage.until(lambda: "READY=1" in stage.notified)
        with pytest.raises(DaemonAnswerError):
            await asyncio.to_thread(client.status, path)
        stage.daemon.stop()
        await running

    asyncio.run(both())
    assert "<4>Process 7 of user 1000 asked on the control socket, and got no answer." in stage.said


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}])
def test_no_watchdog(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    notified: list[str] = []
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asyncio.run(keep_alive(notified.append))
    assert notified == []


def test_a_watchdog_is_told_twice_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    notified: list[str] = []
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_alive(notified.append, sleep))
    assert (notified, slept) == (["WATCHDOG=1"] * 3, [2.0] * 3)
