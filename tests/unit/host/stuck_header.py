"""A header as a re-encryption leaves it that was killed while cryptsetup removed the old keyslots.

The real cryptsetup begins and ends a re-encryption of a file; from what the header said in the middle and at the end
the state in between is put together. It is what `strace -e inject=fsync:signal=KILL:when=17 cryptsetup reencrypt …`
leaves (cryptsetup 2.6.1), and cryptsetup is stuck on it as it is there.
"""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from volward.host import header_format
from volward.host.header_format import BINARY_BYTES, Binary

RUN = partial(subprocess.run, check=True, capture_output=True)
FAST = ("--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
FORMAT = ("--luks2-metadata-size", "16k", "--luks2-keyslots-size", "4m")
MIB = 1024 * 1024


def make(disk: Path, keys: Sequence[bytes], *more: str) -> None:
    """Make a volume of a few MiB whose keyslots 0, 1, … these keys open."""
    with disk.open("wb") as image:
        image.truncate(12 * MIB)
    RUN(["cryptsetup", "luksFormat", "--type", "luks2", *FAST, *FORMAT, *more, "--key-file", "-", disk], input=keys[0])
    for key in keys[1:]:
        new = disk.with_name("new-key")
        new.write_bytes(key)
        RUN(["cryptsetup", "luksAddKey", *FAST, "--key-file", "-", disk, new], input=keys[0])
        new.unlink()


def cut(disk: Path, keys: Sequence[bytes], *, old_left: int = 0) -> dict[str, Any]:
    """Leave the volume as it is when all but ``old_left`` old keyslots have gone; return the JSON of the right end."""
    lines = b"\n".join(keys)
    RUN(["cryptsetup", "reencrypt", "--batch-mode", "--init-only", disk], input=lines)
    begun = document(disk)
    words = ["cryptsetup", "reencrypt", "--batch-mode", "--force-offline-reencrypt", "--resume-only"]
    RUN([*words, "--key-file", "-", disk], input=keys[0])
    ended = document(disk)
    write(disk, stuck(begun, ended, old_left=old_left))
    return ended


def stuck(begun: dict[str, Any], ended: dict[str, Any], *, old_left: int = 0) -> dict[str, Any]:
    """Return the JSON of the state in between."""
    one = copy.deepcopy(begun)
    ((segment, data),) = ended["segments"].items()
    ((new, _),) = ended["digests"].items()
    (old,) = [number for number, own in begun["digests"].items() if segment in own["segments"]]
    flags = {own["flags"][0]: number for number, own in begun["segments"].items() if own.get("flags")}
    gone = begun["digests"][old]["keyslots"][: len(begun["digests"][old]["keyslots"]) - old_left]
    one["segments"][segment] = data
    one["config"]["keyslots_size"] = ended["config"]["keyslots_size"]
    one["digests"][new]["segments"] = [segment, flags["backup-final"]]
    one["digests"][old] |= {
        "segments": [flags["backup-previous"]],
        "keyslots": [number for number in begun["digests"][old]["keyslots"] if number not in gone],
    }
    for number in gone:
        del one["keyslots"][number]
    for token in one["tokens"].values():
        token["keyslots"] = [number for number in token["keyslots"] if number not in gone]
    return one


def document(disk: Path) -> dict[str, Any]:
    """Return the JSON of the primary copy."""
    fields, area = _primary(disk)
    found: dict[str, Any] = header_format.document(area[BINARY_BYTES : fields.size_bytes], fields.size_bytes)
    return found


def write(disk: Path, content: dict[str, Any]) -> None:
    """Write both copies with another JSON."""
    fields, _ = _primary(disk)
    with disk.open("r+b") as image:
        for magic, offset in ((header_format.MAGIC_PRIMARY, 0), (header_format.MAGIC_SECONDARY, fields.size_bytes)):
            image.seek(offset)
            image.write(header_format.copy_of(fields._replace(magic=magic, offset_bytes=offset), content))


def _primary(disk: Path) -> tuple[Binary, bytes]:
    with disk.open("rb") as image:
        area = image.read(16384)
    return header_format.binary_of(area), area
