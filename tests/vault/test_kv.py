"""Keys in the real KV engine: created once, read back, found again, and never overwritten."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.vault import agent, mounts
from tests.vault.agent import SECONDS
from tests.vault.server import Server

from volward.errors import KeyDeletedError, KeyDeniedError, KeyExistsError, UnsafeStoreError
from volward.keys.source import KeyRef
from volward.keys.vault.kv import KvSource
from volward.keys.vault.owner import Owner
from volward.keys.vault.session import Session

PATH = "volward/db1/pgdata"


@pytest.fixture
def one(dev_server: Server) -> Iterator[Session]:
    with agent.session(agent.server(dev_server.url), token=dev_server.root_token) as session:
        yield session


@pytest.fixture
def keys(one: Session, dev_server: Server, mount: str) -> KvSource:
    mounts.kv(dev_server.admin, mount)
    return agent.kv(one, mount)


def create(keys: KvSource, *, adopt: bool = False) -> KeyRef:
    return keys.create(keys.first_ref("pgdata"), adopt=adopt, deadline_seconds=SECONDS)


def content(keys: KvSource, ref: KeyRef) -> bytes:
    with keys.read(ref, deadline_seconds=SECONDS) as key, key.view() as view:
        return bytes(view)


def stored(server: Server, mount: str) -> dict[str, Any]:
    found: dict[str, Any] = server.admin.secrets.kv.v2.read_secret_metadata(PATH, mount_point=mount)["data"]
    return found


def test_a_key_and_the_next_one(keys: KvSource, dev_server: Server, mount: str) -> None:
    assert keys.refs("pgdata", deadline_seconds=SECONDS) == ()
    first = create(keys)
    assert str(first) == f"vault:{PATH}.v1"
    second = keys.create(keys.next_ref(first, deadline_seconds=SECONDS), adopt=False, deadline_seconds=SECONDS)
    assert keys.refs("pgdata", deadline_seconds=SECONDS) == (second, first)
    assert len(content(keys, first)) == 64
    assert content(keys, first) != content(keys, second)
    assert keys.present(first, deadline_seconds=SECONDS)
    assert not keys.present(keys.next_ref(second, deadline_seconds=SECONDS), deadline_seconds=SECONDS)
    remarks = stored(dev_server, mount)["custom_metadata"]
    assert (remarks["host"], remarks["volume"], remarks["reason"]) == ("db1", "pgdata", "test")


def test_run_twice_it_adopts_and_never_overwrites(keys: KvSource, dev_server: Server, mount: str) -> None:
    ref = create(keys)
    before = content(keys, ref)
    with pytest.raises(KeyExistsError):
        create(keys)
    assert create(keys, adopt=True) == ref
    assert content(keys, ref) == before
    assert stored(dev_server, mount)["current_version"] == 1


def test_of_two_hosts_on_one_path_one_wins(keys: KvSource, one: Session, mount: str) -> None:
    create(keys)
    twin = agent.kv(one, mount, owner=Owner("db1", "fedcba9876543210"))
    with pytest.raises(KeyExistsError, match="another machine"):
        create(twin, adopt=True)


def test_the_key_of_another_volume_is_not_adopted(keys: KvSource, one: Session, mount: str) -> None:
    create(keys)
    other = agent.kv(one, mount, "other")
    with pytest.raises(KeyExistsError, match="volume pgdata"):
        create(other, adopt=True)


def test_deleted_undeleted_destroyed(keys: KvSource, dev_server: Server, mount: str) -> None:
    ref = create(keys)
    before = content(keys, ref)
    v2 = dev_server.admin.secrets.kv.v2
    v2.delete_secret_versions(PATH, [1], mount_point=mount)
    assert not keys.present(ref, deadline_seconds=SECONDS)
    for use in (lambda: content(keys, ref), lambda: create(keys, adopt=True)):
        with pytest.raises(KeyDeletedError, match=f"vault kv undelete -mount={mount} -versions=1 {PATH}"):
            use()
    v2.undelete_secret_versions(PATH, [1], mount_point=mount)
    assert content(keys, ref) == before
    v2.destroy_secret_versions(PATH, [1], mount_point=mount)
    with pytest.raises(KeyDeletedError, match="was destroyed"):
        content(keys, ref)
    assert keys.refs("pgdata", deadline_seconds=SECONDS) == ()
    assert stored(dev_server, mount)["current_version"] == 1


def test_what_never_was(keys: KvSource, one: Session) -> None:
    with pytest.raises(KeyDeniedError, match="no version 1"):
        content(keys, keys.first_ref("pgdata"))
    with pytest.raises(KeyDeniedError, match="no engine mounted"):
        nowhere = agent.kv(one, "no-such-mount")
        content(nowhere, nowhere.first_ref("pgdata"))


@pytest.mark.parametrize("secret", [{"key": "####"}, {"key": base64.b64encode(b"short").decode()}, {"x": "y"}])
def test_malformed_content(keys: KvSource, dev_server: Server, mount: str, secret: dict[str, str]) -> None:
    dev_server.admin.secrets.kv.v2.create_or_update_secret(PATH, secret=secret, mount_point=mount)
    with pytest.raises(KeyDeniedError, match="does not hold a key"):
        content(keys, keys.first_ref("pgdata"))


def test_version_1_is_refused(one: Session, dev_server: Server, mount: str) -> None:
    mounts.kv(dev_server.admin, mount, version=1)
    with pytest.raises(UnsafeStoreError, match="KV version 1"):
        create(agent.kv(one, mount))


@pytest.mark.parametrize("where", ["mount", "path"])
@pytest.mark.parametrize(
    "case", [({"max_versions": 2}, "max_versions"), ({"delete_version_after": "24h"}, "86400 s")], ids=str
)
def test_settings_that_lose_keys_are_refused(
    keys: KvSource, dev_server: Server, mount: str, where: str, case: tuple[dict[str, Any], str]
) -> None:
    setting, told = case
    path = f"{mount}/config" if where == "mount" else f"{mount}/metadata/{PATH}"
    dev_server.admin.write_data(path, data=setting)
    with pytest.raises(UnsafeStoreError, match=told):
        create(keys)
    assert keys.refs("pgdata", deadline_seconds=SECONDS) == ()


def test_the_eleventh_version_is_not_made_while_the_first_is_needed(keys: KvSource, one: Session, mount: str) -> None:
    """FAULTS 16: max_versions 0 means ten, and the eleventh would destroy the first."""
    refs = [create(keys)]
    needing = agent.kv(one, mount, beside=tuple(refs))

    def another(source: KvSource) -> None:
        ref = source.next_ref(refs[-1], deadline_seconds=SECONDS)
        refs.append(source.create(ref, adopt=False, deadline_seconds=SECONDS))

    for _ in range(9):
        another(needing)
    with pytest.raises(UnsafeStoreError, match="would destroy version 1"):
        another(needing)
    assert [ref.version for ref in keys.refs("pgdata", deadline_seconds=SECONDS)] == list(range(10, 0, -1))
    content(keys, refs[0])
    another(keys)  # nobody needs the first one any more
    with pytest.raises(KeyDeniedError):
        content(keys, refs[0])


def test_the_ref_counts_and_not_the_configuration(keys: KvSource, one: Session) -> None:
    """FAULTS 30: the host was renamed, the mount in the configuration changed."""
    ref = create(keys)
    renamed = agent.kv(one, "elsewhere", owner=replace(agent.OWNER, host="db2"))
    assert content(renamed, ref) == content(keys, ref)
