"""/proc/PID/mountinfo, parsed: the one place that knows its format (proc(5)). Owns no host commands."""

import re
from functools import lru_cache
from pathlib import Path

from volward.model import Mount

_ESCAPE = re.compile(r"\\([0-7]{3})")


@lru_cache(maxsize=2)
def parse(text: str) -> tuple[Mount, ...]:
    """Parse a whole mountinfo; the order is the kernel's. A line that is not as documented is passed over.

    The table is read before and after every step and seldom differs: the same text is not parsed twice.
    """
    return tuple(mount for line in text.splitlines() if (mount := _line(line)) is not None)


def read(process: str, *, proc: Path) -> tuple[Mount, ...]:
    """Read one process's mounts. Raises OSError."""
    return parse((proc / process / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))


def unescaped(word: str) -> str:
    r"""Undo the octal escapes of proc(5): \040 is a blank, \134 a backslash."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), word)


def _line(line: str) -> Mount | None:
    """ID, parent, number, root, target, options, any number of optional fields, -, type, source, more options."""
    left, _, right = line.partition(" - ")
    fields, behind = left.split(" "), right.split(" ")
    if len(fields) < 6 or len(behind) < 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
        return None
    # "ro" of the mount and "ro" of the file system both make it read-only; each option is told once.
    options = dict.fromkeys([*fields[5].split(","), *behind[2].split(",")])
    if "ro" in options:
        options.pop("rw", None)
    return Mount(
        source=unescaped(behind[1]),
        target=Path(unescaped(fields[4])),
        file_system=unescaped(behind[0]),
        options=tuple(options),
        number=fields[2],
        root=unescaped(fields[3]),
        identifier=int(fields[0]),
        parent=int(fields[1]),
        shared=_peer_group("shared:", fields[6:]),
        master=_peer_group("master:", fields[6:]),
    )


def _peer_group(tag: str, optional: list[str]) -> int:
    """Read "shared:N" or "master:N" (mount_namespaces(7)); 0 when the mount has no such tag."""
    found = next((field.removeprefix(tag) for field in optional if field.startswith(tag)), "")
    return int(found) if found.isdecimal() else 0
