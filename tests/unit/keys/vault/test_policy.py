"""What the host is allowed, as text: every volume's own path, and nothing that could take a key away."""

import re
from dataclasses import replace

from tests.unit.builders import SPEC
from tests.unit.keys.vault.scripted import SERVER

from volward.keys.vault.policy import policies, setup
from volward.model import VaultKeep, VaultLogin, VaultLoginMethod, VaultPlace

KV = replace(SPEC, vault=VaultPlace(SERVER))
OTHER = replace(KV, name="cache", vault=VaultPlace(SERVER, path="own/path", mount="secret"))
TRANSIT = replace(KV, name="queue", vault=VaultPlace(SERVER, VaultKeep.TRANSIT))
PARTS, USES = ("data", "metadata"), ("", ".header")  # the unlocking key, and the one of header backups
SECOND = replace(TRANSIT, name="second")


def rules(text: str) -> dict[str, str]:
    return dict(re.findall(r'path "([^"]+)" \{\n  capabilities = \[([^]]+)\]', text))


def test_each_policy_has_its_paths() -> None:
    unlock, rotate, escrow = policies([KV, OTHER, TRANSIT, SECOND], "db1")
    assert unlock.name == "volward-db1-unlock"
    assert rules(unlock.text) == {
        "auth/token/lookup-self": '"read"',
        "auth/token/renew-self": '"update"',
        "auth/token/revoke-self": '"update"',
        "auth/approle/role/volward/secret-id/lookup": '"update"',
        **dict.fromkeys((f"kv/{part}/volward/db1/pgdata{use}" for part in PARTS for use in USES), '"read"'),
        **dict.fromkeys((f"secret/{part}/own/path{use}" for part in PARTS for use in USES), '"read"'),
        "transit/decrypt/volward": '"update"',
    }
    assert rules(rotate.text) == {
        **{f"kv/data/volward/db1/pgdata{use}": '"create", "read", "update"' for use in USES},
        **{f"kv/metadata/volward/db1/pgdata{use}": '"read", "update"' for use in USES},
        "kv/config": '"read"',
        **{f"secret/data/own/path{use}": '"create", "read", "update"' for use in USES},
        **{f"secret/metadata/own/path{use}": '"read", "update"' for use in USES},
        "secret/config": '"read"',
        "transit/encrypt/volward": '"update"',
        "transit/rewrap/volward": '"update"',
        "transit/keys/volward": '"read"',
    }
    assert rules(escrow.text) == {
        "kv/data/volward-recovery/db1/*": '"create"',
        "secret/data/volward-recovery/db1/*": '"create"',
    }
    assert unlock.text.count("transit/decrypt") == 1


def test_nothing_that_takes_a_key_away() -> None:
    for policy in policies([KV, TRANSIT], "db1"):
        assert not re.search(r"delete|destroy|sudo|undelete", policy.text)
        for path in rules(policy.text):
            assert "*" not in path or path.endswith("volward-recovery/db1/*")
    metadata = policies([KV], "db1")[1].text.partition("kv/metadata/")[2]
    assert 'allowed_parameters = { "custom_metadata" = [] }' in metadata.partition("\n}")[0]


def test_the_script_for_approle() -> None:
    server = replace(SERVER, namespace="team")
    text = "\n".join(setup([replace(KV, vault=VaultPlace(server))], "db1"))
    assert "export VAULT_NAMESPACE=team" in text
    assert "secret_id_num_uses=0" in text
    assert "secret_id_bound_cidrs=$host_cidr" in text
    assert "vault write -wrap-ttl=30m" in text
    assert "auth/approle/role/volward " in text
    assert "#   systemd-creds encrypt --name=volward-vault - /etc/credstore.encrypted/volward-vault" in text


def test_other_ways_to_log_in_have_no_role() -> None:
    jwt = replace(SERVER, login=VaultLogin(VaultLoginMethod.JWT, role="r"))
    text = "\n".join(setup([replace(TRANSIT, vault=VaultPlace(jwt, VaultKeep.TRANSIT))], "db1"))
    assert "approle" not in text
    assert "kv/data/volward-recovery/db1/*" in text
    nameless = replace(SERVER, login=VaultLogin(VaultLoginMethod.APPROLE, role_id="x"))
    assert "auth/approle/role/volward-db1 " in "\n".join(setup([replace(KV, vault=VaultPlace(nameless))], "db1"))


def test_without_any_volume() -> None:
    assert rules(policies([], "db1")[1].text) == {}
    assert setup([], "db1")
