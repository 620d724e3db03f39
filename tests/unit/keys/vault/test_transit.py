"""Keys that Vault wraps: made here, written down durably, unwrapped and compared, found in the header alone."""

import base64
import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.keys.vault.scripted import NOTHING, SERVER, Scripted, logged_in

from volward import durable
from volward.errors import (
    KeyDeniedError,
    KeyExistsError,
    NoSpaceError,
    ProviderUnavailableError,
    UnsafeStoreError,
    VerificationError,
)
from volward.keys.source import KeyPurpose, KeyRef
from volward.keys.vault.exchange import Answer
from volward.keys.vault.source import VaultSource
from volward.keys.vault.transit import TransitSource, wrapped_by
from volward.keys.vault.wrapped_file import WrappedFiles
from volward.model import ProviderKind, VaultKeep, VaultPlace

PLACE = VaultPlace(SERVER, VaultKeep.TRANSIT)
KEYS, WRAP = "GET /v1/transit/keys/volward", "POST /v1/transit/encrypt/volward"
UNWRAP, REWRAP = "POST /v1/transit/decrypt/volward", "POST /v1/transit/rewrap/volward"
TOO_OLD = Answer(400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]})
KEY = base64.b64encode(bytes(range(64))).decode()


class Engine:
    """Wraps by remembering."""

    def __init__(self, script: Scripted) -> None:
        self.version = 3
        self.held: dict[tuple[str, str | None], str] = {}
        script.on(WRAP, self.wrap).on(UNWRAP, self.unwrap).on(REWRAP, self.rewrap)
        script.on(KEYS, Answer(200, {"data": {"derived": True}}))

    def wrap(self, content: dict[str, Any]) -> Answer:
        name = f"vault:v{self.version}:{len(self.held):04d}"
        self.held[name, content.get("context")] = content["plaintext"]
        return Answer(200, {"data": {"ciphertext": name}})

    def unwrap(self, content: dict[str, Any]) -> Answer:
        found = self.held.get((content["ciphertext"], content.get("context")))
        if found is None:
            return Answer(400, {"errors": ["cipher: message authentication failed"]})
        return Answer(200, {"data": {"plaintext": found}})

    def rewrap(self, content: dict[str, Any]) -> Answer:
        plaintext = self.held[content["ciphertext"], content.get("context")]
        return self.wrap({"plaintext": plaintext, "context": content.get("context")})


@pytest.fixture
def script() -> Scripted:
    return Scripted()


@pytest.fixture
def engine(script: Scripted) -> Engine:
    return Engine(script)


@pytest.fixture
def files(tmp_path: Path) -> WrappedFiles:
    return WrappedFiles(tmp_path / "wrapped")


def source(script: Scripted, files: WrappedFiles, place: VaultPlace = PLACE) -> TransitSource:
    return TransitSource(logged_in(script), place, files=files)


def created(script: Scripted, files: WrappedFiles, *, adopt: bool = False) -> KeyRef:
    keys = source(script, files)
    return keys.create(keys.first_ref("pgdata"), adopt=adopt, deadline_seconds=5.0)


def test_created_written_down_and_proven(script: Scripted, engine: Engine, files: WrappedFiles, tmp_path: Path) -> None:
    ref = created(script, files)
    assert script.log == [KEYS, WRAP, UNWRAP]
    assert (ref.name, ref.version) == ("pgdata", 1)
    assert dict(ref.details) == {
        "keep": "transit", "mount": "transit", "key": "volward",
        "context": "volward volume pgdata", "ciphertext": "vault:v3:0000",
    }  # fmt: skip
    path = tmp_path / "wrapped/pgdata.v1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert files.newest("pgdata", 1) == dict(ref.details)
    assert wrapped_by(ref.details) == 3
    assert wrapped_by({}) == 0
    assert script.asked[-1].content["context"] == base64.b64encode(b"volward volume pgdata").decode()


def test_the_header_alone_is_enough(script: Scripted, engine: Engine, files: WrappedFiles, tmp_path: Path) -> None:
    ref = created(script, files)
    elsewhere = source(script, WrappedFiles(tmp_path / "none"), replace(PLACE, mount="other", key="other"))
    assert elsewhere.present(ref, deadline_seconds=5.0)
    with elsewhere.read(ref, deadline_seconds=5.0) as key:
        assert len(key) == 64


def test_the_files_of_this_host_are_enough(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    created(script, files)
    keys = source(script, files)
    (ref,) = keys.refs("pgdata", deadline_seconds=5.0)
    keys.read(ref, deadline_seconds=5.0).wipe()
    keys.read(keys.first_ref("pgdata"), deadline_seconds=5.0).wipe()
    assert keys.refs("other", deadline_seconds=5.0) == ()
    assert keys.next_ref(ref, deadline_seconds=5.0).version == 2
    assert "ciphertext" not in keys.next_ref(ref, deadline_seconds=5.0).details


def test_a_key_that_is_not_derived_has_no_context(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    script.on(KEYS, Answer(200, {"data": {"derived": False}}))
    assert "context" not in created(script, files).details


def test_the_namespace_travels_in_the_ref(files: WrappedFiles) -> None:
    place = replace(PLACE, server=replace(SERVER, namespace="team"))
    assert source(Scripted(), files, place).first_ref("pgdata").details["namespace"] == "team"


def test_an_existing_one_is_kept_or_adopted(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    ref = created(script, files)
    with pytest.raises(KeyExistsError, match="never overwritten"):
        created(script, files)
    assert created(script, files, adopt=True).details == ref.details
    assert script.log.count(WRAP) == 1


def test_of_two_at_once_one_wins(
    script: Scripted, engine: Engine, files: WrappedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.create

    def other_first(name: str, version: int, details: dict[str, str]) -> bool:
        other = engine.wrap({"plaintext": KEY}).data("ciphertext")
        real(name, version, {"keep": "transit", "mount": "transit", "key": "volward", "ciphertext": other})
        return real(name, version, details)

    monkeypatch.setattr(files, "create", other_first)
    found = created(script, files, adopt=True)
    with source(script, files).read(found, deadline_seconds=5.0) as key, key.view() as view:
        assert base64.b64encode(view).decode() == KEY


def test_a_missing_transit_key_is_not_made_by_the_way(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    script.on(KEYS, NOTHING)
    with pytest.raises(KeyDeniedError, match="derived=true"):
        created(script, files)
    assert script.log == [KEYS]


@pytest.mark.parametrize(("least", "refused"), [(1, False), (2, False), (3, True)])
def test_no_key_is_made_while_one_of_the_header_is_forbidden(
    script: Scripted, engine: Engine, files: WrappedFiles, least: int, refused: bool
) -> None:
    script.on(KEYS, Answer(200, {"data": {"derived": True, "min_decryption_version": least}}))
    first = source(script, files).first_ref("pgdata")
    beside = (
        replace(first, details={**first.details, "ciphertext": "vault:v2:AAAA"}),
        replace(first, version=2, details={**first.details, "key": "another", "ciphertext": "vault:v1:AAAA"}),
        KeyRef(ProviderKind.CREDENTIAL, "pgdata", 1),
    )
    keys = TransitSource(logged_in(script), PLACE, files=files, beside=beside)
    if not refused:
        keys.create(replace(first, version=3), adopt=False, deadline_seconds=5.0)
        return
    with pytest.raises(UnsafeStoreError, match="wrapped by version 2 of transit/volward") as told:
        keys.create(replace(first, version=3), adopt=False, deadline_seconds=5.0)
    assert "min_decryption_version=2`" in told.value.resolution
    assert script.log == [KEYS]


def test_an_answer_without_a_wrapped_key(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    script.on(WRAP, Answer(200, {"data": {"ciphertext": "plain"}}))
    with pytest.raises(KeyDeniedError, match="no wrapped key"):
        created(script, files)
    assert files.versions("pgdata") == ()


def test_what_unwraps_to_something_else_is_reported(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    script.on(UNWRAP, Answer(200, {"data": {"plaintext": KEY}}))
    with pytest.raises(VerificationError, match="does not unwrap"):
        created(script, files)


def test_too_old_for_the_transit_key(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    ref = created(script, files)
    script.on(UNWRAP, TOO_OLD)
    with pytest.raises(KeyDeniedError, match=r"min_decryption_version=3"):
        source(script, files).read(ref, deadline_seconds=5.0)
    script.on(REWRAP, TOO_OLD)
    with pytest.raises(KeyDeniedError, match="min_decryption_version"):
        source(script, files).rewrap(ref, deadline_seconds=5.0)


def test_of_another_volume(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    ref = created(script, files)
    stolen = replace(ref, details={**ref.details, "context": "volward volume other", "ciphertext": "odd"})
    with pytest.raises(KeyDeniedError, match="another volume"):
        source(script, WrappedFiles(Path("/none"))).read(stolen, deadline_seconds=5.0)


def test_rewrapped_beside_the_old_form(script: Scripted, engine: Engine, files: WrappedFiles, tmp_path: Path) -> None:
    old = created(script, files)
    before = (tmp_path / "wrapped/pgdata.v1").read_bytes()
    engine.version = 4
    fresh = source(script, files).rewrap(source(script, files).first_ref("pgdata"), deadline_seconds=5.0)
    assert wrapped_by(fresh.details) == 4
    assert (tmp_path / "wrapped/pgdata.v1").read_bytes() == before
    assert files.newest("pgdata", 1) == dict(fresh.details)
    del engine.held["vault:v3:0000", base64.b64encode(b"volward volume pgdata").decode()]
    with source(script, files).read(old, deadline_seconds=5.0) as key:  # a header with the old form still opens
        assert len(key) == 64
    assert files.versions("pgdata") == (1,)


def test_what_the_newest_version_wrapped_stays(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    ref = created(script, files)
    assert source(script, files).rewrap(ref, deadline_seconds=5.0) is ref


def test_rewrapping_to_another_key_is_not_taken(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    ref = created(script, files)
    engine.version = 4
    other = engine.wrap({"plaintext": KEY, "context": base64.b64encode(b"volward volume pgdata").decode()})
    script.on(REWRAP, other)
    with pytest.raises(VerificationError):
        source(script, files).rewrap(ref, deadline_seconds=5.0)


def test_nowhere(script: Scripted, files: WrappedFiles) -> None:
    keys = source(script, files)
    ref = keys.first_ref("pgdata")
    assert not keys.present(ref, deadline_seconds=5.0)
    with pytest.raises(KeyDeniedError, match="no wrapped key"):
        keys.read(ref, deadline_seconds=5.0)


@pytest.mark.parametrize("content", ["[]", "{", '{"key": 1}'])
def test_a_damaged_file(files: WrappedFiles, tmp_path: Path, content: str) -> None:
    (tmp_path / "wrapped").mkdir()
    (tmp_path / "wrapped/pgdata.v1").write_text(content)
    with pytest.raises(KeyDeniedError, match="does not hold"):
        files.newest("pgdata", 1)


def test_files_that_cannot_be_read_or_written(
    files: WrappedFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrapped/pgdata.v1").mkdir(parents=True)
    with pytest.raises(ProviderUnavailableError, match="could not be read"):
        files.newest("pgdata", 1)

    def failing(error: Exception) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    monkeypatch.setattr(Path, "iterdir", failing(OSError(errno.EIO, os.strerror(errno.EIO))))
    with pytest.raises(ProviderUnavailableError, match="Input/output"):
        files.versions("pgdata")
    for error, kind in (
        (OSError(errno.EROFS, "Read-only"), ProviderUnavailableError),
        (NoSpaceError("Full.", resolution="Free some."), NoSpaceError),
    ):
        monkeypatch.setattr(durable, "create", failing(error))
        with pytest.raises(kind):
            files.create("pgdata", 2, {})


def test_a_forged_name_writes_no_file_elsewhere(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    forged = KeyRef(ProviderKind.VAULT, "../../etc/x", 1, {"keep": "transit"})
    with pytest.raises(KeyDeniedError, match="no path"):
        source(script, files).create(forged, adopt=False, deadline_seconds=5.0)


# --- both ways behind one provider -----------------------------------------------------------------------


def test_each_ref_goes_where_it_was_made(script: Scripted, engine: Engine, files: WrappedFiles) -> None:
    both = VaultSource(logged_in(script), PLACE, purpose=KeyPurpose(volume="pgdata"), files=files)
    ref = both.create(both.first_ref("pgdata"), adopt=False, deadline_seconds=5.0)
    assert both.refs("pgdata", deadline_seconds=5.0) == (ref,)
    assert both.present(ref, deadline_seconds=5.0)
    assert both.next_ref(ref, deadline_seconds=5.0).details["keep"] == "transit"
    both.read(ref, deadline_seconds=5.0).wipe()
    assert both.rewrap(ref, deadline_seconds=5.0) == ref
    old = KeyRef(ProviderKind.VAULT, "volward/db1/pgdata", 1, {"keep": "kv", "mount": "kv"})
    assert both.rewrap(old, deadline_seconds=5.0) is old
    script.on("GET /v1/kv/data/volward/db1/pgdata", Answer(200, {"data": {"data": {"key": KEY}}}))
    both.read(old, deadline_seconds=5.0).wipe()
