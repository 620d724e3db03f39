"""The pinned identity of every volume: what its device was at the first format (rule 2).

One JSON file a volume in /var/lib/volward/pins, replaced as a whole. Calls no host commands.
"""

import dataclasses
import json
from pathlib import Path

from volward import durable
from volward.errors import JournalError
from volward.model import DeviceClass, Identity, Pin

DIRECTORY = Path("/var/lib/volward/pins")


def read(volume: str, *, directory: Path = DIRECTORY) -> Pin | None:
    """Return the pin of a volume, or None when it has none. Raises JournalError for a damaged file."""
    path = directory / f"{volume}.json"
    try:
        fields = json.loads(path.read_bytes())
        identity = dict(fields["identity"])
        identity["device_class"] = DeviceClass(identity["device_class"])
        return Pin(Identity(**identity), str(fields["luks_uuid"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(
            f"The pinned identity of {volume} cannot be read ({path}): {error}.",
            resolution=f"Compare the disk's serial number. Then move {path} away and run `volward repin {volume}`.",
        ) from error


def write(volume: str, pin: Pin, *, directory: Path = DIRECTORY) -> None:
    """Record the identity of a volume, durably. Raises NoSpaceError, OSError."""
    durable.make_directory(directory, mode=0o700)
    content = json.dumps(dataclasses.asdict(pin), indent=2, sort_keys=True).encode() + b"\n"
    durable.replace(directory / f"{volume}.json", content)


def remove(volume: str, *, directory: Path = DIRECTORY) -> None:
    """Forget the identity of a volume whose device was never formatted. Raises OSError."""
    (directory / f"{volume}.json").unlink(missing_ok=True)
    durable.sync_directory(directory)
