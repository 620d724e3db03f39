"""LUKS2 headers made in pure Python, so that the parser's tests need no cryptsetup."""

import copy
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

UUID = "5f407946-de57-47b8-91fb-eb547538bf0a"

DOCUMENT: dict[str, Any] = {
    "keyslots": {
        "0": {
            "type": "luks2",
            "key_size": 64,
            "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
            "area": {
                "type": "raw",
                "offset": "32768",
                "size": "258048",
                "encryption": "aes-xts-plain64",
                "key_size": 64,
            },
            "kdf": {"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": "AAAA"},
        },
        "1": {
            "type": "luks2",
            "key_size": 64,
            "priority": 2,
            "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
            "area": {
                "type": "raw",
                "offset": "290816",
                "size": "258048",
                "encryption": "aes-xts-plain64",
                "key_size": 64,
            },
            "kdf": {"type": "argon2id", "time": 4, "memory": 262144, "cpus": 4, "salt": "AAAA"},
        },
    },
    "tokens": {"0": {"type": "volward", "keyslots": ["0"], "volume": "pg"}},
    "segments": {
        "0": {
            "type": "crypt",
            "offset": "16777216",
            "size": "dynamic",
            "iv_tweak": "0",
            "encryption": "aes-xts-plain64",
            "sector_size": 4096,
        }
    },
    "digests": {"0": {"type": "pbkdf2", "keyslots": ["0", "1"], "segments": ["0"], "iterations": 1000}},
    "config": {"json_size": "12288", "keyslots_size": "16744448", "flags": ["allow-discards"]},
}


def document() -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT)


def header_copy(
    content: dict[str, Any] | bytes | None = None,
    *,
    sequence: int = 3,
    size: int = 0x4000,
    offset: int = 0,
    label: bytes = b"volward-pg",
    uuid: str = UUID,
    algorithm: bytes = b"sha256",
) -> bytes:
    """Build one copy with a right checksum, whatever its content."""
    if content is None:
        content = document()
    if isinstance(content, dict):
        content["config"]["json_size"] = str(size - 4096)
        content = json.dumps(content).encode()
    area = content.ljust(size - 4096, b"\0")
    magic = b"SKUL\xba\xbe" if offset else b"LUKS\xba\xbe"
    binary = struct.pack(
        ">6sHQQ48s32s64s40s48sQ184s64s",
        magic, 2, size, sequence, label, algorithm, b"salt", uuid.encode(), b"volward", offset, b"", b"",
    ).ljust(4096, b"\0")  # fmt: skip
    checksum = hashlib.sha256(binary + area).digest()
    return binary[:448] + checksum.ljust(64, b"\0") + binary[512:] + area


def write(path: Path, *, primary: bytes | None = None, secondary: bytes | None = None, size: int = 0x4000) -> Path:
    """Write a 32 MiB sparse file with both copies; b"" leaves a copy out."""
    with path.open("wb") as image:
        image.truncate(32 * 1024 * 1024)
        image.write(header_copy(size=size) if primary is None else primary)
        image.seek(size)
        image.write(header_copy(size=size, offset=size) if secondary is None else secondary)
    return path
