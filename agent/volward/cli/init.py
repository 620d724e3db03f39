"""`volward init`: look at the host and write a configuration that fits it. Never overwrites a file."""

import os
from pathlib import Path

import click

from volward.cli.context import Context, pass_context


@click.command
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a new file instead of standard output.",
)
@pass_context
def init(context: Context, output: Path | None) -> None:
    """Write a commented configuration for this host.

    It proposes blank disks where there are any (run it with sudo, so that they can be read), else files on
    the root disk, and volumes for the databases that it finds. It only proposes: nothing on the host changes.
    """
    from volward.report import sample, survey

    text = sample.write(survey.look())
    if os.geteuid() != 0:
        context.note("Without root the disks cannot be read, so none is proposed. Run it with sudo for that.")
    if output is None:
        context.print(text.rstrip())
        return
    _create(output, text)
    context.note(f"Wrote {output}. Read it, change what you like, then: volward check")


def _create(path: Path, text: str) -> None:
    """Write a new file, 0644, whole or not at all; an existing one is left as it is."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise click.UsageError(f"{path} exists and is left as it is. Choose another file.") from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        raise click.UsageError(f"{path} could not be written: {error.strerror}.") from error
