"""What the shell offers after Tab where a command takes a volume or an operation: names, read from files alone.

Nothing is validated, and pydantic is not imported: a configuration with a mistake in it still has names. What
cannot be read (most users cannot list the journal) gives none. Calls no host commands.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

_JOURNAL = Path("/var/lib/volward/journal")  # volward.journal has it too, and is slow to import


def volume_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the volumes of the configuration that --config names, in its order, without those already given."""
    root = ctx.find_root().params.get("root") or Path("/etc/volward")
    given = ctx.params.get(param.name or "")
    given = given if isinstance(given, tuple) else ()
    return [name for name in _volumes(Path(root)) if name.startswith(incomplete) and name not in given]


def unfinished_operations(
    ctx: click.Context,  # noqa: ARG001 (click's signature)
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Return the operations that can be resumed or aborted."""
    return sorted(path.stem for path in _JOURNAL.glob("*.journal") if path.stem.startswith(incomplete))


def _volumes(root: Path) -> Iterator[str]:
    import tomllib

    for path in (root / "volward.toml", *sorted((root / "volward.d").glob("*.toml"))):
        with contextlib.suppress(OSError, ValueError):
            volumes = tomllib.loads(path.read_text(encoding="utf-8")).get("volumes")
            yield from volumes if isinstance(volumes, dict) else ()
