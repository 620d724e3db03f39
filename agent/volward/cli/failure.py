"""How an error of a command or of one volume is told: what happened, what to do, where to read on."""

from typing import TYPE_CHECKING

from volward.errors import DeviceNotFoundError, VolwardError

if TYPE_CHECKING:
    from volward.model import VolumeSpec


def text(error: VolwardError, *, about: str = "volward") -> str:
    """Return the error as it is printed; ``about`` is the program, or the volume that it is about."""
    resolution = "\n".join(f"  {line}" for line in error.resolution.splitlines())
    return f"{about}: {error.what}\n{resolution}\n  ({error.code}, `volward explain {error.code}`)"


def left_out(spec: "VolumeSpec", error: VolwardError) -> str:
    """Return why a timer passes a volume over, "" when that is an error: a disk in a drawer makes no unit fail."""
    if isinstance(error, DeviceNotFoundError) and not spec.open_at_boot:
        return f"{spec.name}: left out, because its device is away, and the boot is not to open it: {error.what}"
    return ""
