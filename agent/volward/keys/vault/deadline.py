"""A total deadline for HTTP answers, however slowly their bytes drip: http.client's time-out is for each read alone.

Each read from the socket may take what is left until the deadline of the thread that asks. Covers the status line,
the headers and the body. Connecting and each step of the TLS handshake have the request's time-out; name resolution
has the resolver's own (resolv.conf(5)).
"""

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

_CLOCK = time.monotonic
_present = threading.local()


@contextmanager
def until(end: float) -> Iterator[None]:
    """Let the requests of this thread be answered until ``end`` (monotonic seconds) or not at all."""
    before = getattr(_present, "end", None)
    _present.end = end
    try:
        yield
    finally:
        _present.end = before


def left_seconds() -> float:
    """Return what is left for this thread, infinity without a deadline."""
    end = getattr(_present, "end", None)
    return float("inf") if end is None else end - _CLOCK()


class _Reader(io.RawIOBase):
    """Reads from a socket, each time with what is left of the deadline and no more than its own time-out."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._longest = sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = left_seconds()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(min(left, self._longest or left) if left != float("inf") else self._longest)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """http.client's response over that reader."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock))


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Lets a requests session have all its answers read so; never repeats a request by itself."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Use pools whose connections read with the deadline."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
