"""volward's LUKS2 token: written, read, tolerant of the future, strict about types."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from volward.errors import DamagedHeaderError
from volward.host import cryptsetup
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef
from volward.model import CopyState, Header, Keyslot, ProviderKind, Token
from volward.secret import SecretBytes

REF = KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 3)


def header(*tokens: Token, keyslots: tuple[int, ...] = (0, 1, 2)) -> Header:
    return Header(
        uuid="u",
        label="",
        subsystem="",
        sequence=1,
        primary=CopyState.VALID,
        secondary=CopyState.VALID,
        cipher="aes-xts-plain64",
        key_bits=512,
        sector_size_bytes=4096,
        data_offset_bytes=16 << 20,
        keyslots=tuple(Keyslot(number, "pbkdf2", 1000, 0, 0, 512, 1) for number in keyslots),
        tokens=tokens,
    )


def read_back(text: str, number: int = 0) -> Token:
    fields = json.loads(text)
    return Token(number, fields["type"], tuple(map(int, fields["keyslots"])), MappingProxyType(fields))


def changed(**body: object) -> Token:
    fields = json.loads(header_token.build(HeaderToken("pgdata", REF, (0,))))
    fields["volward"].update(body)
    fields["volward"] = {name: value for name, value in fields["volward"].items() if value is not ...}
    return read_back(json.dumps(fields))


@pytest.mark.parametrize(
    "token",
    [
        HeaderToken("pgdata", REF, (0,), fingerprint="00" * 16),
        HeaderToken("pgdata", KeyRef(ProviderKind.RECOVERY, "pgdata.recovery", 1), (1, 2), confirmed=False),
        HeaderToken("pgdata", REF, (0,), created=1767225600, retired=1775001600),
        HeaderToken("pgdata", REF, (0,), created=0),
        HeaderToken("a", KeyRef(ProviderKind.CREDENTIAL, "kv/data/a", 0, MappingProxyType({"mount": "kv"})), ()),
    ],
)
def test_what_is_built_is_read_back(token: HeaderToken) -> None:
    back = header_token.parse(read_back(header_token.build(token)))
    assert back == token
    assert back.ref.details == token.ref.details


def test_the_documented_form() -> None:
    assert json.loads(header_token.build(HeaderToken("pgdata", REF, (0, 5), fingerprint="ab", confirmed=True))) == {
        "type": "volward",
        "keyslots": ["0", "5"],
        "volward": {
            "version": 1,
            "volume": "pgdata",
            "provider": "credential",
            "key_ref": "volward.pgdata.v3",
            "key_name": "volward.pgdata",
            "key_version": 3,
            "fingerprint": "ab",
            "confirmed": True,
        },
    }


def test_the_future_is_tolerated() -> None:
    token = changed(version=2, colour="blue", key_name=...)
    assert header_token.parse(token).ref == REF


@pytest.mark.parametrize(
    "body",
    [
        {"version": "1"},
        {"version": True},
        {"version": 0},
        {"version": ...},
        {"provider": "carrier-pigeon"},
        {"provider": 1},
        {"volume": ""},
        {"volume": ...},
        {"key_version": "3"},
        {"key_version": -1},
        {"key_name": 7},
        {"key_name": ..., "key_ref": "volward.pgdata.v4"},
        {"key_name": ..., "key_ref": "volward"},
        {"fingerprint": 1},
        {"confirmed": "yes"},
        {"details": {"mount": 1}},
        {"details": []},
    ],
)
def test_wrong_types_are_errors_and_never_keep_others_from_being_read(body: Mapping[str, object]) -> None:
    bad = changed(**body)
    with pytest.raises(DamagedHeaderError, match="Token 0"):
        header_token.parse(bad)
    good = read_back(header_token.build(HeaderToken("pgdata", REF, (0,))), 1)
    assert [token.number for token, _ in header_token.all_of(header(bad, good))] == [1]


def test_tokens_of_others_are_none_of_ours() -> None:
    foreign = Token(0, "systemd-tpm2", (1,), MappingProxyType({"volward": {}}))
    with pytest.raises(DamagedHeaderError):
        header_token.parse(foreign)
    with pytest.raises(DamagedHeaderError):
        header_token.parse(Token(0, "volward", (1,), MappingProxyType({"volward": []})))
    assert header_token.all_of(header(foreign)) == ()


def test_of_provider_has_the_newest_key_first() -> None:
    tokens = [
        read_back(header_token.build(HeaderToken("p", KeyRef(provider, "n", version), (0,))), number)
        for number, (provider, version) in enumerate(
            [(ProviderKind.CREDENTIAL, 1), (ProviderKind.PROMPT, 9), (ProviderKind.CREDENTIAL, 2)]
        )
    ]
    assert [content.ref.version for content in header_token.of_provider(header(*tokens), ProviderKind.CREDENTIAL)] == [
        2,
        1,
    ]


def test_recovery_keyslots() -> None:
    def recovery(slot: int, confirmed: bool) -> Token:
        ref = KeyRef(ProviderKind.RECOVERY, "p.recovery", 1)
        return read_back(header_token.build(HeaderToken("p", ref, (slot,), confirmed=confirmed)), slot)

    both = header(recovery(1, True), recovery(2, False), Token(7, "systemd-recovery", (0,)))
    assert header_token.recovery_keyslots(both) == (0, 1, 2)
    assert header_token.recovery_keyslots(both, confirmed=True) == (0, 1)
    gone = header(recovery(1, True), keyslots=(0,))
    assert header_token.recovery_keyslots(gone) == (), "a token whose keyslot is gone opens nothing"


def test_fingerprints_tell_random_keys_apart_and_are_refused_for_others() -> None:
    with SecretBytes(bytes(64)) as one, SecretBytes(bytes(63) + b"\1") as two, SecretBytes(b"passphrase") as human:
        first, second = header_token.fingerprint(one), header_token.fingerprint(two)
        assert len(first) == len(second) == 32
        assert first != second
        assert first == header_token.fingerprint(one)
        with pytest.raises(ValueError, match="64 bytes"):
            header_token.fingerprint(human)


@pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")
def test_stock_cryptsetup_takes_and_lists_it(tmp_path: Path) -> None:
    node = tmp_path / "disk"
    with node.open("wb") as file:
        file.truncate(32 << 20)
    text = header_token.build(HeaderToken("pgdata", REF, (0,), confirmed=True))
    with SecretBytes.random(64) as key:
        cryptsetup.format(
            node,
            key=key,
            uuid="11111111-2222-3333-4444-555555555555",
            label="l",
            subsystem="volward",
            cipher="aes-xts-plain64",
            key_bits=512,
            sector_size_bytes=512,
            kdf=cryptsetup.Pbkdf2(),
        )
    cryptsetup.import_token(node, text, number=None)
    shown = subprocess.run(["cryptsetup", "token", "export", "--token-id", "0", node], capture_output=True, check=True)
    assert json.loads(shown.stdout) == json.loads(text)


@pytest.mark.parametrize("name", ["created", "retired"])
@pytest.mark.parametrize("value", ["yesterday", True, -1, 1.5])
def test_a_moment_that_is_none_is_damage(name: str, value: object) -> None:
    with pytest.raises(DamagedHeaderError, match=name):
        header_token.parse(changed(**{name: value}))


def test_keys_that_are_not_retired_come_first_then_the_newest() -> None:
    def one(version: int, number: int, created: int = 0, retired: int | None = None) -> Token:
        ref = KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", version)
        token = HeaderToken("pgdata", ref, (number,), created=created, retired=retired)
        return read_back(header_token.build(token), number)

    found = header_token.of_provider(
        header(one(4, 0, retired=9), one(3, 1, created=5), one(3, 2, created=6), one(2, 3), one(5, 4, retired=8)),
        ProviderKind.CREDENTIAL,
    )
    assert [token.keyslots for token in found] == [(2,), (1,), (3,), (4,), (0,)]


def test_a_token_of_others_is_parked_whole_and_comes_back() -> None:
    text = json.dumps({"type": "systemd-tpm2", "keyslots": ["1"], "tpm2-blob": "AAAA", "tpm2-pcrs": [7]})
    parked = read_back(header_token.park(read_back(text)))
    assert (parked.type, parked.keyslots) == (header_token.PARKED, (1,))
    assert json.loads(header_token.unpark(parked)) == json.loads(text)


@pytest.mark.parametrize(
    "fields",
    [{"type": "volward-parked"}, {"type": "volward", "volward": {"token": {"type": "x"}}}]
    + [{"type": "volward-parked", "volward": {"token": token}} for token in (None, {}, {"type": 7})],
)
def test_what_is_not_parked_does_not_come_back(fields: dict[str, object]) -> None:
    with pytest.raises(DamagedHeaderError, match="no token parked"):
        header_token.unpark(Token(0, str(fields["type"]), (), MappingProxyType(fields)))
