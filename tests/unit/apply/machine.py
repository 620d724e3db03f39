"""A host with one disk, in memory: cryptsetup's functions work on its header, and everything that was done is kept.

It stands where apply meets host/ and keys/. What the real tools do is the business of tests/host.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.unit.builders import CLOSED, DEVICE, FRESH_HEADER, OPEN, SPEC, keyslot

from volward import audit, openings
from volward.errors import (
    BusyError,
    KeyDeniedError,
    KeyExistsError,
    KeyRejectedError,
    LastKeyslotError,
    ToolFailedError,
    VolwardError,
)
from volward.host import blank, block, cryptsetup, file_system, header, mapping, marker, superblock, wipe
from volward.host.cryptsetup import Argon2id, KeyslotProof, Pbkdf2
from volward.host.file_system import FileSystemFound
from volward.host.header import HeaderReading
from volward.keys.providers import Providers
from volward.keys.source import KeyPurpose, KeyRef
from volward.model import (
    BlankProbe,
    Device,
    FileSystem,
    Finding,
    Header,
    Keyslot,
    Mapping,
    Presence,
    ProviderKind,
    Token,
    VolumeSpec,
)
from volward.secret import SecretBytes

KEY = bytes(range(64))
RECOVERY = b"A1B2C-D3E4F"
BLANK_PROBE = BlankProbe(Presence.ABSENT)
NOTHING = FileSystemFound("", "")
LUKS_FOUND = (Finding("LUKS2 header (primary)", 0),)


class Source:
    """A provider that yields bytes, with its keys in memory; ``error`` is what it answers instead."""

    def __init__(self, kind: ProviderKind, key: bytes | None) -> None:
        self.provider = kind
        self.interactive = kind in (ProviderKind.PROMPT, ProviderKind.RECOVERY)
        self.later: dict[int, bytes] = {}  # keys of version 2 and up
        self.key = key
        self.error: VolwardError | None = None
        self.adopted: list[bool] = []
        self.given: list[SecretBytes] = []

    def first_ref(self, volume: str) -> KeyRef:
        return KeyRef(self.provider, f"volward.{volume}", 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        return ref if self.interactive else replace(ref, version=ref.version + 1)

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        first = self.first_ref(volume)
        versions = sorted(self.later, reverse=True) + ([1] if self.key else [])
        return tuple(replace(first, version=version) for version in versions)

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        return self.key is not None if ref.version == 1 else ref.version in self.later

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        self.adopted.append(adopt)
        if self.error:
            raise self.error
        if ref.version == 1:
            self.key = self.key or KEY
        elif ref.version not in self.later:
            self.later[ref.version] = bytes([ref.version]) * len(KEY)
        elif not adopt:
            raise KeyExistsError("It is there.", resolution="Look.")
        return ref

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        if self.error:
            raise self.error
        key = self.key if ref.version == 1 else self.later.get(ref.version)
        if not key:
            raise KeyDeniedError("It is not there.", resolution="Look.")
        self.given.append(SecretBytes(key))
        return self.given[-1]


class Opener:
    """A TPM; ``works`` says whether what it enrolled opens, ``error`` what it answers instead of opening."""

    provider = ProviderKind.TPM2
    token_type = "systemd-tpm2"

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self.works = True
        self.refuses_twice = False  # as systemd-cryptenroll does while a token with the same policy is there
        self.error: VolwardError | None = None

    def enrol(self, node: Path, existing: SecretBytes) -> tuple[str, ...]:
        if any(token.type == self.token_type for token in self._machine.present.tokens) and self.refuses_twice:
            return ("already enrolled",)
        number = self._machine.free()
        self._machine.add(number, b"sealed", Pbkdf2(), kdf_hash="sha512")
        fields = {"type": self.token_type, "keyslots": [str(number)], "tpm2-blob": f"blob {number}"}
        self._machine.tokens((Token(self._machine.free_token(), self.token_type, (number,), MappingProxyType(fields)),))
        self._machine.log.append(f"enrol TPM in {number}")
        return ("PCR 7 is empty",)

    def test(self, node: Path, token: Token) -> bool:
        return self.works

    def open(self, node: Path, name: str, token: Token, *, discard: bool, read_only: bool = False) -> None:
        if self.error:
            raise self.error
        self._machine.opened(f"token {token.number}")


@dataclass
class Machine:
    """What is on it, and what was done to it."""

    device: Device = DEVICE
    spec: VolumeSpec = SPEC
    header: Header | None = None
    header_presence: Presence | None = None  # only when it is not what the header says
    slots: dict[int, bytes] = field(default_factory=dict)
    probe: BlankProbe = BLANK_PROBE
    mapping: Mapping = CLOSED
    content: FileSystemFound = NOTHING
    marker_uuid: str = ""
    whole: bool = False  # the file system passes its check
    may_hold_data: bool = False
    obedient: bool = True  # False: the tools return 0 and do nothing
    log: list[str] = field(default_factory=list)
    audited: list[tuple[str, str, str]] = field(default_factory=list)
    remembered: list[openings.Opening] = field(default_factory=list)
    sources: dict[ProviderKind, Source] = field(default_factory=dict)
    purposes: list[KeyPurpose] = field(default_factory=list)  # of the keys that were created

    def __post_init__(self) -> None:
        self.opener = Opener(self)

    # what is on it

    def formatted(self, *, slots: dict[int, bytes] | None = None) -> None:
        """Let it carry a header with these keyslots and no token."""
        self.slots = dict(slots or {0: KEY})
        self.header = replace(FRESH_HEADER, keyslots=tuple(keyslot(number) for number in self.slots))
        self.probe = BlankProbe(Presence.PRESENT, LUKS_FOUND)

    def source(self, kind: ProviderKind, key: bytes | None = None) -> Source:
        self.sources[kind] = Source(kind, key)
        return self.sources[kind]

    @property
    def present(self) -> Header:
        assert self.header is not None
        return self.header

    def tokens(self, more: tuple[Token, ...]) -> None:
        self.header = replace(self.present, tokens=(*self.present.tokens, *more))

    def free(self) -> int:
        return next(number for number in range(32) if number not in self.slots)

    def free_token(self) -> int:
        used = {token.number for token in self.present.tokens}
        return next(number for number in range(32) if number not in used)

    def add(self, number: int, key: bytes, kdf: Pbkdf2 | Argon2id, *, kdf_hash: str = "sha256") -> None:
        one = replace(keyslot(number), kdf_hash=kdf_hash)
        if isinstance(kdf, Argon2id):
            one = replace(one, kdf="argon2id", kdf_hash="", iterations=kdf.iterations)
            one = replace(one, memory_kib=kdf.memory_kib, lanes=kdf.lanes)
        self.slots[number] = key
        self.header = replace(self.present, keyslots=(*self.present.keyslots, one))

    def opened(self, by: str) -> None:
        self.log.append(f"open by {by}")
        if self.obedient:
            self.mapping = OPEN

    # what apply calls

    def read_header(self, node: Path) -> HeaderReading:
        presence = self.header_presence or (Presence.PRESENT if self.header else Presence.ABSENT)
        return HeaderReading(presence, self.header, "" if self.header else "no LUKS2 header")

    def format(self, node: Path, *, key: SecretBytes, uuid: str, kdf: Pbkdf2 | Argon2id, **more: object) -> None:
        self.log.append(f"format {node} {kdf} sector {more['sector_size_bytes']}")
        if self.obedient:
            self.slots = {}
            self.header = replace(FRESH_HEADER, uuid=uuid, label=str(more["label"]), keyslots=())
            self.add(0, _bytes(key), kdf)

    def test_key(self, node: Path, key: SecretBytes, *, keyslot: int | None) -> bool:
        wanted = self.slots.values() if keyslot is None else [self.slots.get(keyslot)]
        return _bytes(key) in wanted

    def add_key(
        self,
        node: Path,
        *,
        existing: SecretBytes,
        existing_keyslot: int | None,
        new: SecretBytes,
        keyslot: int,
        kdf: Pbkdf2 | Argon2id,
    ) -> None:
        assert self.test_key(node, existing, keyslot=existing_keyslot)
        self.log.append(f"add keyslot {keyslot} {type(kdf).__name__}")
        if self.obedient:
            self.add(keyslot, _bytes(new), kdf)

    def import_token(self, node: Path, token_json: str, *, number: int | None, replace: bool = False) -> None:
        body = json.loads(token_json)
        whose = body.get("volward", {}).get("provider", body["type"])
        self.log.append(f"token {whose} for {', '.join(body['keyslots'])}{' again' if replace else ''}")
        if self.obedient:
            numbers = tuple(int(one) for one in body["keyslots"])
            assert set(numbers) <= set(self.slots)
            chosen = self.free_token() if number is None else number
            others = tuple(token for token in self.present.tokens if token.number != chosen)
            assert replace or len(others) == len(self.present.tokens)
            written = Token(chosen, body["type"], numbers, MappingProxyType(body))
            self.header = dataclasses.replace(self.present, tokens=(*others, written))  # one update, as cryptsetup does

    def remove_token(self, node: Path, number: int) -> None:
        if number not in {token.number for token in self.present.tokens}:
            raise ToolFailedError("No such token.", resolution="Look.")
        self.log.append(f"remove token {number}")
        kept = tuple(token for token in self.present.tokens if token.number != number)
        self.header = replace(self.present, tokens=kept)

    def kill_slot(self, node: Path, *, keyslot: int, proof: KeyslotProof) -> None:
        """As cryptsetup does: the keyslot's tokens stay and name one keyslot less."""
        if proof.keyslot == keyslot or not self.test_key(node, proof.key, keyslot=proof.keyslot):
            raise LastKeyslotError("It is the last.", resolution="Show another.")
        self.log.append(f"kill keyslot {keyslot} by {proof.keyslot}")
        if self.obedient:
            del self.slots[keyslot]
            left = tuple(one for one in self.present.keyslots if one.number != keyslot)
            tokens = tuple(
                replace(token, keyslots=tuple(slot for slot in token.keyslots if slot != keyslot))
                for token in self.present.tokens
            )
            self.header = replace(self.present, keyslots=left, tokens=tokens)

    def open(self, node: Path, name: str, *, key: SecretBytes, keyslot: int | None, discard: bool) -> None:
        if not self.test_key(node, key, keyslot=keyslot):
            raise KeyRejectedError("The key opens no keyslot.", resolution="Try another.")
        self.opened("key" + (" with discard" if discard else ""))

    def open_plain(self, node: Path, name: str, *, offset_bytes: int, size_bytes: int, **more: object) -> None:
        self.opened(f"random key from {offset_bytes} for {size_bytes}")

    def close(self, name: str) -> None:
        if self.mapping is OPEN and self.content.type == "busy":
            raise BusyError("In use.", resolution="Stop it.")
        self.log.append(f"close {name}")
        self.mapping = CLOSED

    def wipe(self, node: Path, size_bytes: int) -> None:
        self.log.append(f"wipe {node} {size_bytes}")
        if self.obedient:
            self.header, self.slots, self.probe = None, {}, BLANK_PROBE
            self.device = replace(self.device, holders=(), partitions=())

    def make(self, node: Path, kind: FileSystem, *, uuid: str, label: str) -> None:
        self.log.append(f"mkfs {kind} {label}")
        if self.obedient:
            self.content = FileSystemFound(str(kind), uuid)

    def record(self, event: str, volume: str, outcome: audit.Outcome, message: str, **fields: str) -> None:
        self.audited.append((event, str(outcome), fields.get("code", "")))

    def provider(self, kind: ProviderKind, spec: VolumeSpec) -> Source:
        return self.sources.setdefault(kind, Source(kind, None))

    def chain(self, spec: VolumeSpec) -> tuple[Source | Opener, ...]:
        return tuple(self.opener if kind is ProviderKind.TPM2 else self.provider(kind, spec) for kind in spec.providers)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            "format",
            "test_key",
            "add_key",
            "import_token",
            "open",
            "open_plain",
            "close",
            "kill_slot",
            "remove_token",
        ):
            monkeypatch.setattr(cryptsetup, name, getattr(self, name))
        monkeypatch.setattr(header, "read", self.read_header)
        monkeypatch.setattr(block, "of_volume", lambda spec: self.device)
        monkeypatch.setattr(block, "place_of_volume", lambda spec: self.device)
        monkeypatch.setattr(blank, "probe", lambda node, size: self.probe)
        monkeypatch.setattr(wipe, "wipe", self.wipe)
        monkeypatch.setattr(mapping, "of_volume", lambda spec, uuid, device: self.mapping)
        monkeypatch.setattr(mapping, "disk_sequence", lambda number: f"sequence of {number}")
        monkeypatch.setattr(file_system, "identify", lambda node: self.content)
        monkeypatch.setattr(file_system, "make", self.make)
        monkeypatch.setattr(file_system, "is_whole", lambda node, kind: self.whole)
        monkeypatch.setattr(superblock, "may_hold_data", lambda node: self.may_hold_data)
        monkeypatch.setattr(marker, "read", lambda node: self.marker_uuid)
        monkeypatch.setattr(audit, "record", self.record)
        monkeypatch.setattr(openings, "write", lambda volume, opening: self.remembered.append(opening))

        def source(_: Providers, kind: ProviderKind, spec: VolumeSpec, *, purpose: KeyPurpose | None = None) -> object:
            self.purposes += [purpose] if purpose else []
            return self.provider(kind, spec)

        monkeypatch.setattr(Providers, "source", source)
        monkeypatch.setattr(Providers, "opener", lambda _, spec: self.opener)
        monkeypatch.setattr(Providers, "chain_of", lambda _, spec: self.chain(spec))


def _bytes(key: SecretBytes) -> bytes:
    with key.view() as view:
        return bytes(view)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    one = Machine()
    one.install(monkeypatch)
    yield one


__all__ = ["KEY", "RECOVERY", "Keyslot", "Machine", "Source", "machine"]
