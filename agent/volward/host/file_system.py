"""What a mapping carries: making a file system, and saying which one is there.

Uses mkfs.ext4(8), mkfs.xfs(8), mkswap(8), e2fsck(8), xfs_repair(8) and blkid(8). None of the makers is a guard:
without a terminal mkfs.ext4 and mkswap overwrite a live file system and return 0 (mkfs.xfs refuses). The proof
that nothing is lost is the caller's.
"""

from dataclasses import dataclass
from pathlib import Path

from volward.errors import DeviceUnknownError
from volward.host import run
from volward.host.run import Word
from volward.model import MIB, FileSystem

# Bytes, from ext4's superblock, xfs's superblock and the swap header; longer labels are cut.
LABEL_BYTES = {FileSystem.EXT4: 16, FileSystem.XFS: 12, FileSystem.SWAP: 15}

_CHECK_SECONDS = 600.0  # a new file system is checked within seconds; the device may be slow


@dataclass(frozen=True)
class FileSystemFound:
    """What libblkid recognised; ``type`` "" means that it read the device and knows nothing there."""

    type: str
    uuid: str


def make(node: Path, kind: FileSystem, *, uuid: str, label: str) -> None:
    """Make a file system or swap area with that UUID; the label is cut to what the kind can hold.

    Nothing is discarded: on a mapping without discard it cannot be, and on one with it the owner's choice is
    about data that is deleted, not about which blocks were ever used. Raises ToolMissingError,
    ToolFailedError.
    """
    short = label.encode()[: LABEL_BYTES[kind]].decode(errors="ignore")
    run.mutate([*_maker(kind, uuid, short), node])


def _maker(kind: FileSystem, uuid: str, label: str) -> tuple[Word, ...]:
    match kind:
        case FileSystem.EXT4:
            # 4096-byte blocks also on small devices: they fit the sectors of the encryption and PostgreSQL's
            # pages. 1 % reserved is enough to repair a full disk; 5 % of a data disk is a loss.
            return (
                "mkfs.ext4", "-q",
                "-b", "4096",
                "-m", "1",
                "-E", "nodiscard",
                "-U", uuid,
                "-L", label,
            )  # fmt: skip
        case FileSystem.XFS:
            return ("mkfs.xfs", "-q", "-K", "-m", f"uuid={uuid}", "-L", label)
        case FileSystem.SWAP:
            return ("mkswap", "--uuid", uuid, "--label", label)


def is_whole(node: Path, kind: FileSystem) -> bool:
    """Say whether an unmounted file system passes its own check, which changes nothing.

    A maker that was cut short left one that does not. Raises ToolMissingError, ToolTimeoutError.
    """
    match kind:
        case FileSystem.EXT4:
            # 4: errors, 8: it is no file system that can be checked (e2fsck(8)).
            done = run.read(["e2fsck", "-f", "-n", node], ok=(0, 4, 8, 12), timeout_seconds=_CHECK_SECONDS)
        case FileSystem.XFS:
            # 1: errors, 2: a log that a mount has to replay first (xfs_repair(8)).
            done = run.read(["xfs_repair", "-n", node], ok=(0, 1, 2), timeout_seconds=_CHECK_SECONDS)
        case FileSystem.SWAP:
            return True  # one page, written at once
    return done.status == 0


def identify(node: Path) -> FileSystemFound:
    """Return what is on ``node``, by a probe of its content (never from a cache).

    blkid ends with 2 both for "nothing known there" and for "cannot be read", so that 2 counts as nothing
    only after volward itself could read the first MiB. Raises DeviceUnknownError when it cannot be read, or
    when several signatures contradict each other (status 8).
    """
    done = run.read(["blkid", "--probe", "--output", "export", node], ok=(0, 2, 8))
    if done.status == 8:
        raise DeviceUnknownError(
            f"{node} carries the signatures of more than one file system.",
            resolution=f"Look at `wipefs {node}`; volward does not choose one of them.",
        )
    if done.status == 2:
        _prove_readable(node)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return FileSystemFound(type=found.get("TYPE", found.get("PTTYPE", "")), uuid=found.get("UUID", ""))


def _prove_readable(node: Path) -> None:
    try:
        with node.open("rb", buffering=0) as device:
            got = device.read(MIB)
    except OSError as error:
        raise DeviceUnknownError(
            f"{node} could not be read: {error.strerror}.", resolution="Look at `dmesg`; unknown is not empty."
        ) from error
    if not got:
        raise DeviceUnknownError(
            f"{node} has no content at all: its size is 0.", resolution="Look at `dmsetup table` and at `dmesg`."
        )
