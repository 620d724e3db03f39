"""Single values of the configuration: devices, mount points, options, consumers, owners. Pure.

Each ``parse_`` function takes what TOML held and returns the value, or raises FieldError with a sentence and
a suggestion.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from volward.config.problem import FieldError

VOLUME_NAME = re.compile(r"[a-z][a-z0-9-]{0,47}", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(service|socket|timer|target|path)", re.ASCII)
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}", re.ASCII)
_MODE = re.compile(r"[0-7]{3,4}", re.ASCII)
_PATH_TEXT = re.compile(r"[A-Za-z0-9/._@+-]+", re.ASCII)
_UNIT_NAME_LIMIT = 255  # UNIT_NAME_MAX of systemd

_CLOSED_TREES = (
    "/bin",
    "/boot",
    "/dev",
    "/efi",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/volward",
    "/var/run",
)
_SYSTEM_DIRECTORIES = (
    "/",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/srv",
    "/tmp",  # noqa: S108 (compared only)
    "/var",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/lib/docker",
    "/var/lib/systemd",
    "/var/local",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/spool",
    "/var/tmp",  # noqa: S108
)
_FORGETFUL_TREES = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp")  # noqa: S108 (compared only)

_REFUSED_OPTIONS = {
    "_netdev": "volward's mounts wait for their own mapping, and a network wait would hold up the boot.",
    "nofail": "volward's mounts never hold up the boot, and `nofail` would let services start without them.",
    "auto": "volward starts the mount itself, when the volume is open.",
    "noauto": "volward starts the mount itself, when the volume is open.",
    "defaults": "it stands for the kernel's defaults, which hold anyway.",
    "ro": "a database directory must be writable.",
    "discard": "it is a setting of the whole volume. Write `discard = true` beside mount_options.",
    "loop": "the volume is mounted from its mapping.",
    "bind": "the volume is mounted from its mapping.",
    "rbind": "the volume is mounted from its mapping.",
    "move": "the volume is mounted from its mapping.",
    "remount": "the volume is mounted from its mapping.",
    "user": "only volward mounts the volume.",
    "users": "only volward mounts the volume.",
    "owner": "only volward mounts the volume.",
    "group": "only volward mounts the volume.",
}


@dataclass(frozen=True)
class BackingDevice:
    """Where a volume lives: a stable link below /dev, or a backing file (``file:`` in the configuration)."""

    path: Path
    is_file: bool

    def __str__(self) -> str:
        return f"file:{self.path}" if self.is_file else str(self.path)


def text(value: object, example: str) -> str:
    """Return a text; anything else is refused with the example."""
    if not isinstance(value, str):
        raise FieldError("must be a text in quotes.", f"For example {example}.")
    if not value or value != value.strip():
        raise FieldError("must not be empty or have spaces around it.", f"For example {example}.")
    return value


def _absolute(value: str) -> Path:
    """Refuse a path that is relative, not in its shortest form, or has characters that units trip over."""
    if not value.startswith("/"):
        raise FieldError(f'is "{value}", which is not an absolute path.', f'Write "/{value}" if that is meant.')
    shortest = "/" + "/".join(part for part in value.split("/") if part not in ("", "."))
    if ".." in value.split("/"):
        raise FieldError(f'is "{value}"; a path with ".." may lead elsewhere tomorrow.', "Write the path without it.")
    if value != shortest:
        raise FieldError(f'is "{value}", which can be written shorter.', f'Write "{shortest}".')
    if _PATH_TEXT.fullmatch(value) is None or any(len(part) > 255 for part in value.split("/")):
        raise FieldError(f'is "{value}".', "Use letters, digits and the characters . _ @ + - between the slashes.")
    return Path(value)


def _below(path: Path, trees: tuple[str, ...]) -> str:
    return next((tree for tree in trees if path.is_relative_to(tree)), "")


def parse_device(value: object) -> BackingDevice:
    """Return the device of a volume. Whether its name is stable is judged where links can be proposed."""
    written = text(value, '"/dev/disk/by-id/…" or "file:/var/lib/volward/images/NAME.img"')
    scheme, separator, rest = written.partition(":")
    if written.startswith("/"):
        path = _device_link(written)
        return BackingDevice(path, is_file=False)
    if separator and scheme == "file":
        path = _absolute(rest)
        tree = _below(path, _FORGETFUL_TREES)
        if tree:
            raise FieldError(
                f"keeps its data below {tree}, which does not outlive a reboot.",
                f'Write "file:/var/lib/volward/images/{path.name}".',
            )
        return BackingDevice(path, is_file=True)
    raise FieldError(
        f'is "{written}", which is neither a device nor a file.',
        'Write a link such as "/dev/disk/by-id/…", or "file:/path" with a `size`.',
    )


def _device_link(written: str) -> Path:
    if ".." in written.split("/") or "//" in written or written.endswith("/") or "\0" in written:
        raise FieldError(f'is "{written}".', 'Write the link in its shortest form, without "..".')
    path = Path(written)
    if not path.is_relative_to("/dev") or path == Path("/dev"):
        raise FieldError(
            f'is "{written}", which is not below /dev.',
            f'If it is meant to be a backing file, write "file:{written}" and a `size`.',
        )
    return path


def parse_mount_point(value: object) -> Path:
    """Return a mount point: absolute, in its shortest form, and not a directory of the system."""
    path = _absolute(text(value, '"/srv/volward/pgdata"'))
    tree = _below(path, _CLOSED_TREES)
    if tree or str(path) in _SYSTEM_DIRECTORIES:
        what = "belongs to the operating system" if not tree or str(path) == tree else f"lies below {tree}"
        raise FieldError(
            f'is "{path}", which {what}.',
            f'Choose a directory of its own, for example "/srv/volward/{path.name or "data"}".',
        )
    escaped = str(path).strip("/").replace("/", "-")
    length = len(escaped.encode()) + 3 * sum(str(path).count(sign) for sign in "-@+") + len(".mount")
    if length > _UNIT_NAME_LIMIT:
        raise FieldError(
            "is too long: systemd names the mount after it, in at most 255 characters.", "Choose a shorter path."
        )
    return path


def parse_backup_directory(value: object) -> Path:
    """Return the directory of header backups: absolute, and on something that outlives a reboot."""
    path = _absolute(text(value, '"/var/lib/volward/header-backups"'))
    tree = _below(path, _FORGETFUL_TREES)
    if tree:
        raise FieldError(
            f'is "{path}"; what is below {tree} does not outlive a reboot.',
            'Write "/var/lib/volward/header-backups", or a directory on another disk.',
        )
    if str(path) in _SYSTEM_DIRECTORIES:
        raise FieldError(f'is "{path}".', f'Choose a directory of its own, for example "{path / "header-backups"}".')
    return path


def parse_mount_option(value: object) -> str:
    """Return one mount option; those that fight with volward's way of mounting are refused with the reason."""
    option = text(value, '"noatime"')
    name = option.partition("=")[0]
    if "," in option or any(sign.isspace() for sign in option):
        raise FieldError(f'is "{option}".', "Write each option in quotes of its own.")
    if name.startswith(("x-systemd.", "x-initrd.")):
        raise FieldError(
            f'is "{option}", which means something in /etc/fstab only.',
            "Leave it out: volward's mount unit already waits for its own mapping.",
        )
    if name in _REFUSED_OPTIONS:
        raise FieldError(f'is "{option}".', f"Leave it out: {_REFUSED_OPTIONS[name]}")
    return option


def parse_consumer(value: object) -> str:
    """Return a consumer: a systemd unit ('redis-server.service') or a container ('container:NAME')."""
    consumer = text(value, '"postgresql@17-main.service" or "container:NAME"')
    scheme, separator, name = consumer.partition(":")
    if separator and scheme == "container":
        if _CONTAINER.fullmatch(name) is None:
            raise FieldError(
                f'is "{consumer}", and "{name}" is not the name of a container.',
                "Write the name that `docker ps` shows.",
            )
        return consumer
    if separator and scheme in ("docker", "podman", "service", "unit"):
        meant = f"container:{name}" if scheme in ("docker", "podman") else name
        raise FieldError(f'is "{consumer}".', f'Write "{meant}".')
    if (unit := _UNIT.fullmatch(consumer)) is None:
        raise FieldError(
            f'is "{consumer}", which is neither a unit nor a container.',
            f'Write "{consumer}.service" for a service, "container:{consumer}" for a container.',
        )
    if unit[1] == "@":
        raise FieldError(
            f'is "{consumer}", which is a template and never runs itself.',
            f'Name the instance: "{consumer.replace("@.", "@NAME.")}".',
        )
    if consumer.startswith("volward"):
        raise FieldError(f'is "{consumer}", which is a part of volward.', "Name the service that uses the data.")
    return consumer


def parse_account(value: object) -> str:
    """Return a user or group: a name, or a number in quotes (a container's user)."""
    account = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value, '"redis"')
    if _ACCOUNT.fullmatch(account) is None:
        raise FieldError(f'is "{account}".', 'Write the name of a user or group, or its number such as "999".')
    return account


def parse_mode(value: object) -> int:
    """Return an access mode; writing by everybody is refused without the sticky bit."""
    if not isinstance(value, str) or _MODE.fullmatch(value) is None:
        raise FieldError("must be an access mode in quotes.", 'For example "0750".')
    mode = int(value, 8)
    if mode & 0o002 and not mode & 0o1000:
        raise FieldError(f'is "{value}": everybody could write and delete there.', 'Write "1777" or less.')
    return mode


def parse_sub_directory(value: object) -> str:
    """Return a directory inside the mount, '.' for the mount itself."""
    written = text(value, '"data"')
    path = PurePosixPath(written)
    if written == ".":
        return written
    if path.is_absolute() or ".." in path.parts or str(path) != written or not _PATH_TEXT.fullmatch(written):
        raise FieldError(f'is "{written}".', 'Write a directory inside the mount, such as "data".')
    return written
