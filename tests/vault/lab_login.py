"""The login of a virtual host to a server beside it: its role there; on the host the way, the CA and the secret id.

role = lab_login.allow(server, "lab")
host.put("/etc/volward/volward.toml", lab_login.deliver(host, server, role) + VOLUMES)
"""

from __future__ import annotations

from tests.lab.host import Host
from tests.vault import auth, mounts
from tests.vault.address import Address
from tests.vault.auth import AppRole
from tests.vault.server import Server

PORT = 8200
ADDRESS = f"https://127.0.0.1:{PORT}"
CA_FILE = "/etc/volward/ca.pem"
CREDENTIAL = "volward-vault"
# What a host does with its keys, whatever they are called; it takes none away.
POLICY = """
path "kv/*" { capabilities = ["create", "read", "update"] }
path "transit/*" { capabilities = ["read", "update"] }
"""
_TABLES = """
[vault]
address = "{address}"
ca_file = "{ca_file}"
{timeout}[vault.login]
role = "{role}"
role_id = "{role_id}"
credential = "{credential}"
wrapped = {wrapped}
"""
_SEAL = """
mkdir -p /etc/credstore.encrypted
systemd-creds encrypt --with-key=host --name="$1" - "/etc/credstore.encrypted/$1"
"""


def allow(server: Server, name: str, *, policy: str = POLICY, token_ttl: str = "10m") -> AppRole:
    """Mount `kv` and `transit` (with the derived key `volward`), and make a role and its policy of this name."""
    mounts.kv(server.admin, "kv")
    mounts.transit(server.admin, "transit", key="volward", derived=True)
    mounts.policy(server.admin, name, policy)
    return auth.approle(server.admin, name, token_policies=[name], token_ttl=token_ttl)


def deliver(
    host: Host,
    server: Server,
    role: AppRole,
    *,
    wrapped: bool = False,
    address: Address | None = None,
    timeout_seconds: int | None = None,
) -> str:
    """Let the host reach the server (at `address`: a proxy before it), seal a secret id there; return [vault]."""
    reach(host, address or server.address)
    trust(host, server)
    seal(host, role.wrapped_secret_id(ttl="30m") if wrapped else role.secret_id())
    return tables(role.name, role.role_id, wrapped=wrapped, timeout_seconds=timeout_seconds)


def reach(host: Host, address: Address) -> None:
    """Let the server answer in the host, at ADDRESS: until the host is cut, restarted or closed."""
    host.forward(guest_port=PORT, port=address.port)


def trust(host: Host, server: Server) -> None:
    """Put the server's CA where the configuration names it."""
    assert server.authority is not None
    host.put(CA_FILE, server.authority.ca_file.read_bytes())


def seal(host: Host, secret: str) -> None:
    """Seal a secret id, or the token that wraps one, for this host."""
    host.sh(_SEAL, CREDENTIAL, input=secret)


def tables(
    role: str, role_id: str, *, wrapped: bool = False, timeout_seconds: int | None = None, address: str = ADDRESS
) -> str:
    """Return [vault] and [vault.login] of the configuration."""
    return _TABLES.format(
        address=address,
        ca_file=CA_FILE,
        timeout="" if timeout_seconds is None else f"timeout = {timeout_seconds}\n",
        role=role,
        role_id=role_id,
        credential=CREDENTIAL,
        wrapped=str(wrapped).lower(),
    )
