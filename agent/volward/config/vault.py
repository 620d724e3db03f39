"""`[vault]`: the server and how this host logs in; `[volumes.NAME.vault]`: where a volume's key is kept."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

from volward.config import values
from volward.config.problem import FieldError
from volward.config.store import Settings
from volward.model import VaultKeep, VaultLogin, VaultLoginMethod, VaultServer
from volward.model.vault import is_path

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", re.ASCII)


def parse_address(value: object) -> str:
    """Return https://HOST[:PORT]; http is taken for loopback alone, where nobody listens on the way."""
    written = values.text(value, '"https://vault.example.com:8200"')
    try:
        parts = urlsplit(written)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise FieldError(
            f'is "{written}", which is not the address of a server.',
            'For example "https://vault.example.com:8200".',
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise FieldError(f'is "{written}".', f'Write the server alone: "{parts.scheme}://{host}:{parts.port or 8200}".')
    if parts.scheme == "http" and host not in LOOPBACK:
        raise FieldError(
            f'is "{written}", and keys would cross the network in clear text.', f'Write "https://{parts.netloc}".'
        )
    return written.rstrip("/")


def parse_segments(value: object) -> str:
    """Return a path in Vault (of a mount, a key, a namespace), without slashes at its ends."""
    written = values.text(value, '"kv"').strip("/")
    if not is_path(written):
        raise FieldError(f'is "{value}".', "Use letters, digits and _ . @ - between the slashes.")
    return written


def parse_credential(value: object) -> str:
    """Return the name of a systemd credential."""
    written = values.text(value, '"volward-vault"')
    if _CREDENTIAL.fullmatch(written) is None:
        raise FieldError(f'is "{written}", which is not the name of a credential.', 'For example "volward-vault".')
    return written


def parse_file(value: object) -> Path:
    """Return an absolute path."""
    written = values.text(value, '"/etc/volward/ca.pem"')
    if not written.startswith("/") or ".." in written.split("/"):
        raise FieldError(f'is "{written}", which is not an absolute path.', 'For example "/etc/volward/ca.pem".')
    return Path(written)


Address = Annotated[str, BeforeValidator(parse_address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Segments = Annotated[str, BeforeValidator(parse_segments), WithJsonSchema({"type": "string", "minLength": 1})]
Credential = Annotated[str, BeforeValidator(parse_credential), WithJsonSchema({"type": "string", "minLength": 1})]
File = Annotated[Path, BeforeValidator(parse_file), WithJsonSchema({"type": "string", "pattern": "^/"})]


class VaultLoginConfig(Settings):
    """How this host logs in to Vault; `volward vault policy` prints the commands that allow it to."""

    method: VaultLoginMethod = Field(
        VaultLoginMethod.APPROLE, description="approle, cert, jwt, token or token-file (the sink of a Vault agent)."
    )
    mount: Segments | None = Field(None, description="Where the auth method is mounted. Default: the method's name.")
    role: StrictStr = Field("", description="The role's name. AppRole needs it to check and look up its secret id.")
    role_id: StrictStr = Field("", description="approle: the role id; no secret by itself.")
    credential: Credential | None = Field(
        None,
        description="approle, token: the systemd credential in /etc/credstore.encrypted with the secret id or token.",
    )
    wrapped: StrictBool = Field(
        default=False,
        description="approle: the credential holds a response-wrapping token; volward unwraps it once and seals what "
        "was in it on this host.",
    )
    certificate: File | None = Field(None, description="cert: the client certificate, PEM.")
    private_key: File | None = Field(None, description="cert: its private key, PEM.")
    file: File | None = Field(None, description="jwt, token-file: the file that is read at each login.")


class VaultConfig(Settings):
    """The Vault (or OpenBao) server that keeps keys for volumes with `vault` in `keys`."""

    address: Address = Field(
        description="https://HOST:PORT. http is for loopback alone.", examples=["https://vault.example.com:8200"]
    )
    namespace: Segments | None = Field(None, description="The namespace, where the server has them.")
    ca_file: File | None = Field(None, description="The CA of the server's certificate, PEM. Default: the system's.")
    timeout: StrictInt = Field(10, ge=1, le=120, description="Seconds for one request, 1 to 120.")
    login: VaultLoginConfig = Field(description="How this host logs in.")

    def server(self) -> VaultServer:
        """Return what the rest of volward works with."""
        login = self.login
        return VaultServer(
            address=self.address,
            login=VaultLogin(
                method=login.method,
                mount=login.mount or "",
                role=login.role,
                role_id=login.role_id,
                credential=login.credential or "",
                wrapped=login.wrapped,
                certificate=login.certificate,
                private_key=login.private_key,
                file=login.file,
            ),
            namespace=self.namespace or "",
            ca_file=self.ca_file,
            timeout_seconds=self.timeout,
        )


class VaultKeyConfig(Settings):
    """Where Vault keeps a volume's new key. The header of an enrolled volume says by itself where its key is."""

    keep: VaultKeep = Field(
        VaultKeep.KV,
        description="kv: Vault keeps the key (KV version 2). transit: Vault wraps it, and the wrapped key is in the "
        "volume's header.",
    )
    mount: Segments | None = Field(None, description="Where the secrets engine is mounted. Default: kv or transit.")
    path: Segments | None = Field(None, description="kv: the key's path. Default: volward/HOST NAME/VOLUME.")
    key: Segments = Field("volward", description="transit: the name of the transit key that wraps.")
