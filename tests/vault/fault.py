"""What the proxy does to a connection. Transport faults work on any stream; Canned and Endless speak HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Forward:
    """No fault: both directions pass as they are."""


@dataclass(frozen=True)
class Refuse:
    """Nothing listens: the connection is refused (ECONNREFUSED)."""


@dataclass(frozen=True)
class Silent:
    """The connection is accepted, and nothing is ever read or answered."""


@dataclass(frozen=True)
class Slow:
    """The response passes at this rate; the request passes as it is."""

    bytes_per_second: int


@dataclass(frozen=True)
class Cut:
    """The connection ends after so many bytes of the response: orderly (FIN), or by a reset (RST)."""

    after_bytes: int
    reset: bool = False


@dataclass(frozen=True)
class Canned:
    """Every request gets this answer; the server behind never sees it."""

    status: int
    body: bytes = b'{"errors":["canned by the test"]}'
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @property
    def response(self) -> bytes:
        head = [f"HTTP/1.1 {self.status} Canned", f"Content-Length: {len(self.body)}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Endless:
    """Every request gets `head`, and then `chunk` again and again, as long as it is read.

    By default it looks like a secret whose value never ends. Other heads make the headers endless.
    """

    head: bytes = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"data":{"data":{"x":"'
    chunk: bytes = b"A" * 65536


Fault = Forward | Refuse | Silent | Slow | Cut | Canned | Endless
