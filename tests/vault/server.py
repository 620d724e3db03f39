"""One real Vault server on loopback: started, initialised, sealed, restarted and ended by a test.

with Server(tmp_path, authority=Authority(tmp_path / "ca")) as server:
    mounts.kv(server.admin, "kv")
    server.seal()
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hvac
from tests.vault.address import Address
from tests.vault.certificates import Authority, Certificate
from tests.vault.clients import Clients
from tests.vault.configuration import DEV_TOKEN, Configuration, Storage, Tls
from tests.vault.health import Health
from tests.vault.process import PATIENCE_SECONDS, Process


class Server(Process):
    """A server and its data in `directory`. As a context manager: started, initialised and unsealed.

    With an `authority` it speaks TLS with a certificate for its address, or shows the `certificate` given.
    In dev mode it has neither TLS nor a seal, its token is `root`, and it has kv (version 2) at secret/.
    """

    def __init__(
        self,
        directory: Path,
        *,
        storage: Storage = Storage.RAFT,
        authority: Authority | None = None,
        certificate: Certificate | None = None,
        address: Address | None = None,
        peers: tuple[str, ...] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        api = address or Address.free()
        tls = None
        if authority is not None and storage is not Storage.DEV:
            tls = Tls(authority, certificate or authority.server(f"vault-{api.host}", api.host))
        configuration = Configuration(storage, directory, api, Address.free(api.host), tls, peers)
        super().__init__(configuration, fixed_address=address is not None)
        self.authority = authority
        self.root_token = DEV_TOKEN if storage is Storage.DEV else ""
        self.unseal_keys: list[str] = []
        self._clients = Clients(authority.ca_file if authority else None)
        self._admin: hvac.Client | None = None

    @property
    def url(self) -> str:
        return self.configuration.url

    @property
    def address(self) -> Address:
        return self.configuration.api

    @property
    def admin(self) -> hvac.Client:
        """The client with the root token."""
        if self._admin is None:
            self._admin = self.client(self.root_token)
        return self._admin

    def client(
        self,
        token: str | None = None,
        *,
        certificate: Certificate | None = None,
        url: str | None = None,
        ca_file: Path | None = None,
        timeout_seconds: float = PATIENCE_SECONDS,
    ) -> hvac.Client:
        """A client that trusts the server's CA (or `ca_file`), closed with the server. `url`: through a proxy."""
        return self._clients.make(
            url or self.url, token, certificate=certificate, ca_file=ca_file, timeout_seconds=timeout_seconds
        )

    def initialise(self, *, shares: int = 1, threshold: int = 1) -> None:
        """Initialise an empty store; root token and unseal keys are kept in this object."""
        answer = self.client().sys.initialize(secret_shares=shares, secret_threshold=threshold)
        self.root_token = answer["root_token"]
        self.unseal_keys = answer["keys"]

    def unseal(self, *, wait_for: tuple[Health, ...] = (Health.ACTIVE,)) -> None:
        """Give all unseal keys, and wait until the server is in one of these states."""
        self.client().sys.submit_unseal_keys(self.unseal_keys)
        self.wait_for(*wait_for)

    def seal(self) -> None:
        self.admin.sys.seal()
        self.wait_for(Health.SEALED)

    def restart(self, *, unseal: bool = True) -> None:
        """Stop in good order and start on the same address; in dev mode everything is forgotten."""
        self.stop()
        self.start()
        if unseal and self.configuration.storage is not Storage.DEV:
            self.unseal()

    def audit(self) -> None:
        """Enable a file audit device; `audited` reads it."""
        self.admin.sys.enable_audit_device("file", options={"file_path": str(self._audit_file)}, path="file")

    @property
    def audited(self) -> list[dict[str, Any]]:
        """The entries of the audit log so far: requests and responses, with secrets as HMACs."""
        return [json.loads(line) for line in self._audit_file.read_text().splitlines()]

    def close(self) -> None:
        """End the process at once, and every client that was made here."""
        self._clients.close()
        self._admin = None
        self.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
            if self.configuration.storage is not Storage.DEV:
                self.initialise()
                self.unseal()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _audit_file(self) -> Path:
        return self.configuration.directory / "audit.log"
