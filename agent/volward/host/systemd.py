"""systemd: PID 1's jobs on units (systemctl). See systemctl(1)."""

import contextlib
import time
from pathlib import Path

from volward.errors import BusyError, ToolFailedError, ToolTimeoutError
from volward.host import run

BOOTED = Path("/run/systemd/system")
_START_DEADLINE_SECONDS = 180.0
_PAUSE_SECONDS = 0.5
_NO_ANSWER = ("Connection timed out", "Connection reset by peer", "Transport endpoint is not connected")


def is_running() -> bool:
    """Say whether this host was booted by systemd (sd_booted(3)); in a chroot or an image that is built it was not."""
    return BOOTED.is_dir()


def reload() -> None:
    """Make PID 1 read the unit files again. Raises ToolFailedError."""
    run.mutate(["systemctl", "daemon-reload"])


def start(unit: str) -> None:
    """Start a unit and wait for it. Raises ToolFailedError that says where its messages are, ToolTimeoutError.

    When PID 1 is too busy to answer in time, systemctl gives up while the job goes on: then the unit is looked at,
    and nothing is asked for twice.
    """
    try:
        run.mutate(["systemctl", "start", unit], deadline_seconds=_START_DEADLINE_SECONDS)
    except ToolTimeoutError:
        raise
    except ToolFailedError as error:
        if any(words in error.stderr for words in _NO_ANSWER) and _becomes_active(unit):
            return
        raise ToolFailedError(
            f"systemd could not start {unit}: {error.stderr.strip() or error.what}",
            resolution=f"`systemctl status '{unit}'` and `journalctl -u '{unit}'` tell why.",
            status=error.status,
            stderr=error.stderr,
        ) from error


def start_soon(unit: str) -> None:
    """Have PID 1 start a unit, and do not wait for it. Raises ToolFailedError, ToolTimeoutError."""
    run.mutate(["systemctl", "--no-block", "start", unit])


def have_follow(unit: str, *, again: bool, start: bool) -> None:
    """Have a service read its configuration anew; not waited for. ``start``: also when it does not run.

    ``again``: restart it, for what only a new process gets (its sandbox). Raises ToolFailedError, ToolTimeoutError.
    """
    verb = "restart" if again else "reload-or-restart"
    run.mutate(["systemctl", "--no-block", verb if start else f"try-{verb}", unit])


def _becomes_active(unit: str) -> bool:
    """Wait as long as a job is about the unit, and say whether it is active then."""
    deadline = time.monotonic() + _START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ToolFailedError):  # no answer again
            said = run.read(["systemctl", "show", "--property=ActiveState,Job", unit]).stdout.splitlines()
            if "ActiveState=active" in said:
                return True
            if not any(line.startswith("Job=") and line not in ("Job=", "Job=0") for line in said):
                return False
        time.sleep(_PAUSE_SECONDS)
    return False


def stop(unit: str) -> None:
    """Stop a unit and wait for it; one that does not exist is stopped already (systemctl's status 5).

    Raises BusyError when it stays active (a mount that is in use), ToolTimeoutError.
    """
    try:
        run.mutate(["systemctl", "stop", unit], ok=(0, 5), deadline_seconds=_START_DEADLINE_SECONDS)
    except ToolTimeoutError:
        raise
    except ToolFailedError as error:
        raise BusyError(
            f"systemd could not stop {unit}.",
            resolution="Stop what uses it, then try again.",
        ) from error


def end_main_process(unit: str) -> None:
    """Have the main process of a unit end (SIGTERM): what it does fails, and nothing that is tied to it is stopped.

    Raises ToolFailedError, ToolTimeoutError.
    """
    run.mutate(["systemctl", "kill", "--kill-whom=main", unit])


def active(unit: str) -> bool:
    """Say whether a unit is active (systemctl is-active)."""
    return run.read(["systemctl", "is-active", "--quiet", unit], ok=(0, 1, 3, 4)).status == 0
