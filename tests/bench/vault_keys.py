"""Keys of a benchmark in a real Vault: the server runs beside the virtual host, and answers in it over TLS."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.host import Host
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server


@contextmanager
def server_for(host: Host) -> Iterator[str]:
    """Run a server for as long as the context lasts, and yield the configuration by which the host reaches it."""
    with (
        tempfile.TemporaryDirectory() as name,
        Server(Path(name) / "vault", authority=Authority(Path(name) / "ca")) as server,
    ):
        yield lab_login.deliver(host, server, lab_login.allow(server, "bench"))
