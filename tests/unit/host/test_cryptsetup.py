"""cryptsetup: the exact argv, what its answers mean, and the real tool on plain files (no device mapper needed)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.host.recording import Recording

from volward.errors import (
    BusyError,
    DeviceNotFoundError,
    KeyDeniedError,
    KeyRejectedError,
    LastKeyslotError,
    NoDeviceMapperError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
    VolwardError,
)
from volward.host import cryptsetup
from volward.host.cryptsetup import Argon2id, KeyslotProof, Pbkdf2
from volward.secret import SecretBytes

NODE = Path("/dev/vdb")
UUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes.random(64) as secret:
        yield secret


@pytest.fixture
def other() -> Iterator[SecretBytes]:
    with SecretBytes(b"ABCDE-FGH\n") as secret:
        yield secret


def words(text: str) -> list[str]:
    """Split on blanks; '_' stands for a blank within a word."""
    return [word.replace("_", " ") for word in text.split()]


BY_KEY = "cryptsetup open --batch-mode --type luks2 --disable-external-tokens --serialize-memory-hard-pbkdf"


def test_version(recording: Recording) -> None:
    recording.answer(stdout="cryptsetup 2.7.5 flags: UDEV BLKID KEYRING\n")
    assert cryptsetup.version() == (2, 7, 5)


@pytest.mark.parametrize("said", ["cryptsetup 2.5.0\n", "cryptsetup 1.7\n", "", "veritysetup 2.7.5"])
def test_an_old_or_strange_version_is_refused(recording: Recording, said: str) -> None:
    recording.answer(stdout=said)
    with pytest.raises(ToolMissingError, match="or newer"):
        cryptsetup.version()


RANDOM_KEY = Pbkdf2()


def make(node: Path, key: SecretBytes, kdf: Pbkdf2 | Argon2id = RANDOM_KEY) -> None:
    cryptsetup.format(
        node,
        key=key,
        uuid=UUID,
        label="volward-pgdata",
        subsystem="volward",
        cipher="aes-xts-plain64",
        key_bits=512,
        sector_size_bytes=4096,
        kdf=kdf,
    )


def test_a_passphrase_is_stretched_from_the_first_keyslot_on(recording: Recording, key: SecretBytes) -> None:
    make(NODE, key, kdf=Argon2id(65536, 5, 2))
    assert "--pbkdf argon2id --pbkdf-force-iterations 5 --pbkdf-memory 65536 --pbkdf-parallel 2" in " ".join(
        recording.calls[0]
    )


def test_format(recording: Recording, key: SecretBytes) -> None:
    make(NODE, key)
    assert recording.calls == [
        words(
            f"cryptsetup luksFormat --batch-mode --type luks2 --uuid {UUID} --label volward-pgdata"
            " --subsystem volward --cipher aes-xts-plain64 --key-size 512 --hash sha256"
            " --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size 4096 --key-slot 0"
            " --key-file <64> --keyfile-size 64 /dev/vdb"
        )
    ]


@pytest.mark.parametrize(
    ("options", "middle", "end"),
    [
        ({"keyslot": None, "discard": False}, "", ""),
        ({"keyslot": 3, "discard": True}, " --key-slot 3", " --allow-discards"),
        ({"keyslot": 0, "discard": False, "read_only": True}, " --key-slot 0", " --readonly"),
        ({"keyslot": None, "discard": True, "read_only": True}, "", " --allow-discards --readonly"),
    ],
)
def test_open(recording: Recording, key: SecretBytes, options: dict[str, Any], middle: str, end: str) -> None:
    cryptsetup.open(NODE, "volward-a", key=key, **options)
    expected = f"{BY_KEY}{middle} --key-file <64> --keyfile-size 64{end} /dev/vdb volward-a"
    assert recording.calls == [words(expected)]


def test_open_by_token(recording: Recording) -> None:
    cryptsetup.open_by_token(NODE, "volward-a", token=2, discard=True)
    assert recording.calls == [
        words(
            "cryptsetup open --verbose --batch-mode --type luks2 --token-only --token-id 2"
            " --allow-discards /dev/vdb volward-a"
        )
    ]


def test_testing_never_opens_and_never_asks_a_token_for_a_key(recording: Recording, key: SecretBytes) -> None:
    assert cryptsetup.test_key(NODE, key, keyslot=1)
    assert cryptsetup.test_token(NODE, 4)
    assert recording.calls == [
        words(f"{BY_KEY} --key-slot 1 --key-file <64> --keyfile-size 64 --test-passphrase /dev/vdb"),
        words(
            "cryptsetup open --verbose --batch-mode --type luks2 --token-only --token-id 4 --test-passphrase /dev/vdb"
        ),
    ]


@pytest.mark.parametrize(
    ("status", "said"), [(2, "No key available with this passphrase."), (1, "No usable keyslot is available.")]
)
def test_a_key_that_does_not_fit(recording: Recording, key: SecretBytes, status: int, said: str) -> None:
    recording.fail(status, said)
    assert not cryptsetup.test_key(NODE, key, keyslot=None)


def test_a_test_that_could_not_be_made_is_not_a_no(recording: Recording, key: SecretBytes) -> None:
    for status, error in ((1, ToolFailedError), (3, ToolFailedError), (4, DeviceNotFoundError)):
        recording.fail(status, "Device e is not a valid LUKS device.")
        with pytest.raises(error):
            cryptsetup.test_key(NODE, key, keyslot=0)


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (1, "Token 0 requires additional missing resource.", ProviderUnavailableError),
        (1, "Token 0 cannot unlock assigned keyslot(s) (wrong keyslot passphrase).", KeyDeniedError),
        (1, "No usable token is available.", KeyDeniedError),
        (2, "", KeyDeniedError),
        (1, "Cannot initialize device-mapper. Is dm_mod kernel module loaded?", NoDeviceMapperError),
        (4, "Device /dev/vdb does not exist or access denied.", DeviceNotFoundError),
        (5, "Device volward-a already exists.", BusyError),
    ],
)
def test_what_a_token_may_answer(recording: Recording, status: int, said: str, error: type[VolwardError]) -> None:
    recording.fail(status, said)
    with pytest.raises(error):
        cryptsetup.open_by_token(NODE, "volward-a", token=0, discard=False)


def test_a_token_that_refuses_is_a_no_and_one_without_its_device_is_not(recording: Recording) -> None:
    recording.fail(1, "No usable token is available.")
    assert not cryptsetup.test_token(NODE, 0)
    recording.fail(1, "Token 0 requires additional missing resource.")
    with pytest.raises(ProviderUnavailableError):
        cryptsetup.test_token(NODE, 0)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (2, KeyRejectedError, "No key available"),
        (3, ToolFailedError, "out of memory"),
        (4, DeviceNotFoundError, "wrong device"),
        (5, BusyError, "in use"),
        (1, ToolFailedError, "anything"),
        (-9, ToolFailedError, ""),
    ],
)
def test_statuses_are_classified(
    recording: Recording, key: SecretBytes, status: int, error: type[VolwardError], said: str
) -> None:
    recording.fail(status, said)
    with pytest.raises(error) as caught:
        cryptsetup.open(NODE, "volward-a", key=key, keyslot=0, discard=False)
    assert type(caught.value) is error
    if status not in (1, -9):
        assert str(NODE) in str(caught.value)
    else:
        assert caught.value.what == "It failed."


def test_a_late_tool_stays_a_late_tool(recording: Recording, key: SecretBytes) -> None:
    for action in (
        lambda: cryptsetup.open(NODE, "a", key=key, keyslot=0, discard=False),
        lambda: cryptsetup.test_token(NODE, 0),
    ):
        recording.answers.append(ToolTimeoutError("It is late.", resolution="Wait."))
        with pytest.raises(ToolTimeoutError):
            action()


@pytest.mark.parametrize(
    ("kdf", "options"),
    [
        (Pbkdf2(), "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"),
        (
            Argon2id(memory_kib=65536, lanes=2),
            "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 65536 --pbkdf-parallel 2",
        ),
    ],
)
def test_add_key(
    recording: Recording, key: SecretBytes, other: SecretBytes, kdf: Pbkdf2 | Argon2id, options: str
) -> None:
    for existing in (None, 0):
        cryptsetup.add_key(NODE, existing=key, existing_keyslot=existing, new=other, keyslot=5, kdf=kdf)
    assert recording.calls == [
        words(
            f"cryptsetup luksAddKey --batch-mode --disable-external-tokens {chosen} --key-file <64> --keyfile-size 64"
            f" --new-key-slot 5 --new-keyfile <10> --new-keyfile-size 10 --hash sha256 {options} /dev/vdb"
        )
        for chosen in ("", "--key-slot 0")
    ]
    assert recording.keys[1] == b"ABCDE-FGH\n", "a newline is a byte of the key"


def test_kill_slot_opens_another_keyslot_first(recording: Recording, key: SecretBytes) -> None:
    cryptsetup.kill_slot(NODE, keyslot=1, proof=KeyslotProof(0, key))
    assert recording.calls == [
        words(f"{BY_KEY} --key-slot 0 --key-file <64> --keyfile-size 64 --test-passphrase /dev/vdb"),
        words(
            "cryptsetup luksKillSlot --batch-mode --disable-external-tokens --key-file <64> --keyfile-size 64"
            " /dev/vdb 1"
        ),
    ]


def test_kill_slot_without_a_proof_does_nothing(recording: Recording, key: SecretBytes) -> None:
    with pytest.raises(LastKeyslotError, match="vouch"):
        cryptsetup.kill_slot(NODE, keyslot=0, proof=KeyslotProof(0, key))
    assert recording.calls == []
    recording.fail(2)
    with pytest.raises(LastKeyslotError, match="stays"):
        cryptsetup.kill_slot(NODE, keyslot=1, proof=KeyslotProof(0, key))
    assert len(recording.calls) == 1


def test_tokens(recording: Recording) -> None:
    cryptsetup.import_token(NODE, "{}", number=None)
    cryptsetup.import_token(NODE, "{}", number=3, replace=True)
    cryptsetup.remove_token(NODE, 3)
    assert recording.calls == [
        words("cryptsetup token import --json-file <2> /dev/vdb"),
        words("cryptsetup token import --token-id 3 --token-replace --json-file <2> /dev/vdb"),
        words("cryptsetup token remove --token-id 3 /dev/vdb"),
    ]
    assert recording.keys == [b"{}", b"{}"]


def plain(key: SecretBytes, *, offset_bytes: int = 1 << 20, size_bytes: int = 1 << 30) -> None:
    cryptsetup.open_plain(
        NODE,
        "volward-tmp",
        offset_bytes=offset_bytes,
        size_bytes=size_bytes,
        key=key,
        cipher="aes-xts-plain64",
        key_bits=512,
        sector_size_bytes=4096,
    )


def test_open_plain(recording: Recording, key: SecretBytes) -> None:
    plain(key)
    assert recording.calls == [
        words(
            "cryptsetup open --batch-mode --type plain --cipher aes-xts-plain64 --key-size 512 --hash plain"
            " --sector-size 4096 --offset 2048 --size 2097152 --key-file <64> --keyfile-size 64 /dev/vdb volward-tmp"
        )
    ]


@pytest.mark.parametrize(("offset", "size"), [(1, 4096), (-512, 4096), (0, 0), (0, 512), (0, 4097)])
def test_open_plain_refuses_odd_bounds(recording: Recording, key: SecretBytes, offset: int, size: int) -> None:
    with pytest.raises(ValueError, match="whole sectors"):
        plain(key, offset_bytes=offset, size_bytes=size)
    assert recording.calls == []


def test_open_plain_refuses_a_key_of_another_length(recording: Recording, other: SecretBytes) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        plain(other)


def test_close(recording: Recording) -> None:
    cryptsetup.close("volward-a")
    recording.fail(4, "Device volward-a is not active.")
    cryptsetup.close("volward-a")
    assert recording.calls == 2 * [["cryptsetup", "close", "volward-a"]]


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (5, "Device volward-a is still in use.", BusyError),
        (4, "Cannot initialize device-mapper. Is dm_mod kernel module loaded?", NoDeviceMapperError),
        (4, "something else", DeviceNotFoundError),
    ],
)
def test_close_that_did_not(recording: Recording, status: int, said: str, error: type[VolwardError]) -> None:
    recording.fail(status, said)
    with pytest.raises(error):
        cryptsetup.close("volward-a")


def test_repair(recording: Recording) -> None:
    cryptsetup.repair(NODE)
    assert recording.calls == [words("cryptsetup repair --batch-mode --type luks2 /dev/vdb")]


needs_cryptsetup = pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup is not installed")


@needs_cryptsetup
def test_the_life_of_a_header_with_the_real_tool(tmp_path: Path, key: SecretBytes, other: SecretBytes) -> None:
    node = tmp_path / "disk"
    with node.open("wb") as file:
        file.truncate(32 << 20)
    make(node, key)
    assert cryptsetup.test_key(node, key, keyslot=0)
    assert cryptsetup.test_key(node, key, keyslot=None)
    assert not cryptsetup.test_key(node, key, keyslot=1)
    assert not cryptsetup.test_key(node, other, keyslot=None)

    cryptsetup.add_key(
        node, existing=key, existing_keyslot=0, new=other, keyslot=3, kdf=Argon2id(memory_kib=1024, lanes=1)
    )
    assert cryptsetup.test_key(node, other, keyslot=3)
    with SecretBytes(b"wrong") as wrong, pytest.raises(KeyRejectedError):
        cryptsetup.add_key(node, existing=wrong, existing_keyslot=None, new=other, keyslot=4, kdf=Pbkdf2())
    with pytest.raises(ToolFailedError, match="is full"):
        cryptsetup.add_key(node, existing=key, existing_keyslot=0, new=other, keyslot=3, kdf=Pbkdf2())

    cryptsetup.import_token(node, '{"type":"volward","keyslots":["0"]}', number=0)
    with pytest.raises(ToolFailedError, match="in use"):
        cryptsetup.import_token(node, '{"type":"volward","keyslots":["3"]}', number=0)
    cryptsetup.import_token(node, '{"type":"volward","keyslots":["3"]}', number=0, replace=True)
    assert not cryptsetup.test_token(node, 0)
    cryptsetup.remove_token(node, 0)

    with pytest.raises(LastKeyslotError):
        cryptsetup.kill_slot(node, keyslot=0, proof=KeyslotProof(3, key))
    cryptsetup.kill_slot(node, keyslot=0, proof=KeyslotProof(3, other))
    assert not cryptsetup.test_key(node, key, keyslot=None)
    cryptsetup.repair(node)
    assert cryptsetup.test_key(node, other, keyslot=None)


@needs_cryptsetup
@pytest.mark.parametrize("action", [lambda node, key: cryptsetup.test_key(node, key, keyslot=0), make])
def test_a_missing_device_with_the_real_tool(
    tmp_path: Path, key: SecretBytes, action: Callable[[Path, SecretBytes], object]
) -> None:
    with pytest.raises(DeviceNotFoundError):
        action(tmp_path / "none", key)


@needs_cryptsetup
def test_no_header_is_not_a_wrong_key_with_the_real_tool(tmp_path: Path, key: SecretBytes) -> None:
    node = tmp_path / "disk"
    node.write_bytes(bytes(1 << 20))
    with pytest.raises(ToolFailedError, match="not a valid LUKS device"):
        cryptsetup.test_key(node, key, keyslot=0)


def test_a_header_apart_from_its_data(recording: Recording, key: SecretBytes) -> None:
    cryptsetup.open(NODE, "proof", key=key, keyslot=1, discard=False, read_only=True, detached_header=Path("/run/h"))
    assert recording.calls == [
        words(f"{BY_KEY} --key-slot 1 --key-file <64> --keyfile-size 64 --readonly --header /run/h {NODE} proof")
    ]


def test_restoring_a_header(recording: Recording) -> None:
    cryptsetup.restore_header(NODE, Path("/run/image"))
    assert recording.calls == [
        words(f"cryptsetup luksHeaderRestore --batch-mode --header-backup-file /run/image {NODE}")
    ]
