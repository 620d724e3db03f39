"""The usual VAULT_* variables, for a person at the command line whose configuration does not say where Vault is.

Only `volward open --device` and `--recovery-vault` look at them: what the boot does must not depend on an environment.
TLS is always verified, so VAULT_SKIP_VERIFY is refused and not ignored.
"""

from collections.abc import Mapping
from pathlib import Path

from volward.errors import ConfigurationError
from volward.model import VaultLogin, VaultLoginMethod, VaultServer
from volward.secret import SecretBytes

_OFF = ("", "0", "f", "false")


def server_from(environment: Mapping[str, str], configured: VaultServer | None) -> VaultServer | None:
    """Return the server: the configured one, else the environment's, else None. Raises ConfigurationError."""
    if environment.get("VAULT_SKIP_VERIFY", "").lower() not in _OFF:
        raise ConfigurationError(
            "VAULT_SKIP_VERIFY is set, and volward always verifies TLS: a key is asked of nobody unknown.",
            resolution="Unset it; name the server's CA in VAULT_CACERT.",
        )
    if configured is not None or not environment.get("VAULT_ADDR"):
        return configured
    from volward.config.problem import FieldError
    from volward.config.vault import parse_address

    try:
        address = parse_address(environment["VAULT_ADDR"])
    except FieldError as error:
        raise ConfigurationError(f"VAULT_ADDR {error.what}", resolution=error.suggestion) from error
    authority = environment.get("VAULT_CACERT")
    return VaultServer(
        address=address,
        login=VaultLogin(VaultLoginMethod.TOKEN_FILE, file=Path.home() / ".vault-token"),  # as `vault login` writes it
        namespace=environment.get("VAULT_NAMESPACE", "").strip("/"),
        ca_file=Path(authority) if authority else None,
    )


def token_from(environment: Mapping[str, str]) -> SecretBytes | None:
    """Return VAULT_TOKEN, which stands for the configured login; the caller wipes it."""
    text = environment.get("VAULT_TOKEN", "").strip()
    return SecretBytes(text.encode(errors="surrogateescape")) if text else None
