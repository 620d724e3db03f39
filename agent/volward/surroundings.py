"""What all volumes of a pass share, read once: mounts, swaps, mapping names, loop devices, carriers of LUKS UUIDs.

Each part is read when it is first asked for, and not again: whoever looks at a hundred volumes reads the mount
table once. Read-only; calls no host commands.
"""

from functools import cached_property
from pathlib import Path

from volward.host import block, boot, luks_carriers, mapping, mount, volume_units
from volward.host.block import Loops
from volward.host.mount import Mounts
from volward.host.usage import Usage


class Surroundings:
    """The host at one moment. Not for keeping: a mutation makes it old.

    What opening volumes does not change can be taken over from an ``earlier`` look of the pass: which devices carry
    which LUKS UUID (reading every device of the host is the costly part), and the units. Volumes that are opened side
    by side share it.
    """

    def __init__(self, *, earlier: "Surroundings | None" = None) -> None:
        self._earlier = earlier

    @cached_property
    def mounts(self) -> Mounts:
        """PID 1's mounts. Raises OSError."""
        return Mounts(mount.table())

    @cached_property
    def usage(self) -> Usage:
        return Usage(block.PROC, block.DEV, mounts=self.mounts.all)

    @cached_property
    def mapping_names(self) -> dict[str, str]:
        """Kernel names by mapping name. Raises OSError."""
        return mapping.names()

    @cached_property
    def ties(self) -> dict[str, tuple[Path, ...]]:
        """The drop-ins that tie units to volumes, by volume. Raises OSError."""
        return self._earlier.ties if self._earlier else volume_units.ties()

    @cached_property
    def boot_opens(self) -> bool:
        """Whether the unit that opens the volumes at boot is enabled."""
        return self._earlier.boot_opens if self._earlier else boot.enabled()

    @cached_property
    def loops(self) -> Loops:
        return block.loops_by_file()

    @cached_property
    def all_carriers(self) -> dict[str, tuple[Path, ...]]:
        """The nodes of the devices that carry LUKS UUIDs."""
        return self._earlier.all_carriers if self._earlier else luks_carriers.by_uuid()

    def carriers(self, luks_uuid: str) -> tuple[Path, ...]:
        """Return the nodes of the devices that carry a LUKS UUID."""
        return self.all_carriers.get(luks_uuid, ())
