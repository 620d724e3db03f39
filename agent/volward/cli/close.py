"""`volward close`: unmount and close volumes, or name who uses them."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.errors import VolwardError
from volward.exit_status import ExitStatus


@click.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--all", "every", is_flag=True, help="All volumes of the configuration.")
@click.option("--stop-consumers", is_flag=True, help="Stop the units that the configuration names as consumers first.")
@pass_context
def close(context: Context, volumes: tuple[str, ...], every: bool, stop_consumers: bool) -> int:
    """Unmount and close volumes; never by force.

    A volume that is in use stays open, and the processes and containers that use it are named.
    """
    demand_root("close")
    if bool(volumes) == every:
        raise click.UsageError("Say which volumes to close, or --all; not both.")
    from volward.cli.interruption import Interruption
    from volward.operations.close import close_volume
    from volward.os_errors import explained

    statuses = []
    interruption = Interruption()
    with interruption.watched():
        for spec in context.select(volumes):
            if interruption.asked:
                context.note(f"{spec.name}: left open, because volward was interrupted")
                statuses.append(ExitStatus.INTERRUPTED)
                continue
            try:
                with explained(f"Closing {spec.name}"):
                    closed = close_volume(spec, stop_consumers=stop_consumers)
            except VolwardError as error:
                statuses.append(error.exit_status)
                context.failure(error, about=spec.name)
            else:
                context.print(f"{spec.name}: closed" if closed else f"{spec.name}: nothing to do, because it is closed")
    return ExitStatus.of_pass(statuses)
