"""hvac, the client library: whether it is there, and recent enough. Imports none of it."""

from importlib import metadata

from volward.errors import ToolMissingError

OLDEST = (2, 3)  # the one of Debian 12 lacks what keys are read with
_INSTALL = (
    "Install it beside volward: `/opt/volward/bin/pip install 'hvac>=2.3'`. Debian 13 has it as python3-hvac, and that "
    "of Debian 12 is too old."
)


def missing(error: ImportError) -> ToolMissingError:
    """Return the error for a host without it."""
    return ToolMissingError(
        f"Python's {error.name or 'hvac'}, with which volward talks to Vault, is not installed.", resolution=_INSTALL
    )


def demand_recent() -> None:
    """Raise ToolMissingError for one that is too old."""
    found = metadata.version("hvac")
    if tuple(int(part) for part in found.split(".")[:2] if part.isdecimal()) < OLDEST:
        raise ToolMissingError(
            f"Python's hvac is {found} here, and volward needs {'.'.join(map(str, OLDEST))} or newer to talk to Vault.",
            resolution=_INSTALL,
        )
