"""The printed policies on the real server: all that a host needs works with them, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import hvac
import pytest
from tests.unit.builders import SPEC
from tests.vault import agent, auth, mounts
from tests.vault.agent import CREDENTIAL, SECONDS
from tests.vault.server import Server

from volward.errors import KeyDeniedError
from volward.keys.vault.escrow import Escrow
from volward.keys.vault.policy import policies
from volward.keys.vault.session import Session
from volward.keys.vault.time_left import time_left
from volward.model import VaultKeep, VaultLogin, VaultLoginMethod, VaultPlace
from volward.secret import SecretBytes

NOT_ALLOWED = (hvac.exceptions.Forbidden,)


@dataclass
class Allowed:
    """A host with the printed policies."""

    one: Session
    client: hvac.Client
    mount: str
    transit: str


@pytest.fixture
def host(dev_server: Server, mount: str, request: pytest.FixtureRequest) -> Iterator[Allowed]:
    """The host db1, with the policies that are named by the test's parameter."""
    admin, wraps = dev_server.admin, f"{mount}-wraps"
    mounts.kv(admin, mount)
    mounts.transit(admin, wraps, key="volward", derived=True)
    login = VaultLogin(VaultLoginMethod.APPROLE, role=mount, credential=CREDENTIAL)
    server = agent.server(dev_server.url, login=login)
    specs = [
        replace(SPEC, vault=VaultPlace(server, mount=mount)),
        replace(SPEC, name="queue", vault=VaultPlace(server, VaultKeep.TRANSIT, mount=wraps)),
    ]
    for policy in policies(specs, "db1"):
        mounts.policy(admin, f"{policy.name}-{mount}", policy.text)
    names = [f"volward-db1-{name}-{mount}" for name in request.param]
    role = auth.approle(admin, mount, token_policies=names, token_no_default_policy=True)
    server = replace(server, login=replace(login, role_id=role.role_id))
    with agent.session(server, token=role.secret_id()) as one:
        with one.token(deadline_seconds=SECONDS).secret.view() as view:
            client = dev_server.client(str(view, "ascii"))
        yield Allowed(one, client, mount, wraps)


UNLOCK, BOTH, ESCROW = ("unlock",), ("unlock", "rotate"), ("escrow",)


@pytest.mark.parametrize("host", [BOTH], indirect=True)
def test_all_that_a_host_does(host: Allowed, tmp_path: Path, dev_server: Server) -> None:
    keys = agent.kv(host.one, host.mount)
    first = keys.create(keys.first_ref("pgdata"), adopt=True, deadline_seconds=SECONDS)
    second = keys.create(keys.next_ref(first, deadline_seconds=SECONDS), adopt=False, deadline_seconds=SECONDS)
    keys.read(second, deadline_seconds=SECONDS).wipe()
    assert keys.refs("pgdata", deadline_seconds=SECONDS) == (second, first)
    found = dev_server.admin.secrets.kv.v2.read_secret_metadata(first.name, mount_point=host.mount)
    assert found["data"]["custom_metadata"]["volume"] == "pgdata", "the remarks are allowed, too"
    wrapped = agent.transit(host.one, host.transit, tmp_path)
    ref = wrapped.create(wrapped.first_ref("queue"), adopt=True, deadline_seconds=SECONDS)
    wrapped.rewrap(ref, deadline_seconds=SECONDS)
    left = time_left(host.one, deadline_seconds=SECONDS)
    assert left.secret_id_known


@pytest.mark.parametrize("host", [UNLOCK], indirect=True)
def test_to_boot_reading_is_enough(host: Allowed, dev_server: Server, tmp_path: Path) -> None:
    with agent.session(agent.server(dev_server.url), token=dev_server.root_token) as admin:
        keys = agent.kv(admin, host.mount)
        ref = keys.create(keys.first_ref("pgdata"), adopt=False, deadline_seconds=SECONDS)
        wrapped = agent.transit(admin, host.transit, tmp_path)
        other = wrapped.create(wrapped.first_ref("queue"), adopt=False, deadline_seconds=SECONDS)
    mine = agent.kv(host.one, host.mount)
    mine.read(ref, deadline_seconds=SECONDS).wipe()
    agent.transit(host.one, host.transit, tmp_path).read(other, deadline_seconds=SECONDS).wipe()
    with pytest.raises(KeyDeniedError, match="capabilities"):
        mine.create(mine.next_ref(ref, deadline_seconds=SECONDS), adopt=False, deadline_seconds=SECONDS)


@pytest.mark.parametrize("host", [BOTH], indirect=True)
def test_the_key_of_another_host_or_volume_is_not_read(host: Allowed, dev_server: Server) -> None:
    with agent.session(agent.server(dev_server.url), token=dev_server.root_token) as admin:
        theirs = agent.kv(admin, host.mount, owner=replace(agent.OWNER, host="db2"))
        ref = theirs.create(theirs.first_ref("pgdata"), adopt=False, deadline_seconds=SECONDS)
        mine = agent.kv(admin, host.mount, "cache")
        other = mine.create(mine.first_ref("cache"), adopt=False, deadline_seconds=SECONDS)
    keys = agent.kv(host.one, host.mount)
    for one in (ref, other):
        with pytest.raises(KeyDeniedError, match="policy has to say"):
            keys.read(one, deadline_seconds=SECONDS)
        with pytest.raises(KeyDeniedError):
            keys.create(one, adopt=True, deadline_seconds=SECONDS)


@pytest.mark.parametrize("host", [BOTH], indirect=True)
def test_no_key_can_be_taken_away(host: Allowed) -> None:
    keys = agent.kv(host.one, host.mount)
    path = keys.create(keys.first_ref("pgdata"), adopt=True, deadline_seconds=SECONDS).name
    v2, where = host.client.secrets.kv.v2, {"mount_point": host.mount}
    attempts: list[Callable[[], object]] = [
        lambda: v2.delete_latest_version_of_secret(path, **where),
        lambda: v2.delete_secret_versions(path, [1], **where),
        lambda: v2.destroy_secret_versions(path, [1], **where),
        lambda: v2.delete_metadata_and_all_versions(path, **where),
        lambda: host.client.write_data(f"{host.mount}/metadata/{path}", data={"max_versions": 1}),
        lambda: host.client.write_data(f"{host.mount}/metadata/{path}", data={"delete_version_after": "1s"}),
        lambda: host.client.write_data(f"{host.mount}/config", data={"max_versions": 1}),
        lambda: host.client.secrets.transit.rotate_key("volward", mount_point=host.transit),
        lambda: host.client.secrets.transit.encrypt_data("new", plaintext="AAAA", mount_point=host.transit),
    ]
    for attempt in attempts:
        with pytest.raises(NOT_ALLOWED):
            attempt()
    keys.read(keys.first_ref("pgdata"), deadline_seconds=SECONDS).wipe()


@pytest.mark.parametrize("host", [ESCROW], indirect=True)
def test_an_escrow_takes_in_and_gives_nothing_back(host: Allowed) -> None:
    v2, where = host.client.secrets.kv.v2, {"mount_point": host.mount}
    path = "volward-recovery/db1/pgdata"
    v2.create_or_update_secret(path, secret={"key": "x"}, cas=0, **where)
    attempts: list[Callable[[], object]] = [
        lambda: v2.create_or_update_secret(path, secret={"key": "y"}, **where),
        lambda: v2.read_secret_version(path, raise_on_deleted_version=True, **where),
        lambda: v2.create_or_update_secret("volward-recovery/db2/pgdata", secret={"key": "y"}, **where),
        lambda: v2.create_or_update_secret("volward/db1/pgdata", secret={"key": "y"}, **where),
    ]
    for attempt in attempts:
        with pytest.raises(NOT_ALLOWED):
            attempt()


@pytest.mark.parametrize("host", [ESCROW], indirect=True)
def test_the_recovery_keys_of_a_host_go_in_and_stay(host: Allowed, dev_server: Server) -> None:
    escrow = Escrow(host.one, {"pgdata": host.mount}, deadline_seconds=SECONDS, owner=agent.OWNER)
    with SecretBytes(b"A1B2C-D3E4F") as key:
        where = escrow.put("pgdata", key)
    mount, _, path = where.partition("/")
    assert mount == host.mount
    kept = dev_server.admin.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
    assert kept["data"]["data"]["recovery_key"] == "A1B2C-D3E4F"
    assert kept["data"]["data"]["volume"] == "pgdata"
    with pytest.raises(NOT_ALLOWED):
        host.client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)


@pytest.mark.parametrize("host", [UNLOCK], indirect=True)
def test_a_host_without_the_policy_is_told_the_line(host: Allowed) -> None:
    escrow = Escrow(host.one, {"pgdata": host.mount}, deadline_seconds=SECONDS, owner=agent.OWNER)
    with SecretBytes(b"A1B2C-D3E4F") as key, pytest.raises(KeyDeniedError) as raised:
        escrow.put("pgdata", key)
    assert f'path "{host.mount}/data/volward-recovery/db1/*" {{ capabilities = ["create"] }}' in str(raised.value)
