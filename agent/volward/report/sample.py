"""The configuration that `volward init` writes for a host: it loads as it stands, and says why. Pure."""

import json
import re
from collections.abc import Iterator, Sequence

from volward.model import StoreKind
from volward.report.survey import Database, Disk, Survey

_FILE_SIZE = "2 GiB"
_HEADER = """\
# volward's configuration. `volward check` says whether it is right, `volward plan` what would be done.
# Nothing is formatted before `volward apply` has shown it and you have confirmed it, and never a device
# that is not blank.
"""


def write(survey: Survey) -> str:
    """Return the text of volward.toml for the host."""
    disks = [disk for disk in survey.disks if not disk.why_not]
    databases = survey.databases or (Database(StoreKind.DIRECTORY),)
    names = list(_names(databases))
    lines = [_HEADER, *_defaults(survey)]
    for number, (name, database) in enumerate(zip(names, databases, strict=True)):
        lines += _volume(name, database, disks[number] if number < len(disks) else None)
    lines += _remarks(survey, disks[len(databases) :])
    return "\n".join(lines)


def _names(databases: Sequence[Database]) -> Iterator[str]:
    """Name volumes after what they hold; clusters beyond the first by version and name as well."""
    taken: set[str] = set()
    for database in databases:
        if database.kind is StoreKind.POSTGRES:
            name = "pgdata"
            if name in taken:
                plain = re.sub(r"[^a-z0-9]+", "-", f"{database.version}-{database.cluster}".lower())
                name = f"pgdata-{plain}".rstrip("-")[:44].rstrip("-")
        else:
            name = "data" if database.kind is StoreKind.DIRECTORY else database.kind.value
        unique, count = name, 1
        while unique in taken:
            count += 1
            unique = f"{name}-{count}"
        taken.add(unique)
        yield unique


def _defaults(survey: Survey) -> list[str]:
    if survey.has_tpm:
        return [
            "[defaults]",
            "# Keys are tried in this order. credential: a key file on this host, sealed with the host's own",
            "# secret and the TPM. tpm2: the TPM opens the volume by itself, so either of them is enough.",
            "# Every volume gets a recovery key as well, for you to keep.",
            'keys = ["credential", "tpm2"]',
            "",
        ]
    return [
        "[defaults]",
        "# credential: a key file on this host, sealed with the host's own secret, so that the volumes open at",
        "# boot without a person. This host has no TPM; whoever takes the whole root disk takes that secret too.",
        "# Every volume gets a recovery key as well, for you to keep.",
        'keys = ["credential"]',
        "",
    ]


def _volume(name: str, database: Database, disk: Disk | None) -> list[str]:
    lines = [f"[volumes.{name}]"]
    if database.data is not None:
        lines += [
            f"# Its data is in {_shown(database.data)} now. volward does not move it: apply first, then copy it",
            "# with the service stopped.",
        ]
    if disk is not None and disk.link is not None:
        lines += [
            f"# {_shown(disk.description)}; it looks blank. The link follows the disk when it is renumbered.",
            f"device = {_quoted(disk.link)}",
        ]
    else:
        lines += [
            "# No blank disk was left, so this is a file on the root disk: good to begin with. Choose the size",
            "# with the data's growth in mind; it is taken from the root disk at once.",
            f'device = "file:/var/lib/volward/images/{name}.img"',
            f'size = "{_FILE_SIZE}"',
        ]
    lines += [*_store(database), "# The mount point must not hold files. While the volume is closed, nothing"]
    lines += ["# can be written there.", f'mount_point = "/srv/volward/{name}"', ""]
    return lines


def _store(database: Database) -> list[str]:
    if database.kind is StoreKind.POSTGRES:
        version, cluster = _quoted(database.version), _quoted(database.cluster)
        return [
            "# The cluster gets a directory of its own below the mount, as pg_createcluster lays it out.",
            f'store = {{ kind = "postgres", version = {version}, cluster = {cluster} }}',
            "# This service starts only when the volume is mounted.",
            f"consumers = [{_quoted(f'postgresql@{database.version}-{database.cluster}.service')}]",
        ]
    if database.kind is StoreKind.DIRECTORY:
        return [
            "# No database was found on this host. directory is for any files; postgres, redis and qdrant",
            "# prepare the directories that those want.",
            'store = "directory"',
        ]
    unit = "redis-server.service" if database.kind is StoreKind.REDIS else "qdrant.service"
    return [
        "# The service's directories are made below the mount, with its user as owner.",
        f'store = "{database.kind}"',
        "# This service starts only when the volume is mounted.",
        f'consumers = ["{unit}"]',
    ]


def _remarks(survey: Survey, spare: Sequence[Disk]) -> Iterator[str]:
    if spare:
        yield "# More disks that look blank:"
        yield from (f"#   {_shown(disk.link)} ({_shown(disk.description)})" for disk in spare)
    refused = [disk for disk in survey.disks if disk.why_not]
    if refused:
        yield "# Disks that were not considered:"
        yield from (f"#   {_shown(disk.node)} ({_shown(disk.description)}): {_shown(disk.why_not)}" for disk in refused)
    if survey.docker_volumes:
        yield "# Docker volumes on this host; to keep one on an encrypted volume, add a volume with"
        yield '# store = { kind = "directory", path = "data" } and consumers = ["container:NAME"]:'
        yield from (f"#   {_shown(name)}" for name in survey.docker_volumes)


def _quoted(value: object) -> str:
    """Write a TOML text; JSON's escapes are valid there (TOML 1.0, basic strings)."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(value: object) -> str:
    """Make a text from the host safe for a comment: no line ends, no control characters."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))
