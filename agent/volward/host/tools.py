"""Whether the programs that an operation is going to call are there, asked before anything is changed.

Looking along the PATH that children get (host/run.py) starts no process; the two versions that matter cost one
short child each and are asked for only where a volume may be formatted. Uses `cryptsetup --version` and
`systemctl --version`.
"""

import re
import shutil
from collections.abc import Iterable, Sequence

from volward.errors import ToolMissingError
from volward.host import cryptsetup, run
from volward.model import FileSystem, ProviderKind, VolumeSpec

OLDEST_SYSTEMD = 252
_ALWAYS = ("cryptsetup", "systemctl", "blkid")
_MAKERS = {FileSystem.EXT4: "mkfs.ext4", FileSystem.XFS: "mkfs.xfs", FileSystem.SWAP: "mkswap"}
_OF_PROVIDERS = {ProviderKind.CREDENTIAL: "systemd-creds"}


def demand(specs: Sequence[VolumeSpec], *, provisioning: bool) -> None:
    """Raise ToolMissingError, which names every missing program and its package, or the one that is too old."""
    missing = sorted({name for spec in specs for name in _needed(spec, provisioning=provisioning) if not _found(name)})
    if missing:
        packages = sorted({run.PACKAGES.get(name, name) for name in missing})
        raise ToolMissingError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed.",
            resolution=f"Install what is missing: apt install {' '.join(packages)}.",
        )
    if provisioning and specs:
        cryptsetup.version()
        _demand_systemd()


def _needed(spec: VolumeSpec, *, provisioning: bool) -> Iterable[str]:
    yield from _ALWAYS
    yield from (_OF_PROVIDERS[kind] for kind in spec.providers if kind in _OF_PROVIDERS)
    if spec.file_system is FileSystem.SWAP:
        yield "swapon"
    if provisioning or not spec.providers:  # a scratch volume is made anew at each opening
        yield _MAKERS[spec.file_system]
    if provisioning:
        yield "wipefs"
        if ProviderKind.TPM2 in spec.providers:
            yield "systemd-cryptenroll"


def _found(name: str) -> bool:
    return shutil.which(name, path=run.ENVIRONMENT["PATH"]) is not None


def _demand_systemd() -> None:
    said = run.read(["systemctl", "--version"]).stdout
    number = re.match(r"systemd (\d+)", said)
    if number is None or int(number[1]) < OLDEST_SYSTEMD:
        raise ToolMissingError(
            f"systemd is too old: volward needs {OLDEST_SYSTEMD} or newer, "
            f"this one says '{(said.splitlines() or [''])[0]}'.",
            resolution="Use Debian 12 or newer.",
        )
