"""Docker: what a container is called. Uses `docker inspect` (docker-inspect(1))."""

from volward.errors import ToolFailedError, ToolMissingError
from volward.host import run


def name(container: str) -> str:
    """Return the name of a container by its ID; "" when the engine does not say (it is another engine's, or down)."""
    argv = ["docker", "container", "inspect", "--format", "{{.Name}}", container]
    try:
        return run.read(argv, timeout_seconds=10).stdout.strip().removeprefix("/")
    except (ToolFailedError, ToolMissingError):
        return ""
