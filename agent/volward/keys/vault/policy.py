"""What this host may do in Vault, as policies and as the commands that set it up: to read first, then to run. Pure.

The host can read and create its own volumes' keys. It can never delete, destroy or change how long versions are kept,
so that whoever takes the host over can take no key away.
https://developer.hashicorp.com/vault/docs/concepts/policies
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from volward.model import VaultKeep, VaultLoginMethod, VaultPlace, VaultServer, VolumeSpec

ESCROW_PATH = "volward-recovery"
_USES = ("", ".header")  # the unlocking key, and the one that header backups are sealed with


@dataclass(frozen=True)
class Policy:
    """One policy: its name in Vault, what it is for, and its text in HCL."""

    name: str
    purpose: str
    text: str


def policies(specs: Sequence[VolumeSpec], host: str) -> tuple[Policy, ...]:
    """Return the policies unlock, rotate and escrow for the volumes that keep keys in Vault."""
    places = [(spec.name, spec.vault) for spec in specs if spec.vault is not None]
    server = places[0][1].server if places else None
    return (
        Policy(
            f"volward-{host}-unlock",
            "opens the volumes; the boot needs this one alone",
            _text([*_own(server), *(line for name, place in places for line in _unlock(name, place, host))]),
        ),
        Policy(
            f"volward-{host}-rotate",
            "creates keys: `volward apply`, and rotation",
            _text([line for name, place in places for line in _rotate(name, place, host)]),
        ),
        Policy(
            f"volward-{host}-escrow",
            "takes new recovery keys in; whoever has it can neither read them nor replace one",
            _text(_escrow(places, host)),
        ),
    )


def setup(specs: Sequence[VolumeSpec], host: str) -> tuple[str, ...]:
    """Return a script, line by line: the policies, the AppRole, and how its secret id gets to the host."""
    places = [spec.vault for spec in specs if spec.vault is not None]
    lines = ["# Read this, then run it where `vault` is logged in as an administrator.", *_variables(places)]
    for policy in policies(specs, host):
        lines += ["", f"# {policy.name} {policy.purpose}."]
        lines += [f"vault policy write {policy.name} - <<'EOF'", policy.text.rstrip(), "EOF"]
    if places and places[0].server.login.method is VaultLoginMethod.APPROLE:
        lines += _approle(places[0].server, host)
    return tuple(lines)


def _variables(places: Sequence[VaultPlace]) -> Iterator[str]:
    if places:
        yield f"export VAULT_ADDR={places[0].server.address}"
        if places[0].server.namespace:
            yield f"export VAULT_NAMESPACE={places[0].server.namespace}"


def _own(server: VaultServer | None) -> Iterator[str]:
    yield from _rule("auth/token/lookup-self", "read")
    yield from _rule("auth/token/renew-self", "update")
    yield from _rule("auth/token/revoke-self", "update")
    if server is not None and server.login.method is VaultLoginMethod.APPROLE and server.login.role:
        yield from _rule(f"auth/{server.login.path}/role/{server.login.role}/secret-id/lookup", "update")


def _unlock(name: str, place: VaultPlace, host: str) -> Iterator[str]:
    yield f"# {name}"
    if place.keep is VaultKeep.KV:
        for path in (place.path_of(f"{name}{use}", host) for use in _USES):
            yield from _rule(f"{place.engine}/data/{path}", "read")
            yield from _rule(f"{place.engine}/metadata/{path}", "read")
    else:
        yield from _rule(f"{place.engine}/decrypt/{place.key}", "update")


def _rotate(name: str, place: VaultPlace, host: str) -> Iterator[str]:
    yield f"# {name}"
    if place.keep is VaultKeep.KV:
        paths = [place.path_of(f"{name}{use}", host) for use in _USES]
        for path in paths:
            yield from _rule(f"{place.engine}/data/{path}", "create", "read", "update")
        yield "# The remarks beside a key, and none of the settings that decide how long versions are kept."
        for path in paths:
            remarks = 'allowed_parameters = { "custom_metadata" = [] }'
            yield from _rule(f"{place.engine}/metadata/{path}", "read", "update", more=remarks)
        yield from _rule(f"{place.engine}/config", "read")
    else:
        yield "# No create: a transit key that is missing is to be noticed, and not made by the way."
        yield from _rule(f"{place.engine}/encrypt/{place.key}", "update")
        yield from _rule(f"{place.engine}/rewrap/{place.key}", "update")
        yield from _rule(f"{place.engine}/keys/{place.key}", "read")


def _escrow(places: Sequence[tuple[str, VaultPlace]], host: str) -> Iterator[str]:
    engines = dict.fromkeys(place.engine for _, place in places if place.keep is VaultKeep.KV) or {"kv": None}
    for engine in engines:
        yield from _rule(f"{engine}/data/{ESCROW_PATH}/{host}/*", "create")


def _rule(path: str, *capabilities: str, more: str = "") -> Iterator[str]:
    listed = ", ".join(f'"{one}"' for one in capabilities)
    yield f'path "{path}" {{'
    yield f"  capabilities = [{listed}]"
    if more:
        yield f"  {more}"
    yield "}"


def _text(lines: Sequence[str] | Iterator[str]) -> str:
    """Return the policy, each path once: volumes may share a transit key, and all share the mount's settings."""
    blocks: dict[str, None] = {}
    pending: list[str] = []
    for line in lines:
        pending.append(line)
        if line == "}":
            blocks["\n".join(pending)] = None
            pending = []
    return "\n".join(_without_repeated_paths(blocks)) + "\n"


def _without_repeated_paths(blocks: dict[str, None]) -> Iterator[str]:
    seen = set()
    for block in blocks:
        rule = block[block.index("path ") :]
        if rule not in seen:
            seen.add(rule)
            yield block


def _approle(server: VaultServer, host: str) -> Iterator[str]:
    mount, role = server.login.path, server.login.role or f"volward-{host}"
    credential = server.login.credential or "volward-vault"
    yield from (
        "",
        "# The role. A secret id works any number of times (a one-use one is spent at the first login and strands the",
        "# next boot), for a year, and from this host's address alone.",
        "host_cidr=192.0.2.10/32  # change it: this host's address as Vault sees it",
        f"vault auth enable -path={mount} approle  # unless it is enabled already",
        f"vault write auth/{mount}/role/{role} \\",
        f"  token_policies=volward-{host}-unlock,volward-{host}-rotate token_ttl=10m token_max_ttl=1h \\",
        "  secret_id_num_uses=0 secret_id_ttl=8760h secret_id_bound_cidrs=$host_cidr token_bound_cidrs=$host_cidr",
        f"vault read -field=role_id auth/{mount}/role/{role}/role-id  # role_id of [vault.login]",
        "",
        "# A secret id for the host, wrapped: the token works once, so a copy that somebody else used is noticed.",
        f"vault write -wrap-ttl=30m -field=wrapping_token -force auth/{mount}/role/{role}/secret-id",
        "",
        "# Not here but on the host, within these 30 minutes, with `wrapped = true` in [vault.login]: seal the token",
        "# (paste it, Enter, Ctrl-D), and have volward unwrap it. What was in it is sealed for the boots to come.",
        "#   mkdir -p -m 0700 /etc/credstore.encrypted",
        f"#   systemd-creds encrypt --name={credential} - /etc/credstore.encrypted/{credential}",
        "#   volward preflight    # or volward apply, for volumes that are new",
    )
