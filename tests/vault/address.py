"""An address on loopback that nothing listens on."""

from __future__ import annotations

import socket
from typing import NamedTuple


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> Address:
        """One that was free a moment ago: a server that finds it taken takes another."""
        with socket.socket() as probe:
            probe.bind((host, 0))
            return cls(host, probe.getsockname()[1])
