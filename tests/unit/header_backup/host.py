"""A volume on a plain file with a real LUKS2 header, made by the real cryptsetup; only device mapper is left out.

Locks, pins, journal, scratch and backups are below a temporary directory; the providers keep their keys in memory.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import pytest
from tests.unit.apply.machine import Source
from tests.unit.builders import FILE_SPEC, UUID

from volward import audit, journal, lock, pins
from volward.errors import KeyDeniedError
from volward.header_backup import scratch
from volward.host import block, cryptsetup, header, header_area, run
from volward.host.cryptsetup import Argon2id, Pbkdf2
from volward.host.key_file import KeyFile
from volward.keys import header_token, recovery, recovery_pair
from volward.keys.header_token import HeaderToken
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import MIB, Header, Pin, ProviderKind, VolumeSpec
from volward.operations import header_backup
from volward.secret import SecretBytes

needs_cryptsetup = pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")
RECOVERY_COST = Argon2id(32, 4, 1)  # next to nothing


class Store(Source):
    """A provider with as many keys as it was asked for."""

    def __init__(self, kind: ProviderKind) -> None:
        super().__init__(kind, None)
        self.keys: dict[KeyRef, bytes] = {}

    def first_ref(self, volume: str) -> KeyRef:
        return KeyRef(self.provider, f"volward.{volume}", 1)

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        if self.error:
            raise self.error
        return tuple(ref for ref in self.keys if ref.name == f"volward.{volume}")

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        if self.error:
            raise self.error
        with SecretBytes.random(64) as key, key.view() as view:
            self.keys.setdefault(ref, bytes(view))
        return ref

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        if self.error:
            raise self.error
        return SecretBytes(self.keys[ref])


@dataclass
class BackupHost:
    """The volume, its stores, and what was recorded."""

    spec: VolumeSpec
    stores: dict[ProviderKind, Store] = field(default_factory=dict)
    audited: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def node(self) -> Path:
        return self.spec.device

    @property
    def header(self) -> Header:
        found = header.read(self.node).header
        assert found is not None
        return found

    def store(self, kind: ProviderKind) -> Store:
        return self.stores.setdefault(kind, Store(kind))

    def record(self, event: str, volume: str, outcome: audit.Outcome, message: str, **fields: str) -> None:
        self.audited.append((event, str(outcome), fields.get("code", "")))

    def format(self) -> None:
        """A header with the credential's key in keyslot 0, and its token."""
        store = self.store(ProviderKind.CREDENTIAL)
        ref = store.create(store.first_ref(self.spec.name), adopt=True, deadline_seconds=0)
        area, key = _formatted()
        store.keys[ref] = key
        with self.node.open("r+b") as file:
            file.write(area)
        pins.write(self.spec.name, Pin(block.resolve_file(self.node).identity, UUID))

    def enrol(self, store: Store, number: int) -> str:
        """One more key of a store in a keyslot; return its fingerprint."""
        ref = replace(store.first_ref(self.spec.name), version=number + 1)
        store.create(ref, adopt=True, deadline_seconds=0)
        with store.read(ref, deadline_seconds=0) as key:
            self._add(key, number, Pbkdf2())
            print_ = header_token.fingerprint(key)
            self._token(ref, number, print_)
        return print_

    def enrol_recovery(self, number: int = 1, *, pair: bool = True, public: str = "") -> SecretBytes:
        """A recovery key in a keyslot, as volward enrols it; its test types it. ``public`` spoils its pair."""
        key = recovery.generate()
        self._add(key, number, RECOVERY_COST)
        ref = KeyRef(ProviderKind.RECOVERY, f"{self.spec.name}.recovery", 1)
        spoiled = {recovery_pair.PUBLIC: public} if public else {}
        ref = replace(ref, details={**recovery_pair.make(key), **spoiled}) if pair else ref
        self._token(ref, number, "", confirmed=True)
        typed = self.store(ProviderKind.RECOVERY)
        with key.view() as view:
            typed.keys[ref] = bytes(view)
        return key

    def remove(self, number: int) -> None:
        """Take a keyslot out, as revoking its key does."""
        store = self.store(ProviderKind.CREDENTIAL)
        for ref, content in store.keys.items():
            slots = [t for t in header_token.of_provider(self.header, ProviderKind.CREDENTIAL) if t.ref == ref]
            other = next((s for t in slots for s in t.keyslots if s != number), None)
            if other is not None:
                with SecretBytes(content) as key:
                    cryptsetup.kill_slot(self.node, keyslot=number, proof=cryptsetup.KeyslotProof(other, key))
                return
        raise AssertionError("no other key")

    def refuse_to_create(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the store say no to a new key, as Vault does with the unlock policy alone."""

        def denied(ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
            raise KeyDeniedError("403.", resolution="Add the policy.")

        monkeypatch.setattr(self.store(ProviderKind.CREDENTIAL), "create", denied)

    def move_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the configuration name another place than the keys are at; they are read by their refs all the same."""
        store = self.store(ProviderKind.CREDENTIAL)
        monkeypatch.setattr(store, "first_ref", lambda name: KeyRef(ProviderKind.CREDENTIAL, f"elsewhere.{name}", 1))
        monkeypatch.setattr(store, "refs", lambda name, *, deadline_seconds: ())
        self.refuse_to_create(monkeypatch)

    def wreck(self, *, primary: bool = True, secondary: bool = True) -> None:
        """Overwrite copies of the header."""
        with self.node.open("r+b") as file:
            for wanted, offset in ((primary, 0), (secondary, 16384)):
                if wanted:
                    file.seek(offset)
                    file.write(b"\xaa" * 8192)

    def files(self) -> list[str]:
        directory = self.spec.header_backups
        return sorted(path.name.rpartition(".")[2] for path in directory.iterdir()) if directory.exists() else []

    def backup(self, *, ask: bool = True) -> header_backup.Made:
        made = header_backup.backup(self.spec, deadline_seconds=1, ask=ask)
        assert made is not None
        return made

    def _add(self, key: SecretBytes, number: int, kdf: Pbkdf2 | Argon2id) -> None:
        store = self.store(ProviderKind.CREDENTIAL)
        with store.read(store.first_ref(self.spec.name), deadline_seconds=0) as existing:
            cryptsetup.add_key(self.node, existing=existing, existing_keyslot=0, new=key, keyslot=number, kdf=kdf)

    def _token(self, ref: KeyRef, keyslot: int, fingerprint: str, *, confirmed: bool | None = None) -> None:
        token = HeaderToken(self.spec.name, ref, (keyslot,), fingerprint, confirmed)
        cryptsetup.import_token(self.node, header_token.build(token), number=None)


@cache
def _formatted() -> tuple[bytes, bytes]:
    """A header and its key, made once: of the least size, since every test reads and writes it several times."""
    name = "pgdata"
    ref = KeyRef(ProviderKind.CREDENTIAL, f"volward.{name}", 1)
    with tempfile.TemporaryDirectory() as directory, SecretBytes(bytes(range(64))) as key:
        node = Path(directory) / "formatted"
        with node.open("wb") as file:
            file.truncate(8 * MIB)
        run.mutate(
            [
                "cryptsetup", "luksFormat",
                "--batch-mode",
                "--type", "luks2",
                "--uuid", UUID,
                "--label", name,
                "--subsystem", "volward",
                "--pbkdf", "pbkdf2",
                "--pbkdf-force-iterations", "1000",
                "--luks2-metadata-size", "16k",
                "--luks2-keyslots-size", "1m",
                "--key-file", KeyFile(key),
                node,
            ]
        )  # fmt: skip
        token = HeaderToken(name, ref, (0,), header_token.fingerprint(key))
        cryptsetup.import_token(node, header_token.build(token), number=None)
        found = header.read(node).header
        assert found is not None
        return header_area.read(node, found.area_bytes), bytes(range(64))


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackupHost]:
    device = tmp_path / "pgdata.img"
    with device.open("wb") as file:
        file.truncate(8 * MIB)
    spec = replace(FILE_SPEC, device=device, file_size_bytes=8 * MIB, header_backups=tmp_path / "backups")
    one = BackupHost(spec)
    for module, directory, names in (
        (journal, "journal", ("begin", "resume", "unfinished", "announced", "every", "unfinished_provisioning")),
        (pins, "pins", ("read", "write", "remove")),
        (lock, "lock", ("held",)),
        (scratch, "scratch", ("restored",)),
    ):
        for name in names:
            function = partial(getattr(module, name), directory=tmp_path / directory)
            monkeypatch.setattr(module, name, function)
    monkeypatch.setattr(audit, "record", one.record)
    monkeypatch.setattr(Providers, "source", lambda _, kind, spec: one.store(kind))
    monkeypatch.setattr(Providers, "chain_of", lambda _, spec: tuple(one.store(kind) for kind in spec.providers))
    one.format()
    yield one


__all__ = ["BackupHost", "Store", "needs_cryptsetup", "volume"]
