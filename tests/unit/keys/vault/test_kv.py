"""Keys in KV: created once by check-and-set, read back, adopted when they are ours, and never overwritten."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.keys.vault.scripted import DENIED, NOTHING, SERVER, Scripted, logged_in

from volward.errors import (
    KeyDeletedError,
    KeyDeniedError,
    KeyExistsError,
    ProviderUnavailableError,
    UnsafeStoreError,
    VerificationError,
)
from volward.keys.source import KeyPurpose, KeyRef
from volward.keys.vault import settings
from volward.keys.vault.exchange import Answer
from volward.keys.vault.kv import KvSource
from volward.keys.vault.owner import Owner, this_host
from volward.model import ProviderKind, VaultPlace

PLACE = VaultPlace(SERVER)
PURPOSE = KeyPurpose(volume="pgdata", luks_uuid="u", device="PG1", reason="provisioning")
OWNER = Owner("db1", "m1")
PATH = "volward/db1/pgdata"
READ, WRITE = f"GET /v1/kv/data/{PATH}", f"POST /v1/kv/data/{PATH}"
META, REMARK = f"GET /v1/kv/metadata/{PATH}", f"POST /v1/kv/metadata/{PATH}"
MOUNT, CONFIG = "GET /v1/sys/internal/ui/mounts/kv", "GET /v1/kv/config"
V2 = Answer(200, {"data": {"type": "kv", "options": {"version": "2"}}})
SETTINGS = Answer(200, {"data": {"max_versions": 0, "delete_version_after": "0s"}})
CONFLICT = Answer(400, {"errors": ["check-and-set parameter did not match the current version"]})
AWAY = ProviderUnavailableError("Away.", resolution="Wait.")
KEY = bytes(range(64))


def stored(key: bytes = KEY, /, **more: str) -> Answer:
    return Answer(200, {"data": {"data": {"key": base64.b64encode(key).decode(), **more}, "metadata": {"version": 1}}})


def versions(current: int, **states: dict[str, object]) -> Answer:
    return Answer(200, {"data": {"current_version": current, "versions": {n[1:]: s for n, s in states.items()}}})


class Store:
    """Remembers what was written, and gives it back."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    def write(self, content: dict[str, Any]) -> Answer:
        self.content = content
        return Answer(200, {"data": {"version": content["options"]["cas"] + 1}})

    def read(self, content: object) -> Answer:
        return Answer(200, {"data": {"data": self.content["data"]}})


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def script(store: Store) -> Scripted:
    script = Scripted().on(MOUNT, V2).on(CONFIG, SETTINGS).on(META, NOTHING).on(REMARK, Answer(204))
    return script.on(WRITE, store.write).on(READ, store.read)


def source(script: Scripted, place: VaultPlace = PLACE) -> KvSource:
    return KvSource(logged_in(script), place, purpose=PURPOSE, owner=OWNER)


def create(script: Scripted, *, adopt: bool = False, version: int = 1) -> KeyRef:
    keys = source(script)
    return keys.create(replace(keys.first_ref("pgdata"), version=version), adopt=adopt, deadline_seconds=5.0)


def read(script: Scripted) -> bytes:
    keys = source(script)
    with keys.read(keys.first_ref("pgdata"), deadline_seconds=5.0) as key, key.view() as view:
        return bytes(view)


def test_created_by_check_and_set_read_back_and_described(script: Scripted, store: Store) -> None:
    ref = create(script)
    assert str(ref) == f"vault:{PATH}.v1"
    assert dict(ref.details) == {"keep": "kv", "mount": "kv"}
    assert script.log == [MOUNT, CONFIG, META, WRITE, READ, REMARK]
    assert store.content["options"] == {"cas": 0}
    content = dict(store.content["data"])
    assert len(base64.b64decode(content.pop("key"))) == 64
    assert content.pop("created")
    assert content == {
        "host": "db1", "machine": "m1", "volume": "pgdata", "luks_uuid": "u", "device": "PG1", "reason": "provisioning",
    }  # fmt: skip
    remarks = script.asked[-1].content
    assert set(remarks) == {"custom_metadata"}
    assert "key" not in remarks["custom_metadata"]


def test_the_next_version_is_made_where_the_ref_says(script: Scripted, store: Store) -> None:
    elsewhere = source(script, replace(PLACE, mount="new", path="new/path"))
    old = KeyRef(ProviderKind.VAULT, PATH, 3, {"keep": "kv", "mount": "kv", "namespace": "ns"})
    script.on(META, versions(3))
    ref = elsewhere.create(elsewhere.next_ref(old, deadline_seconds=5.0), adopt=False, deadline_seconds=5.0)
    assert (ref.name, ref.version, dict(ref.details)) == (PATH, 4, dict(old.details))
    assert store.content["options"] == {"cas": 3}
    assert {asked.question.namespace for asked in script.asked} == {"ns"}


@pytest.mark.parametrize(("current", "following"), [(2, 3), (5, 6)])
def test_deleted_versions_count_as_well(script: Scripted, current: int, following: int) -> None:
    """Check-and-set goes by the last version that there ever was, and refs() by what can be read."""
    script.on(META, versions(current, v1={"deletion_time": "2026-01-01T00:00:00Z"}))
    keys = source(script)
    assert keys.next_ref(replace(keys.first_ref("pgdata"), version=2), deadline_seconds=5.0).version == following


@pytest.mark.parametrize("answer", [NOTHING, versions(1)])
def test_a_place_that_lost_its_versions_gets_no_second_key_of_a_number(script: Scripted, answer: Answer) -> None:
    script.on(META, answer)
    keys = source(script)
    with pytest.raises(
        KeyDeniedError, match=r"Vault has lost versions of kv/volward/db1/pgdata.*until version 2 exists"
    ):
        keys.next_ref(replace(keys.first_ref("pgdata"), version=2), deadline_seconds=5.0)


def test_the_namespace_of_the_server_goes_into_the_ref() -> None:
    place = replace(PLACE, server=replace(SERVER, namespace="team"), mount="secret")
    assert dict(source(Scripted(), place).first_ref("pgdata").details) == {
        "keep": "kv", "mount": "secret", "namespace": "team",
    }  # fmt: skip


def test_a_key_that_is_there_is_never_overwritten(script: Scripted) -> None:
    script.on(WRITE, CONFLICT)
    with pytest.raises(KeyExistsError, match="never overwritten"):
        create(script)
    assert script.log.count(WRITE) == 1


@pytest.mark.parametrize("facts", [{}, {"volume": "pgdata", "machine": "m1"}])
def test_adopting_takes_the_current_version_as_it_is(script: Scripted, facts: dict[str, str]) -> None:
    script.on(WRITE, CONFLICT).on(META, NOTHING, versions(2)).on(READ, stored(**facts))
    ref = create(script, adopt=True)
    assert ref.version == 2
    assert script.log.count(WRITE) == 1
    assert REMARK not in script.log


@pytest.mark.parametrize("facts", [{"volume": "other", "host": "db1"}, {"volume": "pgdata", "machine": "m2"}])
def test_a_key_of_another_volume_or_machine_is_not_adopted(script: Scripted, facts: dict[str, str]) -> None:
    """Two machines cloned with one name would share a key without a word."""
    script.on(WRITE, CONFLICT).on(META, NOTHING, versions(1)).on(READ, stored(**facts))
    with pytest.raises(KeyExistsError, match="is the key of"):
        create(script, adopt=True)


def test_a_gap_is_not_adopted(script: Scripted) -> None:
    script.on(WRITE, CONFLICT).on(META, NOTHING, versions(1))
    with pytest.raises(KeyExistsError, match="current version is 1"):
        create(script, adopt=True, version=3)


def test_a_deleted_current_version_is_not_adopted(script: Scripted) -> None:
    gone = Answer(404, {"data": {"data": None, "metadata": {"version": 1, "deletion_time": "2026-01-01T00:00:00Z"}}})
    script.on(WRITE, CONFLICT).on(META, NOTHING, versions(1)).on(READ, gone)
    with pytest.raises(KeyDeletedError, match=r"undelete -mount=kv -versions=1 volward/db1/pgdata"):
        create(script, adopt=True)


def test_an_unclear_answer_is_read_back_and_the_write_never_repeated(script: Scripted, store: Store) -> None:
    def written_and_cut(content: dict[str, Any]) -> Answer:
        store.write(content)
        raise AWAY

    script.on(WRITE, written_and_cut)
    assert create(script).version == 1
    assert script.log.count(WRITE) == 1


def test_an_unclear_answer_to_what_was_not_done(script: Scripted) -> None:
    script.on(WRITE, AWAY).on(READ, NOTHING)
    with pytest.raises(ProviderUnavailableError):
        create(script)
    assert script.log.count(WRITE) == 1


def test_an_unclear_answer_and_somebody_elses_key(script: Scripted) -> None:
    script.on(WRITE, AWAY).on(READ, stored())
    with pytest.raises(KeyExistsError):
        create(script)


def test_what_does_not_come_back_is_reported(script: Scripted) -> None:
    script.on(READ, stored())
    with pytest.raises(VerificationError, match="does not give back"):
        create(script)
    script.on(WRITE, Answer(200, {"data": {"version": 7}}))
    with pytest.raises(VerificationError, match="version 7"):
        create(script)


def test_remarks_are_best_effort(script: Scripted) -> None:
    script.on(REMARK, DENIED)
    assert create(script).version == 1


def test_another_refusal_to_write(script: Scripted) -> None:
    script.on(WRITE, Answer(400, {"errors": ["request body too large"]}))
    with pytest.raises(KeyDeniedError, match="too large"):
        create(script)


@pytest.mark.parametrize(
    ("mount", "told"),
    [
        ({"type": "kv", "options": {"version": "1"}}, "KV version 1"),
        ({"type": "kv", "options": None}, "KV version 1"),
        ({"type": "transit"}, "type transit"),
    ],
)
def test_only_version_2(script: Scripted, mount: dict[str, object], told: str) -> None:
    script.on(MOUNT, Answer(200, {"data": mount}))
    with pytest.raises(UnsafeStoreError, match=told):
        create(script)
    assert WRITE not in script.log


@pytest.mark.parametrize(
    ("engine", "path", "told"),
    [
        ({"max_versions": 2}, {}, "max_versions"),
        ({"max_versions": 20}, {"max_versions": 1}, "max_versions"),
        ({"delete_version_after": "768h0m0s"}, {}, "delete_version_after"),
        ({}, {"delete_version_after": "10s"}, "10 s"),
    ],
)
def test_settings_that_lose_keys(
    script: Scripted, engine: dict[str, object], path: dict[str, object], told: str
) -> None:
    script.on(CONFIG, Answer(200, {"data": engine})).on(META, Answer(200, {"data": path}))
    with pytest.raises(UnsafeStoreError, match=told):
        create(script)
    assert WRITE not in script.log


@pytest.mark.parametrize(
    ("versions", "oldest_needed", "told"),
    [
        (33, 0, "up to 33 are needed at once"),  # rotated daily, and kept for thirty days
        (4, 0, ""),
        (4, 1, "would destroy version 1, the key of a keyslot"),
        (4, 2, ""),
    ],
)
def test_no_version_is_made_that_destroys_one_that_is_needed(
    script: Scripted, versions: int, oldest_needed: int, told: str
) -> None:
    needed = KeyRef(ProviderKind.VAULT, PATH, oldest_needed)
    elsewhere = KeyRef(ProviderKind.CREDENTIAL, "pgdata", 1)
    purpose = replace(PURPOSE, versions=versions, beside=(needed, elsewhere) if oldest_needed else (elsewhere,))
    keys = KvSource(logged_in(script), PLACE, purpose=purpose, owner=OWNER)
    script.on(CONFIG, Answer(200, {"data": {"max_versions": 10}}))
    ref = replace(keys.first_ref("pgdata"), version=11)
    if not told:
        assert keys.create(ref, adopt=False, deadline_seconds=5.0).version == 11
        return
    with pytest.raises(UnsafeStoreError, match=told) as refused:
        keys.create(ref, adopt=False, deadline_seconds=5.0)
    assert f"-max-versions={33 if versions == 33 else 14} " in refused.value.resolution
    assert WRITE not in script.log


@pytest.mark.parametrize(
    ("engine", "path", "kept"),
    [
        ({}, {}, (10, 0)),
        (
            {"max_versions": 5, "delete_version_after": "1h"},
            {"max_versions": 0, "delete_version_after": "0s"},
            (5, 3600),
        ),
        ({"delete_version_after": "1h"}, {"max_versions": 7, "delete_version_after": "-1s"}, (7, 0)),
    ],
)
def test_what_holds_of_mount_and_path(
    engine: dict[str, object], path: dict[str, object], kept: tuple[int, int]
) -> None:
    found = settings.combined(Answer(200, {"data": engine}), Answer(200, {"data": path}))
    assert (found.max_versions, found.delete_after_seconds) == kept


@given(st.integers(0, 999), st.integers(0, 59), st.integers(0, 59))
def test_durations(hours: int, minutes: int, seconds: int) -> None:
    assert settings.seconds(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
    assert settings.seconds(hours) == hours
    assert settings.seconds(None) == 0


def test_refs_and_presence(script: Scripted) -> None:
    gone = {"deletion_time": "2026-01-01T00:00:00Z", "destroyed": False}
    live = {"deletion_time": "", "destroyed": False}
    script.on(META, versions(12, v2=live, v9={"destroyed": True, "deletion_time": ""}, v11=gone, v12=live))
    keys = source(script)
    assert [ref.version for ref in keys.refs("pgdata", deadline_seconds=5.0)] == [12, 2]
    first = keys.first_ref("pgdata")
    there = {n: keys.present(replace(first, version=n), deadline_seconds=5.0) for n in (1, 2, 9, 11, 12)}
    assert there == {1: False, 2: True, 9: False, 11: False, 12: True}
    script.on(META, NOTHING)
    assert keys.refs("pgdata", deadline_seconds=5.0) == ()
    assert not keys.present(first, deadline_seconds=5.0)


def test_reading(script: Scripted) -> None:
    script.on(READ, stored())
    assert read(script) == KEY
    assert script.asked[-1].params == {"version": 1}


@pytest.mark.parametrize("text", [None, 7, "", "####", base64.b64encode(b"short").decode()])
def test_malformed_content_is_a_no_and_not_quoted(script: Scripted, text: object) -> None:
    script.on(READ, Answer(200, {"data": {"data": {"key": text}}}))
    with pytest.raises(KeyDeniedError, match="does not hold a key") as raised:
        read(script)
    assert "####" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ({"data": {"metadata": {"destroyed": True}}}, KeyDeletedError, "backup"),
        ({"data": {"metadata": {"deletion_time": "x", "destroyed": False}}}, KeyDeletedError, "undelete"),
        ({"errors": []}, KeyDeniedError, "no version 1"),
        ({"errors": ['no handler for route "kv/data/x"']}, KeyDeniedError, "no engine mounted"),
    ],
)
def test_versions_that_are_not_there(script: Scripted, body: dict[str, object], kind: type, told: str) -> None:
    script.on(READ, Answer(404, body))
    with pytest.raises(KeyDeniedError, match=told) as raised:
        read(script)
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("../../sys/seal", {}),
        ("a", {"mount": "../sys"}),
        ("a", {"mount": "kv", "namespace": "a b"}),
        ("a?b", {}),
        ("a", {"mount": "./kv"}),
    ],
)
def test_a_forged_header_leads_to_no_other_request(name: str, details: dict[str, str]) -> None:
    script = Scripted()
    with pytest.raises(KeyDeniedError, match="no path in Vault"):
        source(script).read(KeyRef(ProviderKind.VAULT, name, 1, details), deadline_seconds=5.0)
    assert script.log == []


def test_this_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from volward.keys.vault import owner

    (tmp_path / "id").write_text("0123\n")
    monkeypatch.setattr(owner, "_MACHINE_ID", tmp_path / "id")
    found = this_host()
    assert len(found.machine) == 16 and "0123" not in found.machine and found.host
    monkeypatch.setattr(owner, "_MACHINE_ID", tmp_path / "none")
    assert this_host().machine == ""
