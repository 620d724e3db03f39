"""Wrapped keys on this host: what Transit made of an unlocking key. No secret; the header token carries it too.

/var/lib/volward/wrapped/NAME.vN holds version N of volume NAME, and NAME.vN.rM the same key wrapped anew by version
M of the transit key. Files are created whole, and never overwritten or removed. Calls no host commands.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from volward import durable
from volward.errors import KeyDeniedError, NoSpaceError, ProviderUnavailableError

DIRECTORY = Path("/var/lib/volward/wrapped")
FIELDS = ("keep", "mount", "key", "namespace", "context", "ciphertext")


class WrappedFiles:
    """The files in one directory."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    def path(self, name: str, version: int, *, rewrapped_by: int = 0) -> Path:
        """Return where a wrapped key is kept."""
        return self._directory / f"{name}.v{version}{f'.r{rewrapped_by}' if rewrapped_by else ''}"

    def versions(self, name: str) -> tuple[int, ...]:
        """Return the versions that are there, newest first. Raises ProviderUnavailableError."""
        pattern = re.compile(rf"{re.escape(name)}\.v([1-9]\d*)")
        return tuple(
            sorted((int(found[1]) for one in self._names() if (found := pattern.fullmatch(one))), reverse=True)
        )

    def newest(self, name: str, version: int) -> Mapping[str, str] | None:
        """Return what is known of a wrapped key, by the newest version of the transit key; None when there is none.

        Raises KeyDeniedError for a file that is not whole, ProviderUnavailableError.
        """
        pattern = re.compile(rf"{re.escape(name)}\.v{version}(?:\.r([1-9]\d*))?")
        found = [(int(match[1] or 0), one) for one in self._names() if (match := pattern.fullmatch(one))]
        if not found:
            return None
        path = self._directory / max(found)[1]
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise _unreadable(path, error) from error
        except ValueError:
            content = None
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise KeyDeniedError(
                f"{path} does not hold a wrapped key.",
                resolution="The volume's header has a copy of it: run the command again with the device attached, or "
                "restore the file from a backup.",
            )
        return {name: content[name] for name in FIELDS if name in content}

    def create(self, name: str, version: int, details: Mapping[str, str], *, rewrapped_by: int = 0) -> bool:
        """Write a new file, durably; return False when it is there. Raises NoSpaceError, ProviderUnavailableError."""
        path = self.path(name, version, rewrapped_by=rewrapped_by)
        try:
            durable.make_directory(self._directory, mode=0o700)
            durable.create(path, json.dumps(dict(details), indent=1).encode() + b"\n")
        except FileExistsError:
            return False
        except NoSpaceError:
            raise
        except OSError as error:
            raise ProviderUnavailableError(
                f"{path} could not be written: {error.strerror}.",
                resolution="Look at the mount options and at `dmesg`.",
            ) from error
        return True

    def _names(self) -> list[str]:
        try:
            return [entry.name for entry in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self._directory, error) from error


def _unreadable(path: Path, error: OSError) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"{path} could not be read: {error.strerror}.", resolution="Run as root, and look at `dmesg`."
    )
