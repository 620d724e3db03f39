"""The daemon on its host: signals, events of devices, mounts and network, the control socket, the watchdog."""

import asyncio
import contextlib
import grp
import os
import signal
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path

from volward.service import endpoint, mounts
from volward.service.control import ControlServer
from volward.service.daemon import Daemon
from volward.service.peer import Access
from volward.service.routes import NetworkChanges
from volward.service.uevents import BlockEvents

GROUP = "volward"  # made by units/volward.sysusers; the socket is given to it by volward.service


async def watch(daemon: Daemon, *, control: Path = endpoint.PATH) -> None:
    """Run a daemon until SIGTERM.

    Raises BusyError when another one lives, OSError without netlink or mountinfo, also when one of them ends.
    """
    told = {signal.SIGTERM: daemon.stop, signal.SIGINT: daemon.stop, signal.SIGHUP: daemon.reload_soon}
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(endpoint.bound(control))
        for number, what in told.items():
            asyncio.get_running_loop().add_signal_handler(number, what)
        stack.enter_context(mounts.watched(daemon.look_again))
        heard = (
            _hear(stack.enter_context(BlockEvents()), daemon.look_again),
            _hear(stack.enter_context(NetworkChanges()), daemon.hurry),
        )
        server = ControlServer(daemon, access=Access(group=_group()), say=daemon.say)
        await server.start(listening)
        listeners = [asyncio.create_task(one) for one in heard]
        running = asyncio.create_task(daemon.run())
        try:
            await asyncio.wait((running, *listeners), return_when=asyncio.FIRST_COMPLETED)
            daemon.stop()  # one that is deaf is started anew by systemd
            await running
            for one in listeners:
                if one.done():
                    one.result()
        finally:
            for one in (running, *listeners):
                one.cancel()
            await server.close()


def _group() -> int | None:
    """Return the group whose members may ask; None when an administrator removed it."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


async def _hear(events: AsyncIterable[object], what: Callable[[], None]) -> None:
    """Whatever is told of, also that something was missed, is a reason to look."""
    async for _ in events:
        what()
    raise OSError("The kernel's events have ended.")


async def keep_alive(notify: Callable[[str], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Tell systemd's watchdog that the loop turns (sd_watchdog_enabled(3)); returns when there is none."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not microseconds:
        return
    while True:
        notify("WATCHDOG=1")
        await sleep(microseconds / 2e6)
