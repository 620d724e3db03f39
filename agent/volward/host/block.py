"""Block devices and backing files: what a stable link leads to, and who uses it.

Everything comes from sysfs by device number, at the moment of asking; of /dev only the link and the node are
used. Reads only. Owns no host commands. Its siblings `identity` (which device) and `usage` (mounts and swap)
are the same noun cut in three.
"""

import contextlib
import difflib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from volward.errors import DeviceNotFoundError, DeviceUnknownError
from volward.host import identity, loop
from volward.host.usage import Usage
from volward.model import Device, DeviceClass, Identity, Place, VolumeSpec

SYSFS = Path("/sys")
DEV = Path("/dev")
PROC = Path("/proc")

Loops = Mapping[str, Sequence[Path]]

_DEFAULT_SECTOR_BYTES = 512
_NOT_DISKS = ("ram", "zram", "sr", "fd", "mtdblock", "nbd")  # kernel names that `disks` never offers
_LINK_ORDER = (  # of /dev/disk/by-id, best first: what the hardware says, then what its content says
    ("virtio-", "nvme-", "wwn-", "scsi-", "ata-", "usb-", "mmc-"),
    ("dm-uuid-LVM-", "dm-uuid-mpath-", "md-uuid-", "dm-uuid-", "md-name-", "dm-name-"),
)


def of_volume(spec: VolumeSpec, *, usage: Usage | None = None, loops: Loops | None = None) -> Device:
    """Describe the device or backing file of a volume, as `resolve` and `resolve_file` do."""
    if spec.is_file:
        return resolve_file(spec.device, usage=usage, loops=loops)
    return resolve(spec.device, usage=usage)


def place_of_volume(spec: VolumeSpec) -> Place:
    """Follow the link of a volume and no more, for who has looked at its device already.

    Raises DeviceNotFoundError, DeviceUnknownError.
    """
    node = Path(os.path.realpath(spec.device))
    return Place(node, "" if spec.is_file else _device_number(spec.device, node, DEV))


def resolve(
    link: Path, *, usage: Usage | None = None, sysfs: Path = SYSFS, dev: Path = DEV, proc: Path = PROC
) -> Device:
    """Follow a stable link to a block device and describe it; ``usage`` is shared by who asks for many.

    Raises DeviceNotFoundError when there is no block device, DeviceUnknownError when it is not readable yet
    (or any more): sysfs does not describe it, or its size is 0.
    """
    node = Path(os.path.realpath(link))
    device_number = _device_number(link, node, dev)
    directory = _directory(device_number, sysfs)
    try:
        found = identity.of(directory, dev=dev)
    except (OSError, ValueError) as error:
        raise DeviceUnknownError(
            f"{link} leads to {node} ({device_number}), which sysfs does not describe: {error}.",
            resolution="Wait until udev has settled, look at `dmesg`, then try again.",
        ) from error
    if not found.size_bytes:
        raise DeviceUnknownError(
            f"{link} leads to {node}, whose size is 0: it has no medium or is not ready.",
            resolution="Look at `dmesg` and at the cabling, then try again.",
        )
    return _describe(node, device_number, directory, found, usage or Usage(proc, dev))


def resolve_file(
    path: Path,
    *,
    usage: Usage | None = None,
    loops: Loops | None = None,
    sysfs: Path = SYSFS,
    proc: Path = PROC,
    dev: Path = DEV,
) -> Device:
    """Describe the backing file of a `file:` volume; loop devices on it, and what is on them, are holders.

    ``usage`` and ``loops`` (of ``loops_by_file``) are shared by who asks for many.
    ``number`` is the first attached loop device's. Raises DeviceNotFoundError, DeviceUnknownError.
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
        status = real.stat()
    except FileNotFoundError as error:
        raise DeviceNotFoundError(
            f"The backing file {path} does not exist.",
            resolution="If it held a volume, restore it: volward makes no empty one in its place. `volward apply` "
            "creates the file of a volume that is new.",
        ) from error
    except OSError as error:
        raise DeviceUnknownError(
            f"The backing file {path} cannot be examined: {error.strerror}.",
            resolution="Look at the file system that it is on.",
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise DeviceNotFoundError(
            f"{path} is not a regular file.",
            resolution="For a block device write its stable link, without `file:`.",
        )
    attached = loop.on_file(real, loops_by_file(sysfs=sysfs) if loops is None else loops, dev=dev)
    found = Identity(DeviceClass.FILE, status.st_size, path=str(real))
    usage = usage or Usage(proc, dev)
    # The sectors that matter are those of the disk that the file lies on.
    queue = _queue(_directory(f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}", sysfs))
    physical, logical = _sectors(queue)
    return Device(
        node=real,
        number=identity.text(attached[0] / "dev") if attached else "",
        identity=found,
        physical_sector_bytes=physical,
        logical_sector_bytes=logical,
        read_only=not os.access(real, os.W_OK),
        holders=tuple(name for one in attached for name in (one.name, *_names(one / "holders"))),
        mounted_at=tuple(target for one in attached for target in usage.mounts(one)),
        swap=str(real) in usage.swaps or any(usage.is_swap(one) for one in attached),
        rotational=_flag(queue / "rotational"),
    )


def loops_by_file(*, sysfs: Path = SYSFS) -> dict[str, tuple[Path, ...]]:
    """Return the sysfs directories of the attached loop devices by the file that they stand on."""
    found: dict[str, tuple[Path, ...]] = {}
    for directory in _blocks(sysfs):
        if file := identity.text(directory / "loop/backing_file"):
            found[file] = (*found.get(file, ()), directory)
    return found


def disks(*, sysfs: Path = SYSFS, dev: Path = DEV, proc: Path = PROC) -> tuple[Device, ...]:
    """List the whole block devices that could carry a volume: no loop, RAM, optical or empty ones, no mappings
    of LUKS volumes."""
    usage = Usage(proc, dev)
    found = []
    for directory in _blocks(sysfs):
        if directory.name.startswith((*_NOT_DISKS, "loop")) or _flag(directory / "hidden"):
            continue
        if identity.text(directory / "dm/uuid").startswith("CRYPT-"):
            continue
        with contextlib.suppress(OSError, ValueError):
            one = identity.of(directory, dev=dev)
            if one.size_bytes:
                node = _node(directory, dev)
                found.append(_describe(node, identity.text(directory / "dev"), directory, one, usage))
    return tuple(found)


def stable_links(node: Path, *, dev: Path = DEV) -> tuple[Path, ...]:
    """List the /dev/disk/by-id links that lead to a node, the one to configure first."""
    order = [prefix for group in _LINK_ORDER for prefix in group]

    def rank(link: Path) -> tuple[int, int, str]:
        place = next((at for at, prefix in enumerate(order) if link.name.startswith(prefix)), len(order))
        return place, len(link.name), link.name

    real = Path(os.path.realpath(node))
    links = [link for link in _listed(dev / "disk/by-id") if Path(os.path.realpath(link)) == real]
    return tuple(sorted(links, key=rank))


def is_on_file(node: Path, file: Path, *, sysfs: Path = SYSFS) -> bool:
    """Say whether a node is a loop device on that file (with symbolic links followed)."""
    directory = sysfs / "class/block" / node.name
    return loop.is_on(identity.text(directory / "loop/backing_file"), directory, file, node.parent)


# --- finding it -------------------------------------------------------------------------------------------


def _device_number(link: Path, node: Path, dev: Path) -> str:
    """Return "major:minor" of a node. Raises DeviceNotFoundError, DeviceUnknownError."""
    try:
        status = node.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        near = _near(link, dev)
        raise DeviceNotFoundError(
            f"{link} leads to {node}, which does not exist." if link.is_symlink() else f"{link} does not exist.",
            resolution=(
                f"Similar links on this host: {', '.join(near)}."
                if near
                else "`volward init` lists the disks of this host."
            ),
        ) from error
    except OSError as error:
        raise DeviceUnknownError(
            f"{link} cannot be examined: {error.strerror}.", resolution="Look at `dmesg`."
        ) from error
    if not stat.S_ISBLK(status.st_mode):
        raise DeviceNotFoundError(
            f"{link} leads to {node}, which is not a block device.",
            resolution="Use a link of /dev/disk/by-id, or `file:PATH` for a backing file.",
        )
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _near(link: Path, dev: Path) -> list[str]:
    places = (link.parent, dev / "disk/by-id")
    known = {one.name: str(one) for place in reversed(places) for one in _listed(place) if place != dev}
    return [known[name] for name in difflib.get_close_matches(link.name, known, n=3, cutoff=0.5)]


def _directory(device_number: str, sysfs: Path) -> Path:
    """Return a device's own directory. A link of sysfs leads there in one step."""
    link = sysfs / "dev/block" / device_number
    try:
        return Path(os.path.normpath(link.parent / link.readlink()))
    except OSError:
        return link  # who reads in it says what is wrong


def _blocks(sysfs: Path) -> list[Path]:
    return [Path(os.path.realpath(link)) for link in _listed(sysfs / "block")]


def _partitions(directory: Path) -> list[Path]:
    # By name before anything else: a disk's directory has forty entries, and is read for each look.
    candidates = [one for one in _names_in(directory) if one.startswith(directory.name)]
    return [directory / one for one in candidates if (directory / one / "partition").exists()]


def _listed(directory: Path) -> list[Path]:
    return [directory / name for name in _names_in(directory)]


def _names_in(directory: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return sorted(os.listdir(directory))  # noqa: PTH208 (names alone: sorting paths is slow)
    return []


def _names(directory: Path) -> tuple[str, ...]:
    """Name the devices listed in a sysfs directory; a mapping by the name that people know it by as well."""
    return tuple(_known_as(one) for one in _listed(directory))


def _known_as(directory: Path) -> str:
    mapping = identity.text(directory / "dm/name")
    return f"{mapping} ({directory.name})" if mapping else directory.name


def _node(directory: Path, dev: Path) -> Path:
    return dev / directory.name.replace("!", "/")  # sysfs writes cciss!c0d0 for cciss/c0d0


# --- describing it ----------------------------------------------------------------------------------------


def _describe(node: Path, device_number: str, directory: Path, found: Identity, usage: Usage) -> Device:
    """Holders, mounts and swap of the device count, and those of its partitions with the partitions themselves."""
    partitions = _partitions(directory)
    whole = (directory, *partitions)
    queue = _queue(directory)
    physical, logical = _sectors(queue)
    holders = (name for one in whole for name in _names(one / "holders"))
    return Device(
        node=node,
        number=device_number,
        identity=found,
        physical_sector_bytes=physical,
        logical_sector_bytes=logical,
        read_only=bool(_flag(directory / "ro")),
        holders=tuple(dict.fromkeys((*holders, *(one.name for one in partitions)))),
        mounted_at=tuple(target for one in whole for target in usage.mounts(one)),
        swap=any(usage.is_swap(one) for one in whole),
        rotational=_flag(queue / "rotational"),
        partitions=tuple(one.name for one in partitions),
    )


def _queue(directory: Path) -> Path:
    """A partition has its disk's queue."""
    return (directory.parent if (directory / "partition").exists() else directory) / "queue"


def _sectors(queue: Path) -> tuple[int, int]:
    logical = identity.number(queue / "logical_block_size") or _DEFAULT_SECTOR_BYTES
    return identity.number(queue / "physical_block_size") or logical, logical


def _flag(path: Path) -> bool | None:
    return {"0": False, "1": True}.get(identity.text(path))
