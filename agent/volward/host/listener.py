"""Which process of this host answers at an address, and what it has open. Reads /proc (psutil); calls no tool."""

import contextlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil


def is_here(url: str) -> bool:
    """Whether the URL's host is an address of this host. A name that does not resolve is not."""
    own = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(address[0] in own or _is_loopback(str(address[0])) for *_, address in found)


def names_this_host(url: str) -> bool:
    """Whether the URL says so by itself: an address of this host, its name or "localhost". Asks no name server."""
    name = urlsplit(url).hostname or ""
    own = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
    return name in own or _is_loopback(name) or name in ("localhost", socket.gethostname())


def files_of(url: str) -> tuple[Path, ...]:
    """Return the files and the directory that the listeners on the URL's port have open; () when none can be seen.

    A server in a container is behind the container engine's own listener, and is not seen.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found: set[Path] = set()
    for connection in psutil.net_connections(kind="tcp"):
        # ("address", port); psutil has an empty tuple where there is none.
        if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,) and connection.pid:
            with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile
                process = psutil.Process(connection.pid)
                found |= {Path(one.path) for one in process.open_files()} | {Path(process.cwd())}
    return tuple(sorted(found))


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
