"""QEMU's machine protocol (docs/interop/qmp-spec): one command at a time over a unix socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError

DEADLINE_SECONDS = 120.0


class Qmp:
    """A connection to one QEMU. Not for use by several threads."""

    def __init__(self, path: Path) -> None:
        self._socket = _connected(path)
        self._stream = self._socket.makefile("rb")
        self._events: list[dict[str, Any]] = []
        self._read()
        self.execute("qmp_capabilities")

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Run a command and return its value; LabError carries QEMU's words if it refuses."""
        request = {"execute": command, "arguments": dict(arguments or {})}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            reply = self._read()
            if "event" in reply:
                self._events.append(reply)
            elif "error" in reply:
                raise LabError(f"QEMU refused {command} {arguments}: {reply['error']['desc']}")
            else:
                return reply["return"]

    def wait_for(self, event: str, *, deadline_seconds: float = DEADLINE_SECONDS, **data: str) -> None:
        """Wait until an event of that name with that data has arrived; it is consumed."""
        limit = time.monotonic() + deadline_seconds
        while True:
            for seen in self._events:
                if seen["event"] == event and data.items() <= seen.get("data", {}).items():
                    self._events.remove(seen)
                    return
            remaining = limit - time.monotonic()
            if remaining <= 0:
                raise LabError(f"QEMU did not report {event} {data} within {deadline_seconds:g} s")
            self._socket.settimeout(remaining)
            try:
                self._events.append(self._read())
            except TimeoutError:
                continue
            finally:
                self._socket.settimeout(DEADLINE_SECONDS)

    def forget(self, event: str) -> None:
        """Drop the events of that name that have arrived so far."""
        self._events = [seen for seen in self._events if seen["event"] != event]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise LabError("QEMU closed its control connection: it has ended")
        message: dict[str, Any] = json.loads(line)
        return message


def _connected(path: Path) -> socket.socket:
    """Connect; QEMU's socket is there a moment before it takes connections."""
    limit = time.monotonic() + DEADLINE_SECONDS
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(DEADLINE_SECONDS)
        try:
            one.connect(str(path))
        except ConnectionRefusedError:
            one.close()
            if time.monotonic() >= limit:
                raise
            time.sleep(0.01)
        else:
            return one
