"""The agent's side of the tests: its sessions with a real server, and credentials without sealing.

with agent.session(agent.server(dev_server.url), token=dev_server.root_token) as one:
    keys = agent.kv(one, mount, "pgdata")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volward.keys.source import KeyPurpose, KeyRef
from volward.keys.vault.credential import LoginCredentials
from volward.keys.vault.kv import KvSource
from volward.keys.vault.login import Login
from volward.keys.vault.owner import Owner
from volward.keys.vault.session import Session
from volward.keys.vault.transit import TransitSource
from volward.keys.vault.transport import HttpTransport
from volward.keys.vault.wrapped_file import WrappedFiles
from volward.model import VaultKeep, VaultLogin, VaultLoginMethod, VaultPlace, VaultServer
from volward.secret import SecretBytes

CREDENTIAL = "volward-vault"
OWNER = Owner("db1", "0123456789abcdef")
SECONDS = 10.0
BY_TOKEN = VaultLogin(VaultLoginMethod.TOKEN, credential=CREDENTIAL)


class PlainCredentials(LoginCredentials):
    """Credentials in memory: sealing is not what these tests are about."""

    def __init__(self, **held: str) -> None:
        super().__init__()
        self.held = {CREDENTIAL: held.get("secret", "")}
        self.kept: dict[str, str] = {}

    def read(self, name: str) -> SecretBytes:
        return SecretBytes(self.held[name].encode())

    def unwrapped(self, name: str, wrapping: SecretBytes) -> SecretBytes | None:
        found = self.kept.get(_text(wrapping))
        return SecretBytes(found.encode()) if found else None

    def keep(self, name: str, wrapping: SecretBytes, secret: SecretBytes) -> Path:
        self.kept[_text(wrapping)] = _text(secret)
        return Path("/none")


def _text(secret: SecretBytes) -> str:
    with secret.view() as view:
        return str(view, "ascii")


def server(
    url: str, *, login: VaultLogin = BY_TOKEN, ca_file: Path | None = None, timeout_seconds: int = 5
) -> VaultServer:
    """The record of a server as a configuration would make it."""
    return VaultServer(url, login, ca_file=ca_file, timeout_seconds=timeout_seconds)


@contextmanager
def session(record: VaultServer, *, token: str = "", credentials: LoginCredentials | None = None) -> Iterator[Session]:
    """A session, closed afterwards. ``token`` is what the credential holds."""
    login = Login(record.login, credentials or PlainCredentials(secret=token))
    one = Session(record, login, HttpTransport(record))
    try:
        yield one
    finally:
        one.close()


def kv(
    one: Session, mount: str, volume: str = "pgdata", *, owner: Owner = OWNER, beside: tuple[KeyRef, ...] = ()
) -> KvSource:
    """The keys of a volume in KV."""
    place = VaultPlace(one.server, VaultKeep.KV, mount=mount)
    purpose = KeyPurpose(volume=volume, reason="test", beside=beside)
    return KvSource(one, place, purpose=purpose, owner=owner)


def transit(one: Session, mount: str, files: Path, *, key: str = "volward") -> TransitSource:
    """The wrapped keys of a volume."""
    return TransitSource(
        one, VaultPlace(one.server, VaultKeep.TRANSIT, mount=mount, key=key), files=WrappedFiles(files)
    )
