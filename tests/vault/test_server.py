"""The support's own promises: a real server, in the states that the tests of the key store need."""

from __future__ import annotations

from pathlib import Path

import hvac
import pytest
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, RateLimitExceeded, VaultDown
from tests.vault import auth, mounts
from tests.vault.certificates import Authority
from tests.vault.health import Health
from tests.vault.issuer import Issuer
from tests.vault.server import Server

READ_ALL = 'path "{mount}/*" {{ capabilities = ["read"] }}'


def put(client: hvac.Client, mount: str, name: str = "key", **secret: str) -> None:
    client.secrets.kv.v2.create_or_update_secret(name, secret=secret, mount_point=mount)


def get(client: hvac.Client, mount: str, name: str = "key") -> dict[str, str]:
    answer = client.secrets.kv.v2.read_secret_version(name, mount_point=mount, raise_on_deleted_version=True)
    found: dict[str, str] = answer["data"]["data"]
    return found


def test_the_dev_server_is_active(dev_server: Server) -> None:
    assert dev_server.health() is Health.ACTIVE
    assert dev_server.admin.is_authenticated()


def test_create_only_refuses_what_is_there(dev_server: Server, mount: str) -> None:
    mounts.kv(dev_server.admin, mount)
    v2 = dev_server.admin.secrets.kv.v2
    v2.create_or_update_secret("key", secret={"x": "1"}, cas=0, mount_point=mount)
    with pytest.raises(InvalidRequest, match="check-and-set"):
        v2.create_or_update_secret("key", secret={"x": "2"}, cas=0, mount_point=mount)
    assert get(dev_server.admin, mount) == {"x": "1"}


def test_both_versions_of_the_key_value_engine(dev_server: Server, mount: str) -> None:
    admin = dev_server.admin
    mounts.kv(admin, mount)
    mounts.kv(admin, f"{mount}-old", version=1)
    engines = admin.sys.list_mounted_secrets_engines()["data"]
    assert engines[f"{mount}/"]["options"] == {"version": "2"}
    assert engines[f"{mount}-old/"]["options"] == {"version": "1"}


def test_transit_wraps_and_unwraps(dev_server: Server, mount: str) -> None:
    transit = dev_server.admin.secrets.transit
    mounts.transit(dev_server.admin, mount, key="unlock", derived=True)
    wrapped = transit.encrypt_data("unlock", plaintext="c2VjcmV0", context="dm9s", mount_point=mount)
    ciphertext = wrapped["data"]["ciphertext"]
    assert ciphertext.startswith("vault:v1:")
    opened = transit.decrypt_data("unlock", ciphertext, context="dm9s", mount_point=mount)
    assert opened["data"]["plaintext"] == "c2VjcmV0"


def test_a_sealed_server_answers_503_and_keeps_its_data(server: Server, mount: str) -> None:
    mounts.kv(server.admin, mount)
    put(server.admin, mount, x="kept")
    server.seal()
    with pytest.raises(VaultDown, match="sealed"):
        get(server.admin, mount)
    server.unseal()
    server.restart(unseal=False)
    assert server.health() is Health.SEALED
    server.unseal()
    server.kill()
    assert server.health() is Health.GONE
    server.start()
    server.unseal()
    assert get(server.admin, mount) == {"x": "kept"}


def test_several_unseal_keys(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.start()
        assert server.health() is Health.UNINITIALISED
        server.initialise(shares=3, threshold=2)
        server.client().sys.submit_unseal_key(server.unseal_keys[0])
        assert server.health() is Health.SEALED
        server.client().sys.submit_unseal_key(server.unseal_keys[2])
        server.wait_for(Health.ACTIVE)
    finally:
        server.close()


def test_a_certificate_that_is_over_is_refused(tmp_path: Path, authority: Authority) -> None:
    over = authority.server("over", "127.0.0.1", expired=True)
    with (
        pytest.raises(Exception, match="certificate has expired"),
        Server(tmp_path, authority=authority, certificate=over),
    ):
        pass


def test_a_certificate_of_another_authority_is_refused(tls_server: Server, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another CA")
    with pytest.raises(Exception, match="certificate verify failed"):
        tls_server.client(ca_file=other.ca_file).sys.read_seal_status()


def test_approle(tls_server: Server, mount: str) -> None:
    admin = tls_server.admin
    mounts.kv(admin, mount)
    put(admin, mount, x="1")
    mounts.policy(admin, mount, READ_ALL.format(mount=mount))
    role = auth.approle(admin, mount, token_policies=[mount])
    client = tls_server.client()
    used = role.secret_id(num_uses=1)
    client.auth.approle.login(role.role_id, used)
    assert get(client, mount) == {"x": "1"}
    with pytest.raises(Forbidden):
        put(client, mount, x="2")
    with pytest.raises(InvalidRequest, match="invalid role or secret ID"):
        tls_server.client().auth.approle.login(role.role_id, used)
    unwrapped = tls_server.client(role.wrapped_secret_id()).sys.unwrap()
    tls_server.client().auth.approle.login(role.role_id, unwrapped["data"]["secret_id"])


def test_a_client_certificate_logs_in(tls_server: Server, authority: Authority, mount: str) -> None:
    auth.cert(tls_server.admin, mount, authority, allowed_common_names=["host-1"], token_ttl="60s")
    right, wrong = authority.client("host-1"), authority.client("host-2")
    answer = tls_server.client(certificate=right).auth.cert.login(name=mount)
    assert answer["auth"]["metadata"]["common_name"] == "host-1"
    with pytest.raises(InvalidRequest):
        tls_server.client(certificate=wrong).auth.cert.login(name=mount)


def test_a_json_web_token_logs_in(dev_server: Server, mount: str) -> None:
    issuer = Issuer()
    auth.jwt(dev_server.admin, "host", issuer, mount=mount, bound_subject="host-1")
    client = dev_server.client()
    assert client.auth.jwt.jwt_login("host", issuer.token("host-1"), path=mount)["auth"]["client_token"]
    for refused in (issuer.token("host-2"), issuer.token("host-1", life_seconds=-600), Issuer().token("host-1")):
        with pytest.raises(InvalidRequest):
            client.auth.jwt.jwt_login("host", refused, path=mount)


def test_a_quota_answers_429(dev_server: Server, mount: str) -> None:
    mounts.kv(dev_server.admin, mount)
    put(dev_server.admin, mount, x="1")
    with mounts.quota(dev_server.admin, mount, rate=2), pytest.raises(RateLimitExceeded):
        for _ in range(4):
            get(dev_server.admin, mount)
    assert get(dev_server.admin, mount) == {"x": "1"}


def test_the_audit_log_has_no_secret(server: Server, mount: str) -> None:
    server.audit()
    mounts.kv(server.admin, mount)
    put(server.admin, mount, x="canary-of-the-audit")
    with pytest.raises(InvalidPath):
        get(server.admin, mount, "nothing")
    paths = [(entry["type"], entry["request"]["path"]) for entry in server.audited]
    assert ("response", f"{mount}/data/key") in paths
    assert ("request", f"{mount}/data/nothing") in paths
    assert "canary" not in str(server.audited)
