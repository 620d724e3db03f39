"""What a store wants of its volume: directories, mount options, consumers and hints. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from volward.model import Directory

# The mount itself belongs to root and can be passed through, so that a service reaches its own directory and
# cannot write beside it (next to lost+found).
ROOT_OF_MOUNT = Directory(".", "root", "root", 0o755)

DATA_ONLY = ("noatime", "nodev", "nosuid", "noexec")  # nothing is ever run from a database directory
FILES = ("noatime", "nodev", "nosuid")  # an owner's own directory may hold scripts

_OPPOSITES = (
    frozenset({"atime", "noatime", "relatime", "strictatime"}),
    frozenset({"dev", "nodev"}),
    frozenset({"suid", "nosuid"}),
    frozenset({"exec", "noexec"}),
)


@dataclass(frozen=True)
class Profile:
    """A store's wishes; ``hints`` are lines for a person: how to point the service at its directory."""

    directories: tuple[Directory, ...]
    mount_options: tuple[str, ...]
    consumers: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def combine(defaults: Iterable[str], own: Iterable[str]) -> tuple[str, ...]:
    """Add the owner's mount options to the store's; an opposite (exec, noexec) replaces the store's one."""
    wanted = tuple(dict.fromkeys(own))
    replaced = {option for group in _OPPOSITES if group & set(wanted) for option in group if option not in wanted}
    return (*(option for option in defaults if option not in replaced and option not in wanted), *wanted)


def compose(service: str, source: Path, target: str) -> tuple[str, ...]:
    """Return the lines of a compose file that give a container its directory.

    `create_host_path: false` lets the start fail while the volume is closed, where the short form would
    make an empty directory.
    """
    return (
        "services:",
        f"  {service}:",
        "    volumes:",
        "      - type: bind",
        f"        source: {source}",
        f"        target: {target}",
        "        bind: { create_host_path: false }",
    )
