"""Device names: which are stable, and which stable links lead to a node now. Reads /dev, calls no commands."""

import re
from pathlib import Path

# Names that the kernel gives in the order in which it finds the devices (FAULTS.md 3).
_KERNEL_NAME = re.compile(
    r"(?:(?:sd|vd|xvd|hd)[a-z]+\d*|nvme\d+(?:c\d+)?n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?"
    r"|(?:dm-|md|loop|ram|zram|nbd|rbd|zd)\d+(?:p\d+)?)"
)
# The best first. by-uuid and by-label name what is *on* the device and change when it is formatted.
_STABLE_FAMILIES = ("by-id", "by-partuuid", "by-path")


def is_kernel_name(path: Path) -> bool:
    """Tell whether /dev/NAME is a name that may belong to another device after the next boot."""
    return path.parent == Path("/dev") and _KERNEL_NAME.fullmatch(path.name) is not None


def family(path: Path) -> str:
    """Return 'by-id', 'by-uuid', ... of a link below /dev/disk, or ''."""
    parts = path.parts
    return parts[3] if len(parts) > 4 and parts[1:3] == ("dev", "disk") else ""


def leading_to(node: Path, *, dev: Path = Path("/dev")) -> tuple[Path, ...]:
    """Return the stable links that lead to ``node`` now, the best first; () when there are none.

    A link that names the model and serial number comes before one with the bare WWN or EUI.
    """
    target = node.resolve()
    found: list[tuple[int, bool, str, Path]] = []
    for rank, name in enumerate(_STABLE_FAMILIES):
        directory = dev / "disk" / name
        try:
            entries = list(directory.iterdir())
        except OSError:
            continue
        found += [
            (rank, entry.name.startswith(("wwn-", "nvme-eui.", "nvme-nvme.", "lvm-pv-", "dm-uuid-")), entry.name, entry)
            for entry in entries
            if entry.is_symlink() and entry.resolve() == target
        ]
    return tuple(entry for *_, entry in sorted(found))
