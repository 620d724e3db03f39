"""Where a Vault server is, how this host logs in to it, and where in it a volume's key is kept. No secret in it.

Vault here is HashiCorp Vault or OpenBao, which speaks the same API (https://developer.hashicorp.com/vault/api-docs).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_PATH = re.compile(r"[A-Za-z0-9_.@-]+(/[A-Za-z0-9_.@-]+)*", re.ASCII)


def is_path(text: str) -> bool:
    """Whether it names a place in Vault and can lead to no other: no "..", nothing that a URL would change."""
    return _PATH.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


class VaultLoginMethod(StrEnum):
    APPROLE = "approle"
    CERT = "cert"  # a TLS client certificate
    JWT = "jwt"
    TOKEN = "token"  # noqa: S105 (the name of a method); the token is in a systemd credential
    TOKEN_FILE = "token-file"  # noqa: S105 (the same); the sink of a Vault agent, read anew at each login


@dataclass(frozen=True)
class VaultLogin:
    """How the host proves who it is. Each method uses the fields that it needs; the others are empty."""

    method: VaultLoginMethod
    mount: str = ""  # of the auth method, without slashes at its ends; "": the method's own name
    role: str = ""  # its name: certificate role, JWT role; of an AppRole, to check and look up its secret id
    role_id: str = ""  # of an AppRole
    credential: str = ""  # systemd credential that holds the secret id or the token
    wrapped: bool = False  # it holds a response-wrapping token in place of the secret id
    certificate: Path | None = None
    private_key: Path | None = None
    file: Path | None = None  # of a JWT, or the token file

    @property
    def path(self) -> str:
        """Return the auth method's mount path."""
        return self.mount or str(self.method)


@dataclass(frozen=True)
class VaultServer:
    """A server as this host reaches it."""

    address: str  # https://HOST:PORT; http for loopback only
    login: VaultLogin
    namespace: str = ""
    ca_file: Path | None = None  # None: the system's CAs
    timeout_seconds: int = 10  # of one request, within the deadline of what needs it


def default_path(volume: str, host: str) -> str:
    """Return where a volume's key is kept if the configuration does not say."""
    return f"volward/{host}/{volume}"


class VaultKeep(StrEnum):
    KV = "kv"  # the key itself is in Vault (KV version 2)
    TRANSIT = "transit"  # Vault wraps the key; the wrapped form is in the header and on this host


@dataclass(frozen=True)
class VaultPlace:
    """Where a new key of a volume is kept. An enrolled key is found by its header token alone."""

    server: VaultServer
    keep: VaultKeep = VaultKeep.KV
    mount: str = ""  # of the secrets engine; "": its own name
    path: str = ""  # kv; "": volward/HOST NAME/VOLUME
    key: str = "volward"  # the transit key's name

    def path_of(self, name: str, host: str) -> str:
        """Return the path of a key (kv); the host's name counts when the key is created, never again.

        ``name`` is the volume's, and for a key of another use it has that after a dot: "pgdata.header".
        """
        volume, dot, use = name.partition(".")
        return f"{self.path or default_path(volume, host)}{dot}{use}"

    @property
    def engine(self) -> str:
        """Return the secrets engine's mount path."""
        return self.mount or str(self.keep)
