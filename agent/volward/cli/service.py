"""`volward service`: what volward.service starts. Becomes the daemon, without anything that the command line loaded."""

import os
import sys

import click

from volward.cli.context import Context, pass_context
from volward.cli.main import DEFAULT_ROOT
from volward.cli.privilege import demand_device_mapper, demand_root


@click.command("service", hidden=True)
@pass_context
def service(context: Context) -> None:
    """Open the volumes and watch them; for volward.service."""
    if context.root != DEFAULT_ROOT:
        raise click.UsageError(f"The daemon reads {DEFAULT_ROOT}, and no other configuration.")
    demand_root("service")
    demand_device_mapper(load=True)
    sys.stdout.flush()
    # -P: a package of that name in the working directory is none of ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "volward.service"])  # noqa: S606 (no shell is what is wanted)
