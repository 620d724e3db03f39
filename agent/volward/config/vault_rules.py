"""What must hold inside [vault], beyond each value by itself. Changes nothing."""

import socket
from collections.abc import Iterator

from volward.config.problem import listed
from volward.config.vault import VaultConfig, VaultLoginConfig
from volward.config.volume import VolumeConfig
from volward.model import ProviderKind, VaultKeep, VaultLoginMethod
from volward.model.vault import default_path

Found = tuple[str, str, str]  # the setting, what is wrong, what to write instead

# What each method of logging in needs, and what else it can use.
_NEEDED = {
    VaultLoginMethod.APPROLE: ("role_id", "credential"),
    VaultLoginMethod.CERT: ("certificate", "private_key"),
    VaultLoginMethod.JWT: ("role", "file"),
    VaultLoginMethod.TOKEN: ("credential",),
    VaultLoginMethod.TOKEN_FILE: ("file",),
}
_USED = {
    VaultLoginMethod.APPROLE: ("role", "wrapped", "mount"),
    VaultLoginMethod.CERT: ("role", "mount"),
    VaultLoginMethod.JWT: ("mount",),
    VaultLoginMethod.TOKEN: (),
    VaultLoginMethod.TOKEN_FILE: (),
}
_EXAMPLES = {
    "role": 'role = "volward"',
    "role_id": 'role_id = "…", as `vault read auth/approle/role/NAME/role-id` shows it',
    "credential": 'credential = "volward-vault"',
    "certificate": 'certificate = "/etc/volward/host.pem"',
    "private_key": 'private_key = "/etc/volward/host.key"',
    "file": 'file = "/run/vault/token"',
}


def broken(server: VaultConfig) -> Iterator[Found]:
    """Yield what is wrong in a [vault] whose values are right one by one."""
    login = server.login
    written = {name for name in login.model_fields_set if getattr(login, name) not in (None, "")}
    for name in _NEEDED[login.method]:
        if name not in written:
            yield f"login.{name}", f'is missing: method = "{login.method}" needs it.', f"Add {_EXAMPLES[name]}."
    known = {"method", *_NEEDED[login.method], *_USED[login.method]}
    for name in sorted(written - known):
        uses = listed([*_NEEDED[login.method], *_USED[login.method]])
        yield f"login.{name}", f'has no meaning for method = "{login.method}".', f"Leave it out; it uses {uses}."
    yield from _wrapping(login)
    if login.method is VaultLoginMethod.CERT and server.address.startswith("http:"):
        yield "login.method", 'is "cert", and that takes TLS.', f'Write address = "https:{server.address[5:]}".'


def _wrapping(login: VaultLoginConfig) -> Iterator[Found]:
    if login.wrapped and login.method is VaultLoginMethod.APPROLE and not login.role:
        yield (
            "login.role",
            "is missing: a wrapped secret id is taken only if it was made for this very role.",
            f"Add {_EXAMPLES['role']}.",
        )


def key_path(name: str, volume: VolumeConfig) -> str | None:
    """Return where in Vault a volume keeps its key, with the mount; None where it keeps none there."""
    if ProviderKind.VAULT not in volume.keys or volume.vault.keep is not VaultKeep.KV:
        return None
    return f"{volume.vault.mount or 'kv'}/{volume.vault.path or default_path(name, socket.gethostname())}"
