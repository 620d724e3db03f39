"""`volward close`: unmount and close volumes, or name who uses them."""

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.errors import VolwardError


@click.command
@click.argument("volumes", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All volumes of the configuration.")
@click.option("--stop-consumers", is_flag=True, help="Stop the units that the configuration names as consumers first.")
@pass_context
def close(context: Context, volumes: tuple[str, ...], every: bool, stop_consumers: bool) -> int:
    """Unmount and close volumes; never by force.

    A volume that is in use stays open, and the processes and containers that use it are named.
    """
    demand_root("close")
    if not volumes and not every:
        raise click.UsageError("Name the volumes to close, or say --all.")
    from volward.operations.close import close_volume

    status = 0
    for spec in context.select(volumes):
        try:
            closed = close_volume(spec, stop_consumers=stop_consumers)
        except VolwardError as error:
            status = status or int(error.exit_status)
            context.note(f"{spec.name}: {error.what}\n  {error.resolution} ({error.code})")
        else:
            context.print(f"{spec.name}: closed" if closed else f"{spec.name}: nothing to do, because it is closed")
    return status
