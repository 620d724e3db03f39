"""Each way to log in, against the real server; and what becomes of secret ids and tokens that are over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import hvac
import pytest
from tests.vault import agent, auth, mounts
from tests.vault.agent import CREDENTIAL, SECONDS, PlainCredentials
from tests.vault.certificates import Authority
from tests.vault.issuer import Issuer
from tests.vault.server import Server

from volward.errors import KeyDeniedError
from volward.exit_status import ExitStatus
from volward.keys.vault.session import Session
from volward.keys.vault.time_left import renew, time_left
from volward.model import VaultLogin, VaultLoginMethod

POLICY = 'path "{0}/*" {{ capabilities = ["create", "read", "update"] }}\npath "sys/internal/ui/mounts/*" {{ capabilities = ["read"] }}'  # noqa: E501


@pytest.fixture
def engine(tls_server: Server, mount: str) -> str:
    """A KV engine and a policy of the same name that allows everything in it."""
    mounts.kv(tls_server.admin, mount)
    mounts.policy(tls_server.admin, mount, POLICY.format(mount))
    return mount


def approle(role: auth.AppRole, **more: Any) -> VaultLogin:
    login = VaultLogin(
        VaultLoginMethod.APPROLE, mount=role.mount, role=role.name, role_id=role.role_id, credential=CREDENTIAL
    )
    return replace(login, **more)


def use(one: Session, engine: str) -> None:
    """Create a key and read it."""
    keys = agent.kv(one, engine)
    ref = keys.create(keys.first_ref("pgdata"), adopt=True, deadline_seconds=SECONDS)
    keys.read(ref, deadline_seconds=SECONDS).wipe()


def test_approle_and_its_token_is_revoked_at_the_end(tls_server: Server, authority: Authority, engine: str) -> None:
    role = auth.approle(tls_server.admin, engine, token_policies=[engine], token_ttl="60s")
    record = agent.server(tls_server.url, login=approle(role), ca_file=authority.ca_file)
    with agent.session(record, token=role.secret_id()) as one:
        use(one, engine)
        with one.token(deadline_seconds=SECONDS).secret.view() as view:
            token = str(view, "ascii")
        assert tls_server.admin.auth.token.lookup(token)["data"]["policies"] == ["default", engine]
    with pytest.raises(hvac.exceptions.Forbidden):
        tls_server.admin.auth.token.lookup(token)


def test_eight_volumes_side_by_side_log_in_once(tmp_path: Path, authority: Authority) -> None:
    """The server's own audit log tells; each volume has a thread of its own, as in a pass."""
    with Server(tmp_path / "vault", authority=authority) as server:
        mounts.kv(server.admin, "kv")
        mounts.policy(server.admin, "pass", POLICY.format("kv"))
        role = auth.approle(server.admin, "pass", token_policies=["pass"])
        record = agent.server(server.url, login=approle(role), ca_file=authority.ca_file)
        secret_id = role.secret_id()
        server.audit()
        together = threading.Barrier(8)

        def volume(number: int) -> bytes:
            keys = agent.kv(one, "kv", f"volume{number}")
            together.wait()
            ref = keys.create(keys.first_ref(f"volume{number}"), adopt=False, deadline_seconds=60.0)
            with keys.read(ref, deadline_seconds=60.0) as key, key.view() as view:
                return bytes(view)

        with agent.session(record, token=secret_id) as one, ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(volume, range(8)))
        asked = [entry["request"]["path"] for entry in server.audited if entry["type"] == "request"]
    assert len(set(keys)) == 8
    assert asked.count("auth/approle/login") == 1
    assert len({path for path in asked if path.startswith("kv/data/volward/db1/volume")}) == 8


def test_a_client_certificate(tls_server: Server, authority: Authority, engine: str) -> None:
    auth.cert(tls_server.admin, engine, authority, allowed_common_names=["host-1"], token_policies=[engine])
    for name, may in (("host-1", True), ("host-2", False)):
        pair = authority.client(name)
        login = VaultLogin(VaultLoginMethod.CERT, role=engine, certificate=pair.certificate, private_key=pair.key)
        record = agent.server(tls_server.url, login=login, ca_file=authority.ca_file)
        with agent.session(record) as one:
            if may:
                use(one, engine)
            else:
                with pytest.raises(KeyDeniedError):
                    use(one, engine)


def test_a_json_web_token(tls_server: Server, authority: Authority, engine: str, tmp_path: Path) -> None:
    issuer = Issuer()
    auth.jwt(tls_server.admin, "host", issuer, mount=f"jwt-{engine}", bound_subject="h", token_policies=[engine])
    login = VaultLogin(VaultLoginMethod.JWT, mount=f"jwt-{engine}", role="host", file=tmp_path / "jwt")
    record = agent.server(tls_server.url, login=login, ca_file=authority.ca_file)
    (tmp_path / "jwt").write_text(issuer.token("h") + "\n")
    with agent.session(record) as one:
        use(one, engine)
    (tmp_path / "jwt").write_text(issuer.token("h", life_seconds=-600))
    with agent.session(record) as one, pytest.raises(KeyDeniedError, match="refuses the login"):
        use(one, engine)


def test_a_token_and_a_token_file(tls_server: Server, authority: Authority, engine: str, tmp_path: Path) -> None:
    token = tls_server.admin.auth.token.create(policies=[engine])["auth"]["client_token"]
    with agent.session(agent.server(tls_server.url, ca_file=authority.ca_file), token=token) as one:
        use(one, engine)
    (tmp_path / "token").write_text(token)
    login = VaultLogin(VaultLoginMethod.TOKEN_FILE, file=tmp_path / "token")
    with agent.session(agent.server(tls_server.url, login=login, ca_file=authority.ca_file)) as one:
        use(one, engine)
    assert tls_server.admin.auth.token.lookup(token)["data"]["policies"] == ["default", engine], "it is not ours"


@pytest.mark.parametrize("how", ["wrong", "used up", "expired"])
def test_secret_ids_that_are_no_good_are_denied_once(
    tls_server: Server, authority: Authority, engine: str, how: str
) -> None:
    role = auth.approle(tls_server.admin, engine, token_policies=[engine])
    record = agent.server(tls_server.url, login=approle(role), ca_file=authority.ca_file)
    makers: dict[str, Callable[[], str]] = {
        "wrong": lambda: "00000000",
        "used up": lambda: role.secret_id(num_uses=1),
        "expired": role.expired_secret_id,
    }
    secret = makers[how]()
    if how == "used up":
        with agent.session(record, token=secret) as one:
            use(one, engine)
    with agent.session(record, token=secret) as one:
        with pytest.raises(KeyDeniedError, match="deliver a new secret id") as raised:
            use(one, engine)
        assert raised.value.exit_status is ExitStatus.DENIED
        with pytest.raises(KeyDeniedError):
            use(one, engine)


def test_a_token_that_expires_in_the_middle_is_replaced(tls_server: Server, authority: Authority, engine: str) -> None:
    role = auth.approle(tls_server.admin, engine, token_policies=[engine], token_ttl="5s", token_max_ttl="5s")
    record = agent.server(tls_server.url, login=approle(role), ca_file=authority.ca_file)
    with agent.session(record, token=role.secret_id()) as one:
        first = one.token(deadline_seconds=SECONDS)
        time.sleep(6)
        use(one, engine)
        assert one.token(deadline_seconds=SECONDS) is not first


@pytest.mark.parametrize("secret_id", ["works", "is gone"])
def test_a_token_that_ends_between_a_write_and_its_reading_back(
    tls_server: Server, authority: Authority, engine: str, secret_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more login; where that is denied the version that was written stays, to be adopted."""
    role = auth.approle(tls_server.admin, engine, token_policies=[engine])
    record = agent.server(tls_server.url, login=approle(role), ca_file=authority.ca_file)
    held = role.secret_id()
    with agent.session(record, token=held) as one:
        keys = agent.kv(one, engine)
        real = keys._written

        def written(*words: Any) -> bool:
            done = real(*words)
            with one.token(deadline_seconds=SECONDS).secret.view() as view:
                tls_server.admin.auth.token.revoke(str(view, "ascii"))
            if secret_id == "is gone":
                tls_server.admin.write_data(
                    f"auth/{role.mount}/role/{role.name}/secret-id/destroy", data={"secret_id": held}
                )
            return done

        monkeypatch.setattr(keys, "_written", written)
        ref = keys.first_ref("pgdata")
        if secret_id == "works":
            keys.create(ref, adopt=False, deadline_seconds=SECONDS)
        else:
            with pytest.raises(KeyDeniedError, match="deliver a new secret id"):
                keys.create(ref, adopt=False, deadline_seconds=SECONDS)
    with agent.session(record, token=role.secret_id()) as one:
        keys = agent.kv(one, engine)
        assert keys.create(ref, adopt=True, deadline_seconds=SECONDS) == ref
        assert keys.refs("pgdata", deadline_seconds=SECONDS) == (ref,)
        keys.read(ref, deadline_seconds=SECONDS).wipe()


def test_a_wrapped_secret_id_is_unwrapped_once(tls_server: Server, authority: Authority, engine: str) -> None:
    role = auth.approle(tls_server.admin, engine, token_policies=[engine])
    record = agent.server(tls_server.url, login=approle(role, wrapped=True), ca_file=authority.ca_file)
    credentials = PlainCredentials(secret=role.wrapped_secret_id())
    for _ in range(2):  # the next boot has what was sealed
        with agent.session(record, credentials=credentials) as one:
            use(one, engine)
    stolen = PlainCredentials(secret=credentials.held[CREDENTIAL])
    with agent.session(record, credentials=stolen) as one, pytest.raises(KeyDeniedError, match="used already"):
        use(one, engine)


def test_a_wrapping_token_for_another_role(tls_server: Server, authority: Authority, engine: str) -> None:
    role = auth.approle(tls_server.admin, engine, token_policies=[engine])
    other = auth.approle(tls_server.admin, f"{engine}-other", token_policies=[engine])
    record = agent.server(tls_server.url, login=approle(role, wrapped=True), ca_file=authority.ca_file)
    wrapping = other.wrapped_secret_id()
    with agent.session(record, token=wrapping) as one, pytest.raises(KeyDeniedError, match="and not by"):
        use(one, engine)
    assert tls_server.client(wrapping).sys.unwrap()["data"]["secret_id"], "it was only looked at"


def test_the_time_left(tls_server: Server, authority: Authority, engine: str) -> None:
    lookup = f'path "auth/approle/role/{engine}/secret-id/lookup" {{ capabilities = ["update"] }}'
    mounts.policy(tls_server.admin, f"{engine}-left", lookup)
    role = auth.approle(tls_server.admin, engine, token_policies=[f"{engine}-left"], token_ttl="100s")
    record = agent.server(tls_server.url, login=approle(role), ca_file=authority.ca_file)
    with agent.session(record, token=role.secret_id(ttl="1h")) as one:
        found = renew(one, deadline_seconds=SECONDS)
        assert found.token_seconds is not None and 50 < found.token_seconds <= 100
        assert found.secret_id_known and found.secret_id_seconds is not None
        assert 3000 < found.secret_id_seconds <= 3600
    with agent.session(record, token=role.secret_id()) as one:
        assert time_left(one, deadline_seconds=SECONDS).secret_id_seconds is None
