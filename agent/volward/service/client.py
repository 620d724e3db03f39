"""The other end of the control socket, for the command line: one question, one connection. Varlink.

The varlink library's own client waits for ever; here it gets a socket that does not.
"""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from varlink import Interface, SimpleClientInterfaceHandler, VarlinkError

from volward.errors import DaemonAnswerError, DaemonAwayError, NotPrivilegedError
from volward.service.endpoint import PATH
from volward.service.live import LiveStatus, Reloaded
from volward.service.live_json import reloaded_from_json, status_from_json

_INTERFACE = Path(__file__).with_name("io.volward.Control.varlink")
ANSWER_SECONDS = 10.0
RELOAD_SECONDS = 150.0  # the daemon ends the pass that runs before it reads
_LOOK = "`systemctl status volward.service` shows the daemon, `volward status` the volumes without it."


def status(path: Path = PATH, *, timeout_seconds: float = ANSWER_SECONDS) -> LiveStatus:
    """Return what the daemon knows now. Raises DaemonAwayError, DaemonAnswerError, NotPrivilegedError."""
    with _asking(path, timeout_seconds) as (daemon, _):
        return status_from_json(_record(daemon.Status()))


def follow(path: Path = PATH, *, timeout_seconds: float = ANSWER_SECONDS) -> Iterator[LiveStatus]:
    """Yield what the daemon knows now, then again at each change, until it ends. Raises as ``status`` does."""
    with _asking(path, timeout_seconds) as (daemon, connection):
        for found in daemon.Status(_more=True):
            connection.settimeout(None)  # nothing has to change soon
            yield status_from_json(_record(found))


def reload(path: Path = PATH, *, timeout_seconds: float = RELOAD_SECONDS) -> Reloaded:
    """Have the daemon read its configuration again. Raises as ``status`` does."""
    with _asking(path, timeout_seconds) as (daemon, _):
        return reloaded_from_json(_record(daemon.Reload()))


@contextlib.contextmanager
def _asking(path: Path, timeout_seconds: float) -> Iterator[tuple[Any, socket.socket]]:
    """Yield the daemon, with its methods as Python's (the library makes them), and the connection to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        _connect(connection, path)
        try:
            yield SimpleClientInterfaceHandler(Interface(_INTERFACE.read_text()), connection), connection
        except TimeoutError as error:
            raise DaemonAnswerError(
                f"The daemon did not answer within {timeout_seconds:.0f} seconds.", resolution=f"Try again. {_LOOK}"
            ) from error
        except OSError as error:
            raise DaemonAnswerError(
                "The daemon closed the connection: it ended, answers too many already, or is not for this user.",
                resolution=f"Try again, as root. {_LOOK}",
            ) from error
        except (VarlinkError, ValueError, KeyError, TypeError) as error:
            said = error.error() if isinstance(error, VarlinkError) else str(error)
            if said == "org.varlink.service.PermissionDenied":
                raise NotPrivilegedError(
                    "Only root has the daemon do something.", resolution="Run the same command with sudo."
                ) from error
            raise DaemonAnswerError(
                f"The daemon answers in a way that this volward does not understand ({said}).",
                resolution=f"Is it of another version? `systemctl restart volward.service` closes no volume. {_LOOK}",
            ) from error


def _connect(connection: socket.socket, path: Path) -> None:
    try:
        connection.connect(str(path))
    except PermissionError as error:
        raise NotPrivilegedError(
            f"{path} is not for this user.", resolution="Run the same command with sudo."
        ) from error
    except (TimeoutError, BlockingIOError) as error:
        raise DaemonAnswerError(
            "The daemon takes no connection: it answers too many already.", resolution=f"Try again. {_LOOK}"
        ) from error
    except OSError as error:
        raise DaemonAwayError(
            f"The daemon of volward does not run: nothing listens at {path} ({error.strerror}).",
            resolution=f"`systemctl start volward.service` starts it. {_LOOK}",
        ) from error


def _record(found: object) -> Mapping[str, object]:
    return found if isinstance(found, Mapping) else {}
