"""cryptsetup-reencrypt(8): another volume key for the data, in place; the one long mutation there is.

Every keyslot's key is shown on standard input, a line each, in the order of the keyslots' numbers: then each keyslot
has a successor for the new volume key from the first write on, with its own KDF, and the tokens name both
(tried with cryptsetup 2.6.1; with --key-file only one keyslot would survive). SIGTERM ends it in order, and it goes on
from there; after SIGKILL or a power cut too when it runs offline. Online, SIGKILL leaves the mapping suspended.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volward.host import cryptsetup_status as status
from volward.host import run
from volward.host.run import KeyFile, Word
from volward.model import Progress
from volward.secret import SecretBytes

_COMMAND: tuple[Word, ...] = (
    "cryptsetup", "reencrypt",
    "--batch-mode",
    "--type", "luks2",
    "--progress-json",
    "--progress-frequency", "1",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is re-encrypted: a block device or a backing file, and the mapping under which it is open.

    Of a block device cryptsetup finds the mapping by itself, and refuses one that somebody else uses. Of a file it
    cannot, and with --batch-mode wants to be told: that nobody uses it was looked at before.
    """

    node: Path
    is_file: bool = False
    mapping: str = ""  # "": closed

    @property
    def words(self) -> tuple[Word, ...]:
        """Return the end of the command line."""
        if not self.is_file:
            return (self.node,)
        return (*(("--active-name", self.mapping) if self.mapping else ("--force-offline-reencrypt",)), self.node)


def begin(
    target: Target,
    keys: Mapping[int, SecretBytes],
    *,
    on_progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> None:
    """Re-encrypt all data; ``keys`` has the key of every keyslot that there is, by its number.

    Returns when it ended, or when ``stop`` said so and it stopped in order: the header tells which.
    Raises KeyRejectedError for a key that does not open its keyslot (nothing was changed), BusyError, ToolFailedError,
    ValueError for a key with a newline.
    """
    with lines([key for _, key in sorted(keys.items())]) as secret, status.classified(target.node):
        run.follow([*_COMMAND, *target.words], secret, on_line=_reader(on_progress), stop=stop)


def resume(
    target: Target, key: SecretBytes, *, on_progress: Callable[[Progress], None], stop: Callable[[], bool]
) -> None:
    """Go on with a re-encryption that has begun; ``key`` opens one of its keyslots. Returns and raises as `begin`."""
    key_file: tuple[Word, ...] = ("--key-file", KeyFile(key), "--keyfile-size", str(len(key)))
    with status.classified(target.node):
        run.follow(
            [*_COMMAND, "--resume-only", *key_file, *target.words], None, on_line=_reader(on_progress), stop=stop
        )


def recover(node: Path, key: SecretBytes) -> None:
    """Mend the part of the data in which a re-encryption was killed; ``key`` opens a keyslot. For as long as it takes.

    Without it `resume` ends with "Device requires reencryption recovery. Run repair first." Raises as `begin`.
    """
    with lines([key]) as secret, status.classified(node):
        run.follow(
            ["cryptsetup", "repair", "--batch-mode", "--type", "luks2", node], secret,
            on_line=lambda _: None, stop=lambda: False,
        )  # fmt: skip


def lines(keys: Sequence[SecretBytes]) -> SecretBytes:
    """Return the keys as lines, in one secret that the caller wipes. Raises ValueError for a key with a newline."""

    def fill(window: memoryview) -> None:
        at = 0
        for key in keys:
            with key.view() as view:
                if any(byte == _NEWLINE for byte in view):
                    raise ValueError("a key with a newline cannot be a line")
                window[at : at + len(view)] = view
                window[at + len(view)] = _NEWLINE
                at += len(view) + 1

    return SecretBytes.filled(sum(len(key) + 1 for key in keys), fill)


_NEWLINE = 0x0A


def _reader(on_progress: Callable[[Progress], None]) -> Callable[[str], None]:
    def read(line: str) -> None:
        progress = parse(line)
        if progress is not None:
            on_progress(progress)

    return read


def parse(line: str) -> Progress | None:
    """Return what a line of --progress-json says (its numbers are texts); None for any other line."""
    try:
        said = json.loads(line)
        return Progress(
            done_bytes=int(said["device_bytes"]),
            total_bytes=int(said["device_size"]),
            bytes_per_second=float(said["speed"]),
            seconds_left=float(said["eta_ms"]) / 1000 if int(said["eta_ms"]) >= 0 else None,
        )
    except (ValueError, KeyError, TypeError):
        return None
