"""Docker: containers by name, as `docker container` shows, starts and stops them (docker-container(1)).

The client starts a stopped engine through its socket, so the engine is asked for first where nobody wants that.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from volward.errors import ToolFailedError, ToolMissingError
from volward.host import run

ENGINE = "docker.service"
_STOP_SECONDS = 30  # for the container to end by itself; then it is killed


@dataclass(frozen=True)
class Container:
    """One container: whether it runs, whether the engine is to start it by itself, and why its last start failed."""

    name: str
    running: bool
    restart_policy: str = "no"  # no, always, unless-stopped, on-failure
    error: str = ""

    def failed_without(self, mount_point: str) -> bool:
        """Whether the engine wanted to start it, and could not because of a directory in the mount (a bind mount)."""
        return not self.running and self.restart_policy not in ("", "no") and mount_point in self.error


def name(container: str) -> str:
    """Return the name of a container by its ID; "" when the engine does not say (it is another engine's, or down)."""
    argv = ["docker", "container", "inspect", "--format", "{{.Name}}", container]
    try:
        return run.read(argv, timeout_seconds=10).stdout.strip().removeprefix("/")
    except (ToolFailedError, ToolMissingError):
        return ""


def engine_state() -> str:
    """Return what systemd says of the engine: active, activating, inactive, … Raises ToolFailedError."""
    return run.read(["systemctl", "show", "--property=ActiveState", "--value", ENGINE]).stdout.strip()


def look(wanted: Sequence[str]) -> tuple[Container, ...]:
    """Return the containers of these names; those that do not exist are left out.

    Raises ToolMissingError, ToolFailedError (the engine does not answer), ToolTimeoutError.
    """
    said = run.read(["docker", "container", "inspect", *wanted], ok=(0, 1))
    try:
        found = json.loads(said.stdout or "[]")
        containers = tuple(_container(one) for one in found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(
            "What `docker container inspect` printed is not understood.",
            resolution="`docker version` shows which Docker it is.",
            status=said.status,
            stderr=said.stderr,
        ) from error
    if said.status and not containers and "no such container" not in said.stderr.lower():
        raise ToolFailedError(
            f"Docker does not answer: {said.stderr.strip()}",
            resolution=f"`systemctl status {ENGINE}` tells why.",
            status=said.status,
            stderr=said.stderr,
        )
    return containers


def start(container: str) -> None:
    """Start a container. Raises ToolMissingError, ToolFailedError, ToolTimeoutError."""
    run.mutate(["docker", "container", "start", container])


def stop(container: str) -> None:
    """Stop a container: it is asked to end, and killed after half a minute. Raises as `start` does."""
    run.mutate(["docker", "container", "stop", "-t", str(_STOP_SECONDS), container])


def _container(one: dict[str, dict[str, object]]) -> Container:
    state, policy = one["State"], one["HostConfig"].get("RestartPolicy")
    return Container(
        str(one["Name"]).removeprefix("/"),
        running=state["Running"] is True,
        restart_policy=str(policy.get("Name", "")) if isinstance(policy, dict) else "",
        error=str(state.get("Error") or ""),
    )
