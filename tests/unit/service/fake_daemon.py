"""A small daemon behind a real control socket, in a thread of its own; and a client that says what it likes."""

import asyncio
import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from volward.service import endpoint, peer
from volward.service.control import ControlServer, Limits
from volward.service.live import Failure, LiveStatus, LiveVolume, Pass, Reloaded
from volward.service.peer import Access, Options, Peer
from volward.service.revision import Revision

PGDATA = LiveVolume("pgdata", "open", 1000.0, mount_point="/srv/volward/pgdata", opened_by="vault", last_try=999.5)
REDIS = LiveVolume(
    "redis",
    "waiting",
    1001.0,
    mount_point="/srv/volward/redis",
    degraded=("The header has no fresh backup.",),
    waits_for="Vault at https://vault.example:8200",
    last_try=1001.0,
    next_try=1031.0,
    failure=Failure("VW0401", "Vault is sealed.", "Unseal it."),
    consumers_waiting=("redis-server.service",),
)
STATUS = LiveStatus(
    0,
    "0.1.0",
    started_at=990.0,
    configured_at=991.0,
    last_pass=Pass(998.0, 1001.0, ("pgdata", "redis")),
    volumes=(PGDATA, REDIS),
)
# A word of the state above that nothing else says.
TELLTALE = b"pgdata"
T = TypeVar("T")
_TRIES = 1000  # a good client may find no room yet, or be too slow where time is short and the machine busy
ANSWER_SECONDS = 20.0  # for a loaded machine; nothing waits so long when all is well


class FakeDaemon:
    """Holds a status, and reads a configuration that is an answer."""

    def __init__(self, status: LiveStatus = STATUS) -> None:
        self.status = status
        self.reloaded: Reloaded | Exception = Reloaded(good=True)
        self.reloads = 0
        self.gate: asyncio.Event | None = None  # a reload waits for it
        self.revision = Revision()

    def snapshot(self) -> LiveStatus:
        return dataclasses.replace(self.status, revision=self.revision.number)

    async def reload(self) -> Reloaded:
        self.reloads += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.reloaded, Exception):
            raise self.reloaded
        return self.reloaded

    async def changed(self, since: int) -> None:
        await self.revision.beyond(since)

    def become(self, status: LiveStatus) -> None:
        self.status = status
        self.revision.rise()


@dataclass
class Running:
    """A control socket that answers."""

    path: Path
    daemon: FakeDaemon
    server: ControlServer
    loop: asyncio.AbstractEventLoop
    said: list[str] = field(default_factory=list)

    def do(self, function: Callable[[], T]) -> T:
        """Call a function in the daemon's thread."""

        async def there() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(ANSWER_SECONDS)

    def connect(self) -> "Client":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(self.path))
        return Client(connection)

    def answers(self) -> bool:
        """Whether a client that keeps the rules gets the whole status."""
        for _ in range(_TRIES):
            with self.connect() as client:
                client.call("io.volward.Control.Status")
                status: Any = client.hear()
            if status is not None:
                return [one["name"] for one in status["parameters"]["volumes"]] == ["pgdata", "redis"]
            time.sleep(0.01)
        return False


class Client:
    """One connection; says bytes, hears messages."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._heard = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def say(self, data: bytes) -> None:
        """Send; a daemon that has closed the connection meanwhile is no reason to fail."""
        with contextlib.suppress(ConnectionError):
            self.connection.sendall(data)

    def call(self, method: str, **more: object) -> None:
        self.say(json.dumps({"method": method, **more}).encode() + b"\0")

    def hear(self) -> dict[str, object] | None:
        """Return the next message; None when the daemon closed the connection."""
        while b"\0" not in self._heard:
            try:
                data = self.connection.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._heard += data
        message, _, self._heard = self._heard.partition(b"\0")
        found: dict[str, object] = json.loads(message)
        return found

    def ask(self, method: str, **more: object) -> dict[str, Any]:
        self.call(method, **more)
        found = self.hear()
        assert found is not None
        return found

    def rest(self) -> bytes:
        """Return everything that comes until the daemon closes the connection."""
        data, self._heard = self._heard, b""
        with contextlib.suppress(ConnectionError):
            while more := self.connection.recv(65536):
                data += more
        return data


_ROOT_ALONE = Access()
_USUAL = Limits()


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    access: Access = _ROOT_ALONE,
    limits: Limits = _USUAL,
    peer_of: Callable[[Options], Peer] = peer.of,
) -> Iterator[Running]:
    """Yield a control socket that answers, in a thread."""
    said: list[str] = []
    ready = threading.Event()
    stop: list[Callable[[], object]] = []
    made: list[Running] = []

    async def main() -> None:
        daemon = FakeDaemon()
        server = ControlServer(daemon, access=access, limits=limits, peer_of=peer_of, say=said.append)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        with endpoint.bound(directory / "control.sock") as listening:
            await server.start(listening)
            made.append(Running(directory / "control.sock", daemon, server, loop, said))
            ready.set()
            await ended.wait()
            await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(ANSWER_SECONDS)
        yield made[0]
    finally:
        stop[0]()
        thread.join()
