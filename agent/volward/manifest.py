"""The manifest: what `volward system install` and `volward apply` wrote outside of volward's own directories.

One JSON file, /var/lib/volward/system.json (0644, no secret), replaced as a whole. An entry is written before its file,
and says so until all is done: then a run that was cut finds its own half-done work again, and takes nothing for its own
that somebody else wrote. Calls no host commands.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from volward import durable
from volward.errors import JournalError
from volward.host.shipped import ROOT, at

PATH = Path("/var/lib/volward/system.json")
_FORMAT = 1
_MODE = 0o644


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file: what volward wrote. ``pending``: it was going to; until then there may be ``replaces``, or nothing."""

    sha256: str
    mode: int
    version: str  # of the volward that wrote it
    pending: bool = False
    replaces: str = ""

    def is_of(self, content: bytes, mode: int) -> bool:
        """Whether a file is as volward left it, at whatever moment it was cut."""
        known = {self.sha256, self.replaces} if self.pending else {self.sha256}
        return mode == self.mode and digest(content) in known


@dataclass(frozen=True)
class Manifest:
    """Files by their paths, and the units that volward enabled; False for one whose enabling may have been cut."""

    files: Mapping[Path, Entry] = field(default_factory=lambda: MappingProxyType({}))
    enabled: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.enabled


def read(*, root: Path = ROOT) -> Manifest:
    """Return the manifest, an empty one when there is none. Raises JournalError for a damaged or a newer one."""
    path = at(PATH, root)
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']}, not {_FORMAT}")
        files = {Path(name): _entry(fields) for name, fields in dict(found["files"]).items()}
        return Manifest(files, {str(name): bool(done) for name, done in dict(found["enabled"]).items()})
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(
            f"The list of the files that volward installed cannot be read ({path}): {error}.",
            resolution=f"Move {path} away and run `volward system install`: it knows again what is byte for byte as it "
            "writes it, and leaves the rest alone.",
        ) from error


def write(manifest: Manifest, *, root: Path = ROOT) -> None:
    """Replace the manifest, durably; an empty one leaves no file. Raises NoSpaceError, OSError."""
    path = at(PATH, root)
    if manifest.is_empty:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            durable.sync_directory(path.parent)
        return
    durable.make_directory(path.parent, mode=0o755)
    document = {
        "format": _FORMAT,
        "files": {str(path): _fields(entry) for path, entry in sorted(manifest.files.items())},
        "enabled": dict(sorted(manifest.enabled.items())),
    }
    durable.replace(path, json.dumps(document, indent=2).encode() + b"\n", mode=_MODE)


def _entry(fields: Mapping[str, Any]) -> Entry:
    return Entry(
        sha256=str(fields["sha256"]),
        mode=int(str(fields["mode"]), 8),
        version=str(fields["version"]),
        pending=bool(fields.get("pending", False)),
        replaces=str(fields.get("replaces", "")),
    )


def _fields(entry: Entry) -> dict[str, object]:
    settled: dict[str, object] = {"sha256": entry.sha256, "mode": f"{entry.mode:04o}", "version": entry.version}
    return settled | {"pending": True, "replaces": entry.replaces} if entry.pending else settled
