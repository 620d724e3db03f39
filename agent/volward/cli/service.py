"""`volward service`: what volward.service starts. Becomes the daemon, without anything that the command line loaded."""

import os
import sys

import click

from volward.cli.privilege import demand_device_mapper, demand_root


@click.command("service", hidden=True)
def service() -> None:
    """Open the volumes and watch them; for volward.service."""
    demand_root("service")
    demand_device_mapper(load=True)
    sys.stdout.flush()
    # -P: a package of that name in the working directory is none of ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "volward.service"])  # noqa: S606 (no shell is what is wanted)
