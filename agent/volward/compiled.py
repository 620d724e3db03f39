"""The volumes of a valid configuration, kept in a form that is read without validating it anew.

Validation takes several times as long as everything else that `volward open` or `volward status` do before they
touch the host, so what it found is kept with a digest of what it was made from: the configuration files, the code
and the Python that read them. Anything else than an exact match is as if nothing were kept. The file is root's, has
no secret, and may be removed at any time. Calls no host commands.
"""

import dataclasses
import functools
import hashlib
import json
import os
import sys
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from volward import __version__, durable
from volward.errors import NoSpaceError
from volward.model import VolumeSpec

FILE = Path("/var/lib/volward/compiled.json")
_CODE = ("config", "stores", "model", "compiled.py")


def digest(root: Path) -> str:
    """Return a digest of all that the volumes below a configuration directory follow from. Raises OSError."""
    made_from = hashlib.sha256(f"{__version__} {sys.version} {root}".encode())
    for path in (root / "volward.toml", *sorted((root / "volward.d").glob("*.toml"))):
        content = path.read_bytes() if path.exists() else b""
        made_from.update(f"{path} {len(content)}\n".encode() + content)
    package = Path(__file__).parent
    for name in _CODE:
        path = package / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            status = file.stat()
            made_from.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return made_from.hexdigest()


def read(root: Path, *, file: Path = FILE) -> dict[str, VolumeSpec] | None:
    """Return the volumes by name, in their order; None when nothing that fits is kept. Never raises."""
    try:
        status = file.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return None
        kept = json.loads(file.read_bytes())
        if kept["digest"] != digest(root):
            return None
        return {name: _decoded(VolumeSpec, fields) for name, fields in kept["volumes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(made_from: str, specs: Mapping[str, VolumeSpec], *, file: Path = FILE) -> None:
    """Keep the volumes; ``made_from`` is their digest, taken before the files were read.

    Never raises: a full or read-only disk is no reason not to open a volume.
    """
    content = {"digest": made_from, "volumes": {name: dataclasses.asdict(spec) for name, spec in specs.items()}}
    try:
        durable.make_directory(file.parent, mode=0o755)
        durable.replace(file, json.dumps(content, default=str).encode() + b"\n")
    except (OSError, NoSpaceError):
        return


def _decoded(kind: typing.Any, value: typing.Any) -> typing.Any:
    """Rebuild a value of a type that occurs in VolumeSpec. Raises TypeError, ValueError for anything else."""
    if kind in (str, int, bool):
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind}")
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and arguments[1:] == (...,):
        return tuple(_decoded(arguments[0], one) for one in value)
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return None if value is None else _decoded(next(one for one in arguments if one is not type(None)), value)
    if isinstance(kind, type) and issubclass(kind, Enum | Path):
        return kind(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _decoded(hints[name], one) for name, one in value.items()})
    raise TypeError(f"{kind} cannot be kept")


_hints = functools.cache(typing.get_type_hints)
