"""Keys of a benchmark in a real Vault: the server runs beside the virtual host, and answers in it over TLS."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.rotation_batch import SEAL_SECRET_ID
from tests.lab.host import Host
from tests.vault import auth, mounts
from tests.vault.certificates import Authority
from tests.vault.server import Server

CONFIGURATION = """
[vault]
address = "https://127.0.0.1:8200"
ca_file = "/etc/volward/ca.pem"
[vault.login]
role = "bench"
role_id = "{role_id}"
credential = "volward-vault"
"""
POLICY = 'path "kv/*" { capabilities = ["create", "read", "update"] }'


@contextmanager
def server_for(host: Host) -> Iterator[str]:
    """Run a server for as long as the context lasts, and yield the configuration by which the host reaches it."""
    with tempfile.TemporaryDirectory() as name:
        authority = Authority(Path(name) / "ca")
        with Server(Path(name) / "vault", authority=authority) as server:
            mounts.kv(server.admin, "kv")
            mounts.policy(server.admin, "bench", POLICY)
            role = auth.approle(server.admin, "bench", token_policies=["bench"], token_ttl="10m")
            host.forward(guest_port=8200, port=server.address.port)
            host.put("/etc/volward/ca.pem", authority.ca_file.read_bytes())
            host.sh(SEAL_SECRET_ID, input=role.secret_id())
            yield CONFIGURATION.format(role_id=role.role_id)
