"""A small faulty TCP proxy before a real server, on loopback: faults that the server itself cannot be made to show.

with Proxy(server.address) as proxy:
    client = server.client(token, url=proxy.url)
    proxy.become(Canned(503), Canned(503), Forward())  # two connections fail, all later ones pass

A TLS stream passes through it untouched, with the transport faults. For Canned and Endless over TLS it ends the TLS
itself: give it a `server_context` to show, and the `client_context` with which it reaches the server.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.vault.address import Address
from tests.vault.connection import Connection
from tests.vault.fault import Fault, Forward, Refuse

BACKLOG = 64


class Proxy:
    """Listens on a free port from the start; `connections` counts what it has accepted."""

    def __init__(
        self,
        target: Address,
        *,
        server_context: ssl.SSLContext | None = None,
        client_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.target = target
        self.connections = 0
        self._server_context = server_context
        self._client_context = client_context
        self._lock = threading.Lock()
        self._faults: Sequence[Fault] = (Forward(),)
        self._open: list[Connection] = []
        self._acceptor: threading.Thread | None = None
        self._listener = self._bound(Address(host, 0))
        self.address = Address(*self._listener.getsockname()[:2])
        self._listen()

    @property
    def url(self) -> str:
        """For a proxy that ends TLS itself, or stands before a server with TLS, use `tls_url`."""
        return f"http://{self.address}"

    @property
    def tls_url(self) -> str:
        return f"https://{self.address}"

    def become(self, *faults: Fault) -> None:
        """From now on, the first new connection gets the first fault, and so on; the last one stays.

        Open connections are cut: a client that keeps its connection meets the fault at its next request.
        """
        if not faults or (Refuse() in faults and len(faults) > 1):
            raise ValueError("give at least one fault, and Refuse only by itself")
        self._hang_up()
        self._faults = faults
        if Refuse() not in faults:
            self._listen()

    def close(self) -> None:
        self._hang_up()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        self._listener.listen(BACKLOG)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), name="proxy", daemon=True)
        self._acceptor.start()

    def _hang_up(self) -> None:
        """Stop listening, but keep the port: a socket that is bound and does not listen refuses connections."""
        if self._acceptor is not None:
            # Wakes the accept(2) that the thread waits in.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._acceptor = None
            self._listener.close()
            self._listener = self._bound(self.address)
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            fault = self._faults[0]
            self._faults = self._faults[1:] or self._faults
            self.connections += 1
            self._open = [connection for connection in self._open if connection.is_open]
            connection = Connection(client, self.target, fault, self._server_context, self._client_context)
            self._open.append(connection)
            connection.start()

    @staticmethod
    def _bound(address: Address) -> socket.socket:
        bound = socket.socket()
        # The port stays ours although connections to it are still being wound up.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        return bound
