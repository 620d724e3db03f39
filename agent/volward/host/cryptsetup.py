"""cryptsetup(8): the only writer of LUKS2 headers and the only one that opens and closes mappings.

Each function is one command with a literal argv. Keys travel as files only. Every use of a *key* says
``--disable-external-tokens``, because cryptsetup tries a TPM token without PIN first and would then call a
wrong key right. ``--key-slot`` alone is not enough: luksAddKey takes it for the *new* keyslot when
``--new-key-slot`` is missing, so that both are always said there.
What its exit statuses mean stands in cryptsetup_status.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from volward.errors import DeviceNotFoundError, KeyDeniedError, LastKeyslotError, ToolFailedError, ToolMissingError
from volward.host import cryptsetup_status as status
from volward.host import run
from volward.host.run import KeyFile, Word
from volward.secret import SecretBytes

OLDEST_VERSION = (2, 6)
SECTOR_BYTES = 512  # the unit of --offset and --size, whatever the sector size of the encryption is
_KEY_TEST_TIMEOUT_SECONDS = 120.0  # Argon2id on a small or emulated host


@dataclass(frozen=True)
class Pbkdf2:
    """For 64 random bytes: stretching buys nothing there (cryptsetup FAQ 5.1), 1000 is the minimum."""

    iterations: int = 1000

    @property
    def words(self) -> tuple[Word, ...]:
        """Return the options of luksFormat and luksAddKey."""
        return ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", str(self.iterations))


@dataclass(frozen=True)
class Argon2id:
    """For what a person types. The cost is fixed, never measured: the header must open on smaller hosts."""

    memory_kib: int
    iterations: int = 4  # cryptsetup's minimum
    lanes: int = 4  # cryptsetup's maximum

    @property
    def words(self) -> tuple[Word, ...]:
        """Return the options of luksFormat and luksAddKey."""
        return (
            "--pbkdf", "argon2id",
            "--pbkdf-force-iterations", str(self.iterations),
            "--pbkdf-memory", str(self.memory_kib),
            "--pbkdf-parallel", str(self.lanes),
        )  # fmt: skip


def version() -> tuple[int, ...]:
    """Return cryptsetup's version, as (2, 7, 5). Raises ToolMissingError below 2.6."""
    said = run.read(["cryptsetup", "--version"]).stdout
    found = re.match(r"cryptsetup (\d+(?:\.\d+)*)", said)
    number = tuple(int(part) for part in found[1].split(".")) if found else ()
    if number < OLDEST_VERSION:
        raise ToolMissingError(
            f"cryptsetup is too old: volward needs 2.6 or newer, this one says '{said.strip()}'.",
            resolution="Use Debian 12 or newer, or install a newer cryptsetup-bin.",
        )
    return number


def format(  # noqa: A001 (the word of this field)
    node: Path,
    *,
    key: SecretBytes,
    uuid: str,
    label: str,
    subsystem: str,
    cipher: str,
    key_bits: int,
    sector_size_bytes: int,
    kdf: Pbkdf2 | Argon2id,
) -> None:
    """Write a new LUKS2 header with ``key`` in keyslot 0. Destroys what is there, without a question.

    The proof that the device is blank is the caller's, right before this call: luksFormat has no guard of
    its own beyond an exclusive open. Raises BusyError, DeviceNotFoundError, ToolFailedError.
    """
    with status.classified(node):
        run.mutate(
            [
                "cryptsetup", "luksFormat",
                "--batch-mode",
                "--type", "luks2",
                "--uuid", uuid,
                "--label", label,
                "--subsystem", subsystem,
                "--cipher", cipher,
                "--key-size", str(key_bits),
                "--hash", "sha256",
                *kdf.words,
                "--sector-size", str(sector_size_bytes),
                "--key-slot", "0",
                *_key("--key-file", "--keyfile-size", key),
                node,
            ]
        )  # fmt: skip


def open(  # noqa: A001 (the word of this field)
    node: Path,
    name: str,
    *,
    key: SecretBytes,
    keyslot: int | None,
    discard: bool,
    read_only: bool = False,
    detached_header: Path | None = None,
) -> None:
    """Open ``node`` as mapping ``name`` with a key; ``keyslot`` None tries all of them.

    With ``detached_header`` the header is read from that file and ``node`` is not looked at for one.
    Raises KeyRejectedError, BusyError (the name exists, the device is in use), DeviceNotFoundError,
    NoDeviceMapperError, ToolFailedError.
    """
    with status.classified(node):
        apart: tuple[Word, ...] = () if detached_header is None else ("--header", detached_header)
        run.mutate([*_open_by_key(key, keyslot), *_activation(discard, read_only), *apart, node, name])


def open_by_token(node: Path, name: str, *, token: int, discard: bool, read_only: bool = False) -> None:
    """Open ``node`` as mapping ``name`` through one of its tokens; no key passes through volward.

    Raises ProviderUnavailableError (no TPM there yet), KeyDeniedError (the token does not open its keyslot),
    BusyError, DeviceNotFoundError, NoDeviceMapperError.
    """
    with status.classified(node), status.token_answers(node, token):
        run.mutate([*_open_by_token(token), *_activation(discard, read_only), node, name])


def test_key(node: Path, key: SecretBytes, *, keyslot: int | None) -> bool:
    """Return whether ``key`` opens that keyslot (None: any keyslot). Changes nothing.

    A keyslot that is not in use is not opened. Raises DeviceNotFoundError, ToolFailedError (also when there
    is no LUKS header).
    """
    with status.classified(node):
        try:
            run.read(
                [*_open_by_key(key, keyslot), "--test-passphrase", node],
                timeout_seconds=_KEY_TEST_TIMEOUT_SECONDS,
            )
        except ToolFailedError as error:
            if error.status == 2 or (error.status == 1 and "No usable keyslot" in error.stderr):
                return False
            raise
    return True


def test_token(node: Path, token: int) -> bool:
    """Return whether that token opens its keyslot. Changes nothing; a TPM may count a failed try.

    Raises ProviderUnavailableError when the token needs something that is not there (now).
    """
    with status.classified(node):
        try:
            with status.token_answers(node, token):
                run.read(
                    [*_open_by_token(token), "--test-passphrase", node],
                    timeout_seconds=_KEY_TEST_TIMEOUT_SECONDS,
                )
        except KeyDeniedError:
            return False
    return True


def add_key(
    node: Path,
    *,
    existing: SecretBytes,
    existing_keyslot: int | None,
    new: SecretBytes,
    keyslot: int,
    kdf: Pbkdf2 | Argon2id,
) -> None:
    """Enrol ``new`` in the free keyslot ``keyslot``, authorised by ``existing``.

    Raises KeyRejectedError when ``existing`` opens nothing, ToolFailedError when the keyslot is in use.
    """
    chosen: tuple[Word, ...] = () if existing_keyslot is None else ("--key-slot", str(existing_keyslot))
    with status.classified(node):
        run.mutate(
            [
                "cryptsetup", "luksAddKey",
                "--batch-mode",
                "--disable-external-tokens",
                *chosen,
                *_key("--key-file", "--keyfile-size", existing),
                "--new-key-slot", str(keyslot),
                *_key("--new-keyfile", "--new-keyfile-size", new),
                "--hash", "sha256",
                *kdf.words,
                node,
            ]
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class KeyslotProof:
    """Another enrolled keyslot and its key: what has to be shown before a keyslot is removed (rule 4)."""

    keyslot: int
    key: SecretBytes


def kill_slot(node: Path, *, keyslot: int, proof: KeyslotProof) -> None:
    """Remove ``keyslot`` for good, after the proof's own keyslot was opened with its key, now.

    Raises LastKeyslotError when the proof is none.
    """
    if proof.keyslot == keyslot:
        raise LastKeyslotError(
            f"Keyslot {keyslot} of {node} cannot vouch for its own removal.",
            resolution="Show a key of another keyslot.",
        )
    if not test_key(node, proof.key, keyslot=proof.keyslot):
        raise LastKeyslotError(
            f"Keyslot {keyslot} of {node} stays: keyslot {proof.keyslot} was not opened by the key shown.",
            resolution="Show a key that opens another keyslot, for example the recovery key.",
        )
    with status.classified(node):
        run.mutate(
            [
                "cryptsetup", "luksKillSlot",
                "--batch-mode",
                "--disable-external-tokens",
                *_key("--key-file", "--keyfile-size", proof.key),
                node,
                str(keyslot),
            ]
        )  # fmt: skip


def import_token(node: Path, token_json: str, *, number: int | None, replace: bool = False) -> None:
    """Write a token; its JSON names the keyslots. ``replace`` swaps token ``number`` in one header update.

    Raises ToolFailedError when the number is taken and ``replace`` is not said.
    """
    chosen: tuple[Word, ...] = () if number is None else ("--token-id", str(number))
    swap: tuple[Word, ...] = ("--token-replace",) if replace else ()
    with status.classified(node), SecretBytes(token_json.encode()) as content:
        run.mutate(["cryptsetup", "token", "import", *chosen, *swap, "--json-file", KeyFile(content), node])


def remove_token(node: Path, number: int) -> None:
    """Remove a token; its keyslots stay. Raises ToolFailedError when there is no such token."""
    with status.classified(node):
        run.mutate(["cryptsetup", "token", "remove", "--token-id", str(number), node])


def open_plain(
    node: Path,
    name: str,
    *,
    offset_bytes: int,
    size_bytes: int,
    key: SecretBytes,
    cipher: str,
    key_bits: int,
    sector_size_bytes: int,
) -> None:
    """Open a plain dm-crypt mapping (no header) over a part of ``node``; both bounds are whole sectors.

    The key has exactly ``key_bits``. Raises ValueError for bad bounds or a key of another length.
    """
    if offset_bytes % SECTOR_BYTES or size_bytes % sector_size_bytes or size_bytes <= 0 or offset_bytes < 0:
        raise ValueError("the bounds of a plain mapping are whole sectors")
    if len(key) * 8 != key_bits:
        raise ValueError(f"a plain mapping of {key_bits} bits needs a key of {key_bits // 8} bytes")
    with status.classified(node):
        run.mutate(
            [
                "cryptsetup", "open",
                "--batch-mode",
                "--type", "plain",
                "--cipher", cipher,
                "--key-size", str(key_bits),
                "--hash", "plain",
                "--sector-size", str(sector_size_bytes),
                "--offset", str(offset_bytes // SECTOR_BYTES),
                "--size", str(size_bytes // SECTOR_BYTES),
                *_key("--key-file", "--keyfile-size", key),
                node,
                name,
            ]
        )  # fmt: skip


def close(name: str) -> None:
    """Close a mapping; one that is not there is closed already. Raises BusyError while it is in use."""
    try:
        with status.classified(Path(name)):
            run.mutate(["cryptsetup", "close", name])
    except DeviceNotFoundError as error:
        cause = error.__cause__
        if not isinstance(cause, ToolFailedError) or "is not active" not in cause.stderr:
            raise


def repair(node: Path) -> None:
    """Mend a damaged copy of the header from the good one (cryptsetup-repair(8))."""
    with status.classified(node):
        run.mutate(["cryptsetup", "repair", "--batch-mode", "--type", "luks2", node])


def restore_header(node: Path, image: Path) -> None:
    """Write a header area, as a file, over the one of ``node``; without a question (cryptsetup-luksHeaderRestore(8)).

    cryptsetup refuses an image that is no LUKS2 header, and one whose data begins elsewhere than the present
    header's. Whether this is the right header is the caller's to prove, before. Raises BusyError,
    DeviceNotFoundError, ToolFailedError.
    """
    with status.classified(node):
        run.mutate(["cryptsetup", "luksHeaderRestore", "--batch-mode", "--header-backup-file", image, node])


def _key(file_option: str, size_option: str, key: SecretBytes) -> tuple[Word, ...]:
    """Bytes in, bytes out: with its size said, neither a newline nor a NUL ends a key."""
    return (file_option, KeyFile(key), size_option, str(len(key)))


def _open_by_key(key: SecretBytes, keyslot: int | None) -> Sequence[Word]:
    chosen: tuple[Word, ...] = () if keyslot is None else ("--key-slot", str(keyslot))
    return [
        "cryptsetup", "open",
        "--batch-mode",
        "--type", "luks2",
        "--disable-external-tokens",
        "--serialize-memory-hard-pbkdf",
        *chosen,
        *_key("--key-file", "--keyfile-size", key),
    ]  # fmt: skip


def _open_by_token(token: int) -> Sequence[Word]:
    # Why a token failed is said with --verbose alone.
    return [
        "cryptsetup", "open",
        "--verbose",
        "--batch-mode",
        "--type", "luks2",
        "--token-only",
        "--token-id", str(token),
    ]  # fmt: skip


def _activation(discard: bool, read_only: bool) -> tuple[Word, ...]:
    return (*(("--allow-discards",) if discard else ()), *(("--readonly",) if read_only else ()))
