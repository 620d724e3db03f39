"""The control socket: what the daemon knows of its volumes, and `volward reload`. Varlink (io.volward.Control.varlink).

The protocol is the varlink library's; the connections are ours, because it has threads and no bounds. Whoever is not
allowed is closed before a byte of theirs is read; whoever is can neither make the daemon wait nor grow. Nothing that
can be called here opens, closes or changes a volume.
"""

import asyncio
import contextlib
import json
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import varlink

from volward import __version__
from volward.service import peer
from volward.service.call import Call
from volward.service.inbox import Inbox, LeftError
from volward.service.live import Live, Reloaded
from volward.service.live_json import as_json
from volward.service.peer import Access, Options, Peer
from volward.service.reloads import Reloads

INTERFACE = "io.volward.Control"
_END = b"\0"  # of a message (varlink.org)
_STRANGERS_TOLD = 16  # so many users; more would only fill the journal


@dataclass(frozen=True)
class Limits:
    """What one client may cost."""

    message_bytes: int = 16384
    idle_seconds: float = 30.0  # until a whole message is there
    send_seconds: float = 10.0  # until an answer is taken
    connections: int = 32  # half of them root's alone, so that nobody keeps root out


class Methods:
    """The interface; the library finds each method by its name, and its parameters by theirs."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.reloads = Reloads(live.reload)

    def Status(self, _request: Call, *, _more: bool = False) -> Iterator[dict[str, object]]:  # noqa: N802 (varlink's name)
        status = self._live.snapshot()
        while True:
            yield {**as_json(status), "_continues": _more}
            # The library comes back for another answer only if this one said that there is more.
            yield _request.wait(self._live.changed(status.revision))
            status = self._live.snapshot()

    def Reload(self, _request: Call) -> Iterator[dict[str, object]]:  # noqa: N802
        if not _request.may_change:
            raise varlink.VarlinkError({"error": "org.varlink.service.PermissionDenied", "parameters": {}})
        yield _request.wait(self.reloads.one())
        reloaded = _request.result
        if not isinstance(reloaded, Reloaded):
            raise TypeError(f"reload() returned {type(reloaded).__name__}")
        yield as_json(reloaded)

    def Ping(self) -> dict[str, object]:  # noqa: N802
        return {"version": __version__}


class ControlServer:
    """Answers on one listening socket, from ``start`` to ``close``."""

    def __init__(
        self,
        live: Live,
        *,
        access: Access = Access(),  # noqa: B008 (it is frozen)
        limits: Limits = Limits(),
        peer_of: Callable[[Options], Peer] = peer.of,
        say: Callable[[str], None] = print,
    ) -> None:
        """``say`` gets lines for the journal, with sd-daemon(3)'s prefixes."""
        self._access = access
        self._limits = limits
        self._peer_of = peer_of
        self._say = say
        self._strangers: set[int] = set()
        self._open: dict[asyncio.Task[None], Peer] = {}
        self._server: asyncio.Server | None = None
        self._service = varlink.Service(
            vendor="volward", product="volward", version=__version__, interface_dir=str(Path(__file__).parent)
        )
        self._service.interface(INTERFACE)(lambda: Methods(live))

    @property
    def clients(self) -> tuple[Peer, ...]:
        """Who is connected now."""
        return tuple(self._open.values())

    async def start(self, listening: socket) -> None:
        """Begin to answer."""
        # Not start_unix_server: from Python 3.13 on it removes the path at the end, also that of a .socket unit.
        self._server = await asyncio.start_server(self._connected, sock=listening, limit=self._limits.message_bytes)

    async def close(self) -> None:
        """Let all clients go and stop listening."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    # --- one connection ---------------------------------------------------------------------------------

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let somebody in; no coroutine, so that a stranger is gone before the loop reads anything of theirs."""
        try:
            who = self._peer_of(writer.get_extra_info("socket"))
        except OSError:  # went away meanwhile
            writer.transport.abort()
            return
        if not self._access.allows(who):
            self._tell_of(who)
            writer.transport.abort()
        elif not self._has_room(who):
            writer.transport.abort()
        else:
            task = asyncio.create_task(self._converse(reader, writer, may_change=self._access.may_change(who)))
            self._open[task] = who
            task.add_done_callback(self._open.pop)

    def _has_room(self, who: Peer) -> bool:
        if len(self._open) >= self._limits.connections:
            return False
        others = sum(one.user != 0 for one in self._open.values())
        return who.user == 0 or others < self._limits.connections // 2

    def _tell_of(self, who: Peer) -> None:
        if who.user not in self._strangers and len(self._strangers) < _STRANGERS_TOLD:
            self._strangers.add(who.user)
            self._say(f"<4>Process {who.process} of user {who.user} asked on the control socket, and got no answer.")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_change: bool) -> None:
        inbox = Inbox(reader, self._limits.message_bytes)
        writer.transport.set_write_buffer_limits(high=0)  # drain() is done when the kernel has it all
        try:
            while True:
                async with asyncio.timeout(self._limits.idle_seconds):
                    message = await inbox.message()
                await self._answer(message, inbox, writer, Call(may_change=may_change))
        except (LeftError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 (the daemon outlives every bug in here)
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._say(f"<3>A bug in the control socket: {type(error).__name__} in {where.name}, line {where.lineno}.")
        finally:
            writer.transport.abort()

    async def _answer(self, raw: bytes, inbox: Inbox, writer: asyncio.StreamWriter, call: Call) -> None:
        silent = _checked(raw)
        with contextlib.closing(self._service.handle(raw, None, call)) as replies:
            for reply in replies:
                waited_for = call.take()
                if waited_for is not None:
                    call.result = await _while_there(inbox, waited_for)
                elif not silent:
                    writer.write(reply + _END)
                    async with asyncio.timeout(self._limits.send_seconds):
                        await writer.drain()


def _checked(raw: bytes) -> bool:
    """Return whether the call wants no answer (oneway). Raises LeftError unless it is a call as varlink has it.

    The library takes for granted what is looked at here.
    """
    try:
        message = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise LeftError from error
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise LeftError
    if not isinstance(message.get("parameters"), dict | None):
        raise LeftError
    flags = [message.get(name) for name in ("oneway", "more", "upgrade")]
    if any(not isinstance(flag, bool | None) for flag in flags):
        raise LeftError
    oneway, more, upgrade = map(bool, flags)
    if upgrade or (oneway and more):
        raise LeftError
    return oneway


async def _while_there(inbox: Inbox, waited_for: Awaitable[object]) -> object:
    """Return what was waited for. Raises LeftError when the client goes away, or says too much meanwhile."""
    wanted = asyncio.ensure_future(waited_for)
    heard = asyncio.ensure_future(inbox.listen())
    try:
        await asyncio.wait({wanted, heard}, return_when=asyncio.FIRST_COMPLETED)
        if heard.done():
            raise LeftError
        return wanted.result()
    finally:
        wanted.cancel()
        heard.cancel()
        await asyncio.gather(wanted, heard, return_exceptions=True)
