"""Credentials: created once, whole, read back, and never overwritten or removed."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from volward.errors import (
    ConfigurationError,
    KeyDeniedError,
    KeyExistsError,
    NoSpaceError,
    ProviderUnavailableError,
    VerificationError,
    VolwardError,
)
from volward.host import creds
from volward.keys.credential import CredentialSource
from volward.keys.source import KEY_BYTES, KeyRef
from volward.model import ProviderKind
from volward.secret import SecretBytes

REF = KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1)


class Sealer:
    """Seals by writing name and key next to each other, as hex; remembers how it was asked to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        monkeypatch.setattr(creds, "encrypt", self.encrypt)
        monkeypatch.setattr(creds, "decrypt", self.decrypt)

    def encrypt(self, name: str, secret: SecretBytes, *, seal: str, pcrs: tuple[int, ...]) -> bytes:
        self.asked.append((seal, pcrs))
        with secret.view() as view:
            return f"{name} {view.hex()}".encode()

    def decrypt(self, name: str, path: Path) -> SecretBytes:
        inside, key = path.read_text().split()
        if inside != name:
            raise KeyDeniedError("Another name.", resolution="Look.")
        return SecretBytes(bytes.fromhex(key))


@pytest.fixture
def sealer(monkeypatch: pytest.MonkeyPatch) -> Sealer:
    return Sealer(monkeypatch)


@pytest.fixture
def source(sealer: Sealer, tmp_path: Path) -> CredentialSource:
    return CredentialSource(directory=tmp_path / "store", has_tpm2=lambda: True)


def content(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def test_creates_a_private_file_of_64_random_bytes(source: CredentialSource, sealer: Sealer, tmp_path: Path) -> None:
    assert source.refs("pgdata") == ()
    assert source.create(source.first_ref("pgdata"), adopt=False) == REF
    path = tmp_path / "store" / "volward.pgdata.v1"
    assert list(content(path.parent)) == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_nlink == 1
    with source.read(REF) as key, source.read(REF) as again:
        assert len(key) == KEY_BYTES
        assert key.matches(again)
    assert sealer.asked == [("host+tpm2", (7,))]


@pytest.mark.parametrize(
    ("setting", "tpm", "seal"),
    [
        ("auto", False, "host"),
        ("auto", True, "host+tpm2"),
        ("host", True, "host"),
        ("tpm2", True, "tpm2"),
        ("host+tpm2", False, "host+tpm2"),
    ],
)
def test_how_it_is_sealed(sealer: Sealer, tmp_path: Path, setting: str, tpm: bool, seal: str) -> None:
    CredentialSource(directory=tmp_path, seal=setting, pcrs=(11,), has_tpm2=lambda: tpm).create(REF, adopt=False)
    assert sealer.asked == [(seal, (11,))]


def test_an_unknown_seal_is_refused(sealer: Sealer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        CredentialSource(directory=tmp_path, seal="null").create(REF, adopt=False)
    assert content(tmp_path) == {}


def test_an_existing_key_is_kept_or_adopted(source: CredentialSource, tmp_path: Path) -> None:
    source.create(REF, adopt=False)
    before = content(tmp_path / "store")
    with pytest.raises(KeyExistsError, match=r"volward\.pgdata\.v1"):
        source.create(REF, adopt=False)
    assert source.create(REF, adopt=True) == REF
    assert content(tmp_path / "store") == before


def test_a_key_that_cannot_be_read_is_not_adopted_and_not_replaced(source: CredentialSource, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "volward.pgdata.v1").write_text("volward.other.v1 00")
    before = content(tmp_path / "store")
    with pytest.raises(KeyDeniedError):
        source.create(REF, adopt=True)
    assert content(tmp_path / "store") == before


@pytest.mark.parametrize("adopt", [False, True])
def test_of_two_that_create_at_once_one_wins(
    source: CredentialSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adopt: bool
) -> None:
    real = os.link

    def link(temporary: Path, target: Path) -> None:
        target.write_text(f"volward.pgdata.v1 {'ab' * 64}")
        real(temporary, target)

    monkeypatch.setattr(os, "link", link)
    if adopt:
        source.create(REF, adopt=True)
    else:
        with pytest.raises(KeyExistsError):
            source.create(REF, adopt=False)
    assert content(tmp_path / "store") == {"volward.pgdata.v1": f"volward.pgdata.v1 {'ab' * 64}".encode()}


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["link", "fsync", "open"])
@pytest.mark.parametrize(
    "failure",
    [(errno.ENOSPC, NoSpaceError), (errno.EDQUOT, NoSpaceError), (errno.EROFS, ProviderUnavailableError)],
)
def test_a_full_disk_leaves_nothing_half_written(
    source: CredentialSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    failure: tuple[int, type[VolwardError]],
) -> None:
    number, error = failure
    (tmp_path / "store").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(error):
            source.create(REF, adopt=False)
    assert content(tmp_path / "store") == {}
    source.create(REF, adopt=False)


def test_a_power_cut_leaves_a_file_that_is_swept_and_no_others_are(source: CredentialSource, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / ".volward.pgdata.v1.0123abcd.new").write_text("half")
    others = {".volward.pgdata.v2.0123abcd.new", ".volward.pgdata.v1.backup", "volward.other.v1", "ssh.key"}
    for name in others:
        (store / name).write_text("")
    source.create(REF, adopt=False)
    assert set(content(store)) == others | {"volward.pgdata.v1"}


def test_a_key_that_does_not_come_back_is_reported_and_left(
    source: CredentialSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creds, "decrypt", lambda name, path: SecretBytes(bytes(64)))
    with pytest.raises(VerificationError):
        source.create(REF, adopt=False)
    assert list(content(tmp_path / "store")) == ["volward.pgdata.v1"]


def test_refs_are_the_volumes_own_newest_first(source: CredentialSource, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for name in ("volward.a.v2", "volward.a.v10", "volward.a.v0", "volward.a.vx", "volward.a.b.v3", "volward.ab.v4"):
        (store / name).touch()
    assert [ref.version for ref in source.refs("a")] == [10, 2]
    assert [str(ref) for ref in source.refs("a.b")] == ["credential:volward.a.b.v3"]


def test_the_successor_has_the_next_version(source: CredentialSource) -> None:
    ref = source.next_ref(source.next_ref(source.first_ref("data")))
    assert str(ref) == "credential:volward.data.v3"


def test_presence_needs_no_secret_and_unknown_is_not_absent(
    source: CredentialSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creds, "decrypt", failing(errno.EPERM))
    assert not source.present(REF)
    source.path(REF).parent.mkdir()
    source.path(REF).touch()
    assert source.present(REF)
    monkeypatch.setattr(Path, "lstat", failing(errno.EIO))
    with pytest.raises(ProviderUnavailableError):
        source.present(REF)
    monkeypatch.setattr(os, "listdir", failing(errno.EIO))
    with pytest.raises(ProviderUnavailableError):
        source.refs("pgdata")


def test_a_key_that_is_not_there_is_denied(source: CredentialSource) -> None:
    with pytest.raises(KeyDeniedError, match="is not there"):
        source.read(REF)
