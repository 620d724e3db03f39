"""Ways to log in, enabled on a server: AppRole, TLS certificate, JWT.

Options are those of Vault's API for a role (`token_ttl="60s"`, `token_policies=["x"]`, `secret_id_num_uses=1`, …).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import hvac
from tests.vault.certificates import Authority
from tests.vault.issuer import Issuer
from tests.vault.process import PATIENCE_SECONDS

APPROLE, CERT, JWT = "approle", "cert", "jwt"


@dataclass(frozen=True)
class AppRole:
    """A role and its id; secret ids are made on demand."""

    admin: hvac.Client
    mount: str
    name: str
    role_id: str

    def secret_id(self, **options: Any) -> str:
        """A new secret id; `ttl="30s"`, `num_uses=1` and so on apply to this one."""
        answer = self.admin.write_data(self._path, data=options)
        return str(answer["data"]["secret_id"])

    def wrapped_secret_id(self, *, ttl: str = "120s", **options: Any) -> str:
        """A wrapping token with a new secret id in it, to be unwrapped once."""
        answer = self.admin.write_data(self._path, data=options, wrap_ttl=ttl)
        return str(answer["wrap_info"]["token"])

    def expired_secret_id(self) -> str:
        """A secret id that is over, and refused: Vault goes on taking one that has expired until it tidies up."""
        secret_id = self.secret_id(ttl="1s")
        limit = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.admin.write_data(f"auth/{self.mount}/tidy/secret-id", data={})
            found = self.admin.write_data(f"{self._path}/lookup", data={"secret_id": secret_id})
            if not isinstance(found, dict) or not found.get("data"):
                return secret_id
            assert time.monotonic() < limit, "the expired secret id is still there"
            time.sleep(0.5)

    @property
    def _path(self) -> str:
        return f"auth/{self.mount}/role/{self.name}/secret-id"


def approle(admin: hvac.Client, name: str, *, mount: str = APPROLE, **options: Any) -> AppRole:
    """Enable AppRole if it is not, and make a role."""
    _enable(admin, "approle", mount)
    admin.write_data(f"auth/{mount}/role/{name}", data=options)
    role_id = admin.read(f"auth/{mount}/role/{name}/role-id")["data"]["role_id"]
    return AppRole(admin, mount, name, role_id)


def cert(admin: hvac.Client, name: str, authority: Authority, *, mount: str = CERT, **options: Any) -> str:
    """Enable certificate login if it is not, and make a role for clients of this CA; return its name.

    `allowed_common_names=["host-1"]` and the like narrow it. The server must speak TLS.
    """
    _enable(admin, "cert", mount)
    data = {"certificate": authority.ca_file.read_text(), **options}
    admin.write_data(f"auth/{mount}/certs/{name}", data=data)
    return name


def jwt(admin: hvac.Client, name: str, issuer: Issuer, *, mount: str = JWT, **options: Any) -> str:
    """Enable JWT login if it is not, trust the issuer's key, and make a role; return its name."""
    _enable(admin, "jwt", mount)
    trust = {"jwt_validation_pubkeys": [issuer.public_key], "bound_issuer": issuer.name}
    admin.write_data(f"auth/{mount}/config", data=trust)
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [issuer.audience], **options}
    admin.write_data(f"auth/{mount}/role/{name}", data=role)
    return name


def _enable(admin: hvac.Client, method: str, mount: str) -> None:
    if f"{mount}/" not in admin.sys.list_auth_methods()["data"]:
        admin.sys.enable_auth_method(method, path=mount)
