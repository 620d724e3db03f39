"""One connection through the proxy, in a thread of its own, with one fault."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading

from tests.vault.address import Address
from tests.vault.fault import Canned, Cut, Endless, Fault, Silent, Slow

CHUNK_BYTES = 65536
# How often a waiting thread looks whether it is to end.
LOOK_SECONDS = 0.1
# How often a slow response goes on: fine enough for rates of a few bytes a second.
SLICE_SECONDS = 0.05
LONGEST_REQUEST_BYTES = 1024 * 1024
# SO_LINGER with no time: close(2) sends a reset instead of an orderly end.
RESET = struct.pack("ii", 1, 0)


class Connection:
    """Ends by itself when either side does, or when `close` is called."""

    def __init__(
        self,
        client: socket.socket,
        target: Address,
        fault: Fault,
        server_context: ssl.SSLContext | None,
        client_context: ssl.SSLContext | None,
    ) -> None:
        self._client = client
        self._target = target
        self._fault = fault
        self._server_context = server_context
        self._client_context = client_context
        self._ending = threading.Event()
        self._sockets: list[socket.socket] = [client]
        self._sent = 0
        self._thread = threading.Thread(target=self._run, name="proxied connection", daemon=True)

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End it now, whatever it is waiting for."""
        self._ending.set()
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        # What goes wrong with a connection is seen by the client under test, and is nothing to report here.
        try:
            with contextlib.suppress(OSError):
                self._serve()
        finally:
            for each in self._sockets:
                each.close()

    def _serve(self) -> None:
        if isinstance(self._fault, Silent):
            self._ending.wait()
            return
        client = self._client
        if self._server_context is not None:
            client = self._server_context.wrap_socket(client, server_side=True)
            self._sockets.append(client)
        if isinstance(self._fault, Canned):
            _read_request(client)
            client.sendall(self._fault.response)
        elif isinstance(self._fault, Endless):
            _read_request(client)
            client.sendall(self._fault.head)
            while not self._ending.is_set():
                client.sendall(self._fault.chunk)
        else:
            self._pump(client, self._connect())

    def _connect(self) -> socket.socket:
        server = socket.create_connection(self._target, timeout=30)
        server.settimeout(None)
        if self._client_context is not None:
            server = self._client_context.wrap_socket(server, server_hostname=self._target.host)
        self._sockets.append(server)
        return server

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        while not self._ending.is_set():
            for ready in _readable(client, server):
                try:
                    data = _received(ready)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                if not data:
                    return
                if ready is client:
                    server.sendall(data)
                elif not self._respond(client, data):
                    return

    def _respond(self, client: socket.socket, data: bytes) -> bool:
        """Pass on a part of the response; False when it is to be the last."""
        match self._fault:
            case Cut(after_bytes=limit, reset=reset):
                rest = limit - self._sent
                client.sendall(data[:rest])
                self._sent += len(data[:rest])
                if self._sent < limit:
                    return True
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return False
            case Slow(bytes_per_second=rate):
                size = max(1, int(rate * SLICE_SECONDS))
                for start in range(0, len(data), size):
                    client.sendall(data[start : start + size])
                    if self._ending.wait(size / rate):
                        return False
            case _:
                client.sendall(data)
        return True


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    """Those with something to read; what TLS has deciphered already is not seen by select(2)."""
    pending = [each for each in sockets if isinstance(each, ssl.SSLSocket) and each.pending() > 0]
    return list(pending) or select.select(sockets, [], [], LOOK_SECONDS)[0]


def _received(ready: socket.socket) -> bytes:
    """What is there now: a TLS stream that can be read may hold a session ticket and no data (RFC 8446, 4.6.1).

    Waiting for data there would keep the other direction from passing.
    """
    ready.setblocking(False)
    try:
        return ready.recv(CHUNK_BYTES)
    finally:
        ready.setblocking(True)


def _read_request(client: socket.socket) -> None:
    """Read one HTTP request, so that its sender is done when it gets the answer."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < LONGEST_REQUEST_BYTES:
        more = client.recv(CHUNK_BYTES)
        if not more:
            return
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        more = client.recv(CHUNK_BYTES)
        if not more:
            return
        missing -= len(more)
